//! The constants of one policy, swept over all scenarios.
//!
//! Each form of the policy takes the place of the policy it is a form of, beside the classical ones: it is held to the same
//! expectations, and its tail is compared with the best classical policy's in each case.

use serde_json::{Value, json};

use crate::plan::Plan;
use crate::policies::{Named, Policies};
use crate::read::{Object, Result, list, merge};
use crate::report::{figure, markdown};
use crate::runner::{Outcomes, Row};

/// The policy whose forms are swept.
pub const SWEPT: &str = "adaptive";
/// What it is compared with.
pub const PEERS: &str = "@classical";
/// The tails that are compared.
const TAILS: [&str; 2] = ["p99", "p99.9"];
/// A tail counts for no more than so many times its peer's.
const MOST: f64 = 10.0;

/// Reads `{base, vary: [{key, values}], beside: [{name, policy}]}`: the base, each value of each key alone (a JSON pointer into
/// the policy's document), and what is named beside.
pub fn forms(text: &str) -> Result<Vec<Named>> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("sweep.json: {error}"))?;
    let object = Object::new(&value, "sweep.json", &["base", "vary", "beside"])?;
    let base = object.must("base")?;
    let named = |name: String, policy: Value| Named { name, policy, options: Value::Null };
    let mut forms = vec![named("as it is".into(), base.clone())];
    for vary in object.list("vary")? {
        let vary = Object::new(vary, "sweep.json.vary", &["key", "values"])?;
        let pointer = vary.must_text("key")?;
        let key = pointer.rsplit('/').next().unwrap_or_default();
        for value in vary.list("values")? {
            let patch = pointer.rsplit('/').filter(|part| !part.is_empty()).fold(value.clone(), |inner, part| json!({ part: inner }));
            let mut policy = base.clone();
            merge(&mut policy, &patch);
            forms.push(named(format!("{key} {}", value.to_string().trim_matches('"')), policy));
        }
    }
    let beside = Policies::read(&json!({ "beside": list(object.must("beside")?, "sweep.json.beside")? }), "sweep.json")?;
    forms.extend(beside.named("@beside").unwrap_or_default());
    Ok(forms)
}

/// Gives the plans the policies of a sweep; those that are not about the swept policy are left out.
pub fn prepare(plans: Vec<Plan>, policies: &Policies, forms: &[Named]) -> Vec<Plan> {
    let peers = policies.named(PEERS).unwrap_or_default();
    let about = |plan: &Plan| plan.policies.iter().any(|named| named.name == SWEPT);
    let with = |plan: Plan| Plan { policies: peers.iter().chain(forms).cloned().collect(), ..plan };
    plans.into_iter().filter(about).map(with).collect()
}

/// How a form did.
pub struct Standing {
    pub form: String,
    /// Expectations of the swept policy that do not hold.
    pub missed: Vec<String>,
    /// The geometric mean of its tails over the best peer's, by tail.
    pub tails: [f64; 2],
    /// The worst of them at p99, and where.
    pub worst: (f64, String),
    /// The mean of what fails, in percent.
    pub failed: f64,
}

/// Compares each form with its peers.
pub fn results(plans: &[Plan], outcomes: &[Outcomes], policies: &Policies, forms: &[Named]) -> Vec<Standing> {
    let peers: Vec<String> = policies.named(PEERS).unwrap_or_default().into_iter().map(|named| named.name).collect();
    forms.iter().map(|form| result(form, plans, outcomes, &peers)).collect()
}

fn result(form: &Named, plans: &[Plan], outcomes: &[Outcomes], peers: &[String]) -> Standing {
    let (mut missed, mut worst, mut logs, mut failed, mut cases) = (Vec::new(), (0.0, String::new()), [0.0; 2], 0.0, 0.0);
    for (plan, outcomes) in plans.iter().zip(outcomes) {
        let seen = disguised(outcomes, &form.name, peers);
        missed.extend(plan.expect.iter().filter(|expected| expected.names(SWEPT)).flat_map(|expected| expected.check(&seen).1));
        for (variant, rows) in &seen.variants {
            let Some(own) = rows.iter().find(|row| row.policy == SWEPT) else { continue };
            cases += 1.0;
            failed += 100.0 - own.figures.get("success").copied().unwrap_or_default();
            for (tail, log) in TAILS.iter().zip(&mut logs) {
                let of = |row: &Row| row.figures.get(*tail).copied().unwrap_or(f64::NAN);
                let best = rows.iter().filter(|row| row.policy != SWEPT).map(of).fold(f64::INFINITY, f64::min);
                // Both among the calls that failed: neither is better.
                let ratio = if of(own) == best { 1.0 } else { (of(own) / best).clamp(1.0 / MOST, MOST) };
                *log += ratio.ln();
                if *tail == TAILS[0] && ratio > worst.0 {
                    worst = (ratio, format!("{} {variant}", plan.name).trim_end().to_owned());
                }
            }
        }
    }
    Standing { form: form.name.clone(), missed, tails: logs.map(|log| (log / cases).exp()), worst, failed: failed / cases }
}

/// The outcomes as if this form were the swept policy, and there were no other.
fn disguised(outcomes: &Outcomes, form: &str, peers: &[String]) -> Outcomes {
    let row = |row: &Row| {
        let policy = if row.policy == form { SWEPT.to_owned() } else { row.policy.clone() };
        Row { policy, figures: row.figures.clone(), lines: Value::Null }
    };
    let rows = |rows: &Vec<Row>| rows.iter().filter(|found| found.policy == form || peers.contains(&found.policy)).map(row).collect();
    let variants = outcomes.variants.iter().map(|(variant, found)| (variant.clone(), rows(found))).collect();
    Outcomes { name: outcomes.name.clone(), variants, seconds: 0.0 }
}

/// The results as a Markdown table.
pub fn table(results: &[Standing]) -> String {
    let mut rows = vec![["form", "missed", "p99", "p99.9", "worst p99", "where", "failed %"].map(str::to_owned).to_vec()];
    rows.extend(results.iter().map(|result| {
        vec![
            result.form.clone(),
            result.missed.len().to_string(),
            figure(result.tails[0], 3),
            figure(result.tails[1], 3),
            figure(result.worst.0, 2),
            result.worst.1.clone(),
            figure(result.failed, 3),
        ]
    }));
    markdown(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_a_form() {
        let forms = forms(
            r#"{"base": {"preset": "adaptive", "pick": {"kind": "sample"}}, "vary": [{"key": "/pick/score/tau", "values": [1, "never"]}],
                "beside": [{"name": "both", "policy": "random"}]}"#,
        )
        .unwrap();
        let names: Vec<&str> = forms.iter().map(|form| form.name.as_str()).collect();
        assert_eq!(names, ["as it is", "tau 1", "tau never", "both"]);
        assert_eq!(forms[1].policy, json!({"preset": "adaptive", "pick": {"kind": "sample", "score": {"tau": 1}}}));
        assert!(super::forms(r#"{"base": {}, "vary": [{"keys": 1}], "beside": []}"#).is_err());
    }

    #[test]
    fn a_form_is_compared_with_the_best_peer() {
        let row = |policy: &str, p99: f64| {
            let figures = [("success", 99.0), ("p99", p99), ("p99.9", f64::INFINITY)];
            Row { policy: policy.into(), figures: figures.map(|(name, value)| (name.to_owned(), value)).into(), lines: Value::Null }
        };
        let rows = vec![row("random", 200.0), row("round-robin", 100.0), row("tau 1", 110.0), row("tau 2", 400.0)];
        let outcomes = [Outcomes { name: "s".into(), variants: vec![("v".into(), rows)], seconds: 0.0 }];
        let policies = Policies::read(&json!({"classical": ["random", "round-robin"], "ours": ["adaptive"]}), "p").unwrap();
        let plan = r#"{"what": "", "source": "", "policies": ["adaptive"], "duration": 1, "arrivals": {"rate": 1}, "servers": {"count": 1},
            "service": {"constant": 1}, "expect": [{"policy": "adaptive", "figure": "p99", "at_most": {"times": 1.05, "policy": "@classical"}}]}"#;
        let plans = [Plan::read("s", plan, &policies, false).unwrap()];
        let form = |name: &str| Named { name: name.into(), policy: Value::Null, options: Value::Null };
        let found = results(&plans, &outcomes, &policies, &[form("tau 1"), form("tau 2")]);
        assert!((found[0].tails[0] - 1.1).abs() < 1e-9 && (found[1].tails[0] - 4.0).abs() < 1e-9);
        assert_eq!((found[0].tails[1], found[0].missed.len(), found[0].worst.1.as_str()), (1.0, 1, "s v"));
        assert!(table(&found).contains("| tau 2 | 1      | 4.000 | 1.000 | 4.00      | s v   | 1.000    |"), "{}", table(&found));
    }
}
