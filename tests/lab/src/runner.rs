//! Running many scenarios under many policies, on every core.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::engine;
use crate::plan::Plan;
use crate::record::Figures;

/// What came out of a plan.
#[derive(Clone, Debug)]
pub struct Outcomes {
    pub name: String,
    /// Variant and its rows, one a policy, in the order of the plan.
    pub variants: Vec<(String, Vec<Row>)>,
    /// How long it took one core.
    pub seconds: f64,
}

/// A policy under one variant.
#[derive(Clone, Debug)]
pub struct Row {
    pub policy: String,
    pub figures: Figures,
    /// See [`crate::record::Record::lines`].
    pub lines: Value,
}

/// Runs every variant of every plan under each of its policies. `progress` is told how many of how many are done, and what
/// was done last.
///
/// # Errors
/// The first policy that callboard does not take.
pub fn run(plans: &[Plan], progress: &(dyn Fn(usize, usize, &str) + Sync)) -> Result<Vec<Outcomes>, String> {
    struct Job {
        plan: usize,
        case: usize,
        policy: usize,
    }
    let mut jobs: Vec<Job> = Vec::new();
    for (plan, found) in plans.iter().enumerate() {
        for case in 0..found.cases.len() {
            jobs.extend((0..found.policies.len()).map(|policy| Job { plan, case, policy }));
        }
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    type Slot = Option<Result<(Row, f64), String>>;
    let slots: Mutex<Vec<Slot>> = Mutex::new((0..jobs.len()).map(|_| None).collect());
    let work = || {
        while let Some((index, job)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            jobs.get(index).map(|job| (index, job))
        } {
            let plan = &plans[job.plan];
            let (case, policy) = (&plan.cases[job.case], &plan.policies[job.policy]);
            let started = Instant::now();
            let outcome = engine::run(&case.scenario, policy)
                .map(|record| {
                    (Row { policy: policy.name.clone(), figures: record.figures(), lines: record.lines() }, started.elapsed().as_secs_f64())
                })
                .map_err(|why| format!("{}: {why}", plan.name));
            let failed = outcome.is_err();
            if let Ok(mut slots) = slots.lock() {
                slots[index] = Some(outcome);
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len(), &format!("{} {} {}", plan.name, case.variant, policy.name));
            if failed {
                next.store(jobs.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(work);
        }
    });
    let mut slots = slots.into_inner().map_err(|_| "a run panicked")?;
    if let Some(failed) = slots.iter().position(|slot| matches!(slot, Some(Err(_)))) {
        return Err(slots.swap_remove(failed).and_then(Result::err).unwrap_or_default());
    }
    let mut rows = slots.into_iter().flatten().flatten();
    let outcomes = plans.iter().map(|plan| {
        let mut took = 0.0;
        let variants = plan.cases.iter().map(|case| {
            let rows: Vec<(Row, f64)> = rows.by_ref().take(plan.policies.len()).collect();
            took += rows.iter().map(|row| row.1).sum::<f64>();
            (case.variant.clone(), rows.into_iter().map(|row| row.0).collect())
        });
        let variants = variants.collect();
        Outcomes { name: plan.name.clone(), variants, seconds: took }
    });
    Ok(outcomes.collect())
}

impl Outcomes {
    /// `{scenario, what, source, variants: [{variant, policies: [{policy, figures, lines}]}]}`; a figure that is infinite is the text
    /// `"never"`, one of nothing is null.
    pub fn to_json(&self, plan: &Plan) -> Value {
        let figure = |value: f64| if value == f64::INFINITY { json!("never") } else { json!(value) };
        let row = |row: &Row| {
            let figures: Map<String, Value> = row.figures.iter().map(|(name, value)| (name.clone(), figure(*value))).collect();
            json!({ "policy": row.policy, "figures": figures, "lines": row.lines })
        };
        let variants: Vec<Value> = self
            .variants
            .iter()
            .map(|(variant, rows)| json!({ "variant": variant, "policies": rows.iter().map(row).collect::<Vec<_>>() }))
            .collect();
        json!({ "scenario": self.name, "what": plan.what, "source": plan.source, "variants": variants })
    }
}
