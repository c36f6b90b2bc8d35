//! What is expected of the figures, and whether it is so.

use serde_json::Value;

use crate::policies::Policies;
use crate::read::{Object, Result, numbers};
use crate::runner::Outcomes;

/// A figure of some policies in some variants, and its bounds.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// File and line.
    pub place: String,
    policies: Vec<String>,
    /// All when absent.
    variant: Option<String>,
    figure: String,
    bounds: Vec<Bound>,
    /// Whether the quick form of the scenario is held to it too.
    pub quick: bool,
}

#[derive(Clone, Debug)]
enum Bound {
    Min(f64),
    Max(f64),
    /// So near to a value, relatively.
    About(f64, f64),
    /// At most, or at least, so many times what the best of these policies has, in the same variant or another.
    Peer {
        most: bool,
        times: f64,
        plus: f64,
        policies: Vec<String>,
        variant: Option<String>,
    },
}

impl Expectation {
    /// Reads `{policy, variant?, figure, BOUNDS}` with one or more of `min`, `max`, `about: [value, tolerance]`, `at_most` and
    /// `at_least: {times, plus?, policy?, variant?}`, and `quick: false` for what only the long form is held to. Policies are words as in the file's list; a peer's are the same when
    /// absent.
    pub fn read(value: &Value, place: &str, policies: &Policies) -> Result<Self> {
        let object = Object::new(value, place, &["policy", "variant", "figure", "min", "max", "about", "at_most", "at_least", "quick"])?;
        // A policy of the scenario's own is in no group.
        let names = |word: &str| -> Vec<String> {
            policies.named(word).map_or_else(|| vec![word.to_owned()], |found| found.into_iter().map(|named| named.name).collect())
        };
        let mine = names(object.must_text("policy")?);
        let mut bounds = Vec::new();
        bounds.extend(object.number("min")?.map(Bound::Min));
        bounds.extend(object.number("max")?.map(Bound::Max));
        if let Some(about) = object.get("about") {
            let [value, tolerance] = numbers(about, &object.place("about"))?;
            bounds.push(Bound::About(value, tolerance));
        }
        for (key, most) in [("at_most", true), ("at_least", false)] {
            let Some(peer) = object.get(key) else { continue };
            let peer = Object::new(peer, &object.place(key), &["times", "plus", "policy", "variant"])?;
            bounds.push(Bound::Peer {
                most,
                times: peer.number_or("times", 1.0)?,
                plus: peer.number_or("plus", 0.0)?,
                policies: peer.text("policy")?.map_or_else(|| mine.clone(), names),
                variant: peer.text("variant")?.map(str::to_owned),
            });
        }
        if bounds.is_empty() {
            return Err(format!("{place}: expects nothing"));
        }
        let variant = object.text("variant")?.map(str::to_owned);
        let quick = !object.has("quick") || object.flag("quick")?;
        Ok(Self { quick, place: place.to_owned(), policies: mine, variant, figure: object.must_text("figure")?.to_owned(), bounds })
    }

    /// Whether it is about this policy.
    pub fn names(&self, policy: &str) -> bool {
        self.policies.iter().any(|named| named == policy)
    }

    /// How many comparisons were made, and what is not as expected. Policies that were not run are passed over.
    pub fn check(&self, outcomes: &Outcomes) -> (usize, Vec<String>) {
        let (mut made, mut wrong) = (0, Vec::new());
        let variants = outcomes.variants.iter().filter(|(name, _)| self.variant.as_ref().is_none_or(|variant| variant == name));
        for (variant, rows) in variants {
            for row in rows.iter().filter(|row| self.policies.contains(&row.policy)) {
                let Some(found) = row.figures.get(&self.figure) else {
                    wrong.push(format!("{}: there is no figure {:?}", self.place, self.figure));
                    return (made + 1, wrong);
                };
                for bound in &self.bounds {
                    let Some((good, text)) = bound.holds(*found, &self.figure, outcomes, variant, &self.policies, &row.policy) else {
                        continue;
                    };
                    made += 1;
                    if !good {
                        let variant = if variant.is_empty() { String::new() } else { format!(" ({variant})") };
                        let Self { place, figure, .. } = self;
                        wrong.push(format!("{place}: {}{variant}: {figure} is {found:.4}, expected {text}", row.policy));
                    }
                }
            }
        }
        (made, wrong)
    }
}

impl Bound {
    /// Whether it holds, and what it says; none when there is nothing to compare with.
    fn holds(&self, found: f64, figure: &str, outcomes: &Outcomes, variant: &str, mine: &[String], policy: &str) -> Option<(bool, String)> {
        Some(match self {
            Self::Min(least) => (found >= *least, format!("at least {least}")),
            Self::Max(most) => (found <= *most, format!("at most {most}")),
            Self::About(value, tolerance) => {
                ((found - value).abs() <= value * tolerance, format!("{value} within {:.1} %", tolerance * 100.0))
            }
            Self::Peer { most, times, plus, policies, variant: other } => {
                let variant = other.as_deref().unwrap_or(variant);
                let rows = &outcomes.variants.iter().find(|(name, _)| name == variant)?.1;
                // Compared with itself, in another variant, when no peer is named.
                let peers = rows.iter().filter(|row| if policies == mine { row.policy == policy } else { policies.contains(&row.policy) });
                let figures = peers.filter_map(|row| Some((*row.figures.get(figure)?, row.policy.as_str())));
                // The best is the lowest where little is wanted, the highest where much is.
                let best = if *most { figures.min_by(|a, b| a.0.total_cmp(&b.0)) } else { figures.max_by(|a, b| a.0.total_cmp(&b.0)) };
                let (best, peer) = best?;
                let bound = best * times + plus;
                let word = if *most { "at most" } else { "at least" };
                let holds = if *most { found <= bound } else { found >= bound };
                (
                    holds,
                    format!(
                        "{word} {bound:.4}: {times} x {peer}'s {best:.4}{}",
                        if *plus > 0.0 { format!(" + {plus}") } else { String::new() }
                    ),
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Row;
    use serde_json::json;

    fn outcomes() -> Outcomes {
        let row = |policy: &str, p99: f64| Row { policy: policy.into(), figures: [("p99".to_owned(), p99)].into(), lines: Value::Null };
        let variants = vec![
            ("70".to_owned(), vec![row("a", 100.0), row("b", 90.0)]),
            ("90".to_owned(), vec![row("a", 130.0), row("b", f64::INFINITY)]),
        ];
        Outcomes { name: "x".into(), variants, seconds: 0.0 }
    }

    fn wrong(value: Value) -> (usize, usize) {
        let (made, wrong) = Expectation::read(&value, "x.json:3", &Policies::default()).unwrap().check(&outcomes());
        (made, wrong.len())
    }

    #[test]
    fn bounds() {
        assert_eq!(wrong(json!({"policy": "a", "figure": "p99", "max": 120})), (2, 1));
        assert_eq!(wrong(json!({"policy": "a", "variant": "70", "figure": "p99", "min": 99, "max": 120})), (2, 0));
        assert_eq!(wrong(json!({"policy": "b", "variant": "90", "figure": "p99", "max": 1e9})), (1, 1));
        assert_eq!(wrong(json!({"policy": "a", "variant": "70", "figure": "p99", "about": [101, 0.02]})), (1, 0));
        assert_eq!(wrong(json!({"policy": "a", "variant": "70", "figure": "p99", "about": [104, 0.02]})), (1, 1));
        assert_eq!(wrong(json!({"policy": "c", "figure": "p99", "max": 1})), (0, 0));
        assert_eq!(wrong(json!({"policy": "a", "figure": "p98", "max": 1})), (1, 1));
    }

    #[test]
    fn peers() {
        assert_eq!(wrong(json!({"policy": "a", "figure": "p99", "at_most": {"times": 1.05, "policy": "b"}})), (2, 1));
        assert_eq!(wrong(json!({"policy": "a", "variant": "90", "figure": "p99", "at_most": {"times": 1.2, "variant": "70"}})), (1, 1));
        assert_eq!(
            wrong(json!({"policy": "a", "variant": "90", "figure": "p99", "at_most": {"times": 1.2, "plus": 10, "variant": "70"}})),
            (1, 0)
        );
        assert_eq!(wrong(json!({"policy": "b", "variant": "90", "figure": "p99", "at_least": {"policy": "a"}})), (1, 0));
        let text = Expectation::read(&json!({"policy": "a", "figure": "p99", "max": 1}), "x.json:3", &Policies::default()).unwrap();
        assert_eq!(text.check(&outcomes()).1[0], "x.json:3: a (70): p99 is 100.0000, expected at most 1");
    }

    #[test]
    fn an_expectation_expects_something() {
        assert!(Expectation::read(&json!({"policy": "a", "figure": "p99"}), "x", &Policies::default()).is_err());
    }
}
