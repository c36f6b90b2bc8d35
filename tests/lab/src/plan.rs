//! A scenario file: a scenario, its variants, the policies it is for, what is expected.

use serde_json::{Map, Value};

use crate::expect::Expectation;
use crate::policies::{Named, Policies};
use crate::read::{Object, Result, merge};
use crate::scenario::{KEYS, Scenario};

/// The keys of a file beside those of the scenario.
const OWN: &[&str] = &["what", "source", "policies", "columns", "variants", "quick", "expect"];

/// A scenario file.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    /// What it shows, in a line or two.
    pub what: String,
    /// Where the set-up and the published figures come from.
    pub source: String,
    pub policies: Vec<Named>,
    /// Figures that the table shows beside the usual ones.
    pub columns: Vec<String>,
    pub cases: Vec<Case>,
    pub expect: Vec<Expectation>,
}

/// One of the forms of a scenario.
#[derive(Clone, Debug)]
pub struct Case {
    /// Empty when the file has no variants.
    pub variant: String,
    pub scenario: Scenario,
}

impl Plan {
    /// Reads a file. `quick` takes its quick form, which is shorter.
    pub fn read(name: &str, text: &str, policies: &Policies, quick: bool) -> Result<Self> {
        let file = format!("{name}.json");
        let value: Value = serde_json::from_str(text).map_err(|error| format!("{file}: {error}"))?;
        let object = Object::new(&value, &file, &[OWN, KEYS].concat())?;

        let mut base = Value::Object(Map::new());
        for key in KEYS {
            if let Some(part) = object.get(key) {
                base[*key] = part.clone();
            }
        }
        let patch = |onto: &mut Value, patch: &Value, place: &str| -> Result<()> {
            Object::new(patch, place, KEYS)?;
            merge(onto, patch);
            Ok(())
        };
        let mut cases = Vec::new();
        let variants = object.pairs("variants")?;
        let variants = if variants.is_empty() { vec![("", &Value::Null)] } else { variants };
        for (variant, changes) in variants {
            let mut value = base.clone();
            let mut changes = changes.clone();
            let own_quick = changes.as_object_mut().and_then(|changes| changes.remove("quick"));
            if !variant.is_empty() {
                patch(&mut value, &changes, &format!("{file}.variants.{variant}"))?;
            }
            for changes in object.get("quick").into_iter().chain(&own_quick).filter(|_| quick) {
                patch(&mut value, changes, &format!("{file}.quick"))?;
            }
            let place = if variant.is_empty() { file.clone() } else { format!("{file} ({variant})") };
            cases.push(Case { variant: variant.to_owned(), scenario: Scenario::read(&value, &place)? });
        }
        let text_of = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("{file}.columns: names of figures"));
        // Each expectation has one, and nothing else has.
        let lines = text.lines().zip(1..).filter(|(line, _)| line.contains("\"figure\"")).map(|(_, number)| number);
        let mut expect: Vec<Expectation> = object
            .list("expect")?
            .iter()
            .zip(lines)
            .map(|(expected, line)| Expectation::read(expected, &format!("{file}:{line}"), policies))
            .collect::<Result<_>>()?;
        let expected = expect.len();
        expect.retain(|expected| !quick || expected.quick);
        if expected != object.list("expect")?.len() {
            return Err(format!("{file}.expect: one to a line, each with its figure"));
        }
        Ok(Self {
            name: name.to_owned(),
            what: object.must_text("what")?.to_owned(),
            source: object.must_text("source")?.to_owned(),
            policies: policies.select(object.list("policies")?, &object.place("policies"))?,
            columns: object.list("columns")?.iter().map(text_of).collect::<Result<_>>()?,
            cases,
            expect,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn file() -> Value {
        json!({
            "what": "w", "source": "s", "policies": ["*"], "duration": 10, "arrivals": {"rate": 5}, "servers": {"count": 4},
            "service": {"constant": 1}, "variants": {"fast": {"arrivals": {"rate": 50}}, "slow": {}}, "quick": {"duration": 1},
        })
    }

    fn read(value: &Value, quick: bool) -> Result<Plan> {
        let policies = Policies::read(&json!({"g": ["random"]}), "p").unwrap();
        Plan::read("x", &value.to_string(), &policies, quick)
    }

    #[test]
    fn variants_and_the_quick_form() {
        let rates = |quick| -> Vec<(String, f64, u64)> {
            let plan = read(&file(), quick).unwrap();
            plan.cases.iter().map(|case| (case.variant.clone(), case.scenario.arrivals.rate(0), case.scenario.duration)).collect()
        };
        assert_eq!(rates(false), [("fast".into(), 50.0, 10_000_000_000), ("slow".into(), 5.0, 10_000_000_000)]);
        assert_eq!(rates(true)[0], ("fast".into(), 50.0, 1_000_000_000));
    }

    #[test]
    fn unknown_keys_are_refused_everywhere() {
        for (pointer, key) in
            [("", "rate"), ("/arrivals", "count"), ("/variants/fast", "policies"), ("/quick", "expect"), ("/servers", "n")]
        {
            let mut value = file();
            value.pointer_mut(pointer).unwrap()[key] = json!(1);
            assert!(read(&value, false).is_err() || read(&value, true).is_err(), "{pointer} {key}");
        }
    }
}
