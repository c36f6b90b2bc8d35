//! Why these: which condition of a query leaves each instance out, and why there is nobody when there is nobody.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::Registry;
use crate::error::{Code, Error};
use crate::model::{AdminState, Availability, Handle, Health, LeaseState};
use crate::query::{Compiled, Condition, Query};
use crate::value::Value;

/// Why a query finds whom it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryExplanation {
    /// The namespace.
    pub namespace: String,
    /// The revision it is true of.
    pub revision: u64,
    /// The life of the registry.
    pub epoch: u64,
    /// Which rung answers.
    pub rung: u32,
    /// Whether a source in scope is held at its last good listing.
    pub stale: bool,
    /// Whether protection holds overdue instances of a service in scope.
    pub protected: bool,
    /// The query itself and its fallbacks, each as if it were asked alone.
    pub rungs: Vec<ExplainedRung>,
}

/// What one rung finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedRung {
    /// The service; none for every service of the namespace.
    pub service: Option<String>,
    /// How many instances are on record.
    pub known: u32,
    /// How many of them are found.
    pub found: u32,
    /// Why nobody is: [`UnknownService`](Code::UnknownService) when nobody is on record, [`NoneAvailable`](Code::NoneAvailable) when some match but for
    /// their health, the operator's word or their lease, and otherwise [`NoInstances`](Code::NoInstances).
    pub problem: Option<Code>,
    /// How many instances each condition leaves out, in order of the conditions; one that fails several is counted at each.
    pub conditions: Vec<(Condition, u32)>,
    /// The first 64 that are left out, by service and id.
    pub failed: Vec<Unmatched>,
    /// How many more are.
    pub more: u32,
}

/// An instance that is not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The instance.
    pub handle: Handle,
    /// Its service.
    pub service: String,
    /// Its id.
    pub id: String,
    /// The conditions that it fails.
    pub conditions: Vec<Condition>,
}

/// How many are named.
pub(super) const NAMED: usize = 64;
/// How many are a screen.
const SCREEN: usize = 16;

impl Registry {
    /// Which condition of a query leaves each instance out. Costs a look at each instance in scope.
    ///
    /// # Errors
    /// As [`Query::validate`].
    pub fn explain(&self, query: &Query) -> Result<QueryExplanation, Error> {
        self.explain_to(query, &|_| true)
    }

    /// The same for somebody who may know of some services only.
    pub(crate) fn explain_to(&self, query: &Query, may_read: &dyn Fn(&str) -> bool) -> Result<QueryExplanation, Error> {
        let compiled = query.compile()?;
        let asked = core::iter::once(query).chain(&query.fallbacks);
        let rungs: Vec<ExplainedRung> = asked.zip(compiled.rungs()).map(|(query, rung)| self.explain_rung(query, rung, may_read)).collect();
        let first = rungs.iter().zip(0u32..).find(|(rung, _)| rung.found > 0);
        let (stale, protected) = self.standing(&compiled);
        Ok(QueryExplanation {
            namespace: query.namespace.clone(),
            revision: self.revision,
            epoch: self.epoch,
            rung: first.map_or(0, |(_, number)| number),
            stale,
            protected,
            rungs,
        })
    }

    fn explain_rung(&self, query: &Query, rung: &Compiled, may_read: &dyn Fn(&str) -> bool) -> ExplainedRung {
        let services = self.store.services.list(Some(rung.namespace())).map(|(_, service)| service);
        let services = services.filter(|service| rung.service().is_none_or(|name| *service.name == *name) && may_read(&service.name));
        let conditions = query.conditions();
        let (mut counts, mut almost) = (BTreeMap::new(), false);
        let service = query.service.clone();
        let mut told = ExplainedRung { service, known: 0, found: 0, problem: None, conditions: Vec::new(), failed: Vec::new(), more: 0 };
        for (service, slot) in services.flat_map(|service| service.members.iter().map(move |slot| (service, *slot))) {
            told.known = told.known.saturating_add(1);
            let mut failed = Vec::new();
            for (condition, conjunct) in &conditions {
                match query.health_of(condition) {
                    Some(filter) => {
                        failed.extend(self.causes(slot).into_iter().filter(|(_, alone)| !filter.admits(*alone)).map(|(fact, _)| fact))
                    }
                    None if !conjunct.matches(&self.subject(slot)) => failed.push(condition.clone()),
                    None => {}
                }
            }
            if failed.is_empty() && query.limit.is_none_or(|limit| told.found < limit) {
                told.found = told.found.saturating_add(1);
                continue;
            }
            almost |= !failed.is_empty() && failed.iter().all(Condition::is_state);
            if failed.is_empty() {
                failed.push(Condition::new("limit", alloc::format!("{}", told.found)));
            }
            for condition in &failed {
                let count = counts.entry(condition.clone()).or_insert(0u32);
                *count = count.saturating_add(1);
            }
            if told.failed.len() < NAMED {
                let (handle, service, id) = (self.store.handle(slot), String::from(&*service.name), self.store.id(slot));
                told.failed.push(Unmatched { handle, service, id, conditions: failed });
            } else {
                told.more = told.more.saturating_add(1);
            }
        }
        told.problem = match (told.found, told.known) {
            (1.., _) => None,
            (0, 0) => Some(Code::UnknownService),
            _ if almost => Some(Code::NoneAvailable),
            _ => Some(Code::NoInstances),
        };
        told.conditions = counts.into_iter().collect();
        told
    }

    /// What the health, the operator's word and the lease of an instance would each make of it alone.
    fn causes(&self, slot: u32) -> [(Condition, Availability); 3] {
        let (health, admin, lease) = (self.store.health(slot), self.store.flags(slot).admin(), self.store.lease_state(slot));
        let fact = |part, word: &str| Condition::new(part, word);
        [
            (fact("health", health.as_str()), Availability::of(health, AdminState::Enabled, LeaseState::Live)),
            (fact("admin", admin.as_str()), Availability::of(Health::Healthy, admin, LeaseState::Live)),
            (fact("lease", lease.as_str()), Availability::of(Health::Healthy, AdminState::Enabled, lease)),
        ]
    }
}

impl QueryExplanation {
    /// Writes `{namespace, revision, epoch, rung, stale, protected, rungs, text}`, of each rung `{service?, known, found, code?, conditions: [{part,
    /// text, fails}], failed: [{service, id, handle, conditions: [{part, text}]}], more}`.
    pub fn to_value(&self) -> Value {
        Value::map([
            ("namespace", Value::from(self.namespace.as_str())),
            ("revision", self.revision.into()),
            ("epoch", self.epoch.into()),
            ("rung", u64::from(self.rung).into()),
            ("stale", self.stale.into()),
            ("protected", self.protected.into()),
            ("rungs", Value::List(self.rungs.iter().map(ExplainedRung::to_value).collect())),
            ("text", self.text().into()),
        ])
    }

    /// All of it as a screen of text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to memory does not fail.
        let _ = self.print(&mut out);
        out
    }

    fn print(&self, out: &mut String) -> core::fmt::Result {
        for (rung, number) in self.rungs.iter().zip(0u32..) {
            let name = rung.service.as_deref().unwrap_or("every service");
            let as_whom = if number == 0 { String::new() } else { alloc::format!("fallback {number}: ") };
            write!(out, "{as_whom}{name} in {}: found {} of {}", self.namespace, rung.found, rung.known)?;
            rung.problem.map_or(Ok(()), |code| write!(out, ", {code}"))?;
            out.push('\n');
            for (condition, count) in &rung.conditions {
                writeln!(out, "  {count} left out by {condition}")?;
            }
            let named = rung.failed.len().min(SCREEN);
            for own in rung.failed.iter().take(named) {
                let name = if rung.service.is_some() { String::new() } else { alloc::format!("{}/", own.service) };
                let why: Vec<String> = own.conditions.iter().map(|condition| alloc::format!("{condition}")).collect();
                writeln!(out, "  {name}{}: {}", own.id, why.join(", "))?;
            }
            let more = rung.failed.len().saturating_sub(named).saturating_add(rung.more as usize);
            if more > 0 {
                writeln!(out, "  and {more} more")?;
            }
        }
        let flags = [(self.stale, ", stale"), (self.protected, ", protected")].map(|(flag, word)| if flag { word } else { "" });
        writeln!(out, "answered by rung {} at revision {} of epoch {}{}", self.rung, self.revision, self.epoch, flags.concat())
    }
}

impl ExplainedRung {
    fn to_value(&self) -> Value {
        let part = |condition: &Condition| [("part", Value::from(condition.part())), ("text", Value::from(condition.text()))];
        let counted = |(condition, count): &(Condition, u32)| {
            let [name, text] = part(condition);
            Value::map([name, text, ("fails", u64::from(*count).into())])
        };
        let unmatched = |own: &Unmatched| {
            Value::map([
                ("service", Value::from(own.service.as_str())),
                ("id", own.id.as_str().into()),
                ("handle", own.handle.to_bits().into()),
                ("conditions", Value::List(own.conditions.iter().map(|condition| Value::map(part(condition))).collect())),
            ])
        };
        let service = self.service.as_ref().map(|service| ("service", Value::from(service.as_str())));
        let counts = [("known", u64::from(self.known).into()), ("found", u64::from(self.found).into())];
        let problem = self.problem.map(|code| ("code", Value::from(code.as_str())));
        let rest = [
            ("conditions", Value::List(self.conditions.iter().map(counted).collect())),
            ("failed", Value::List(self.failed.iter().map(unmatched).collect())),
            ("more", u64::from(self.more).into()),
        ];
        Value::map(service.into_iter().chain(counts).chain(problem).chain(rest))
    }
}
