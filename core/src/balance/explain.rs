//! Why this one: what a pick would choose, and what each part of the pipeline had to do with it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

use super::Balancer;
use super::members::{EJECTED, HELD};
use super::pick::Request;
use crate::error::Error;
use crate::limits;
use crate::model::{Availability, Handle};
use crate::time::{Timestamp, secs};
use crate::value::Value;

/// What a pick would choose, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The policy's name.
    pub policy: String,
    /// The choice, or why there is none.
    pub choice: Result<Handle, Error>,
    /// The service and the id of the choice.
    pub chosen: Option<(String, String)>,
    /// How many instances match the query.
    pub matching: u32,
    /// How many of them may be given a call: they have a weight, and are not unavailable.
    pub eligible: u32,
    /// How many of these the request leaves.
    pub open: u32,
    /// The availability of the pool that the choice was made in; none without a choice.
    pub pool: Option<Availability>,
    /// How the traffic of such requests is divided among levels and localities, the best first; empty when it is not divided.
    pub shares: Vec<Share>,
    /// The candidates that were compared, in the order in which they were looked at; empty for policies that compare none.
    pub looks: Vec<Looked>,
    /// The first 64 instances, by service and id, that could not be chosen, and why.
    pub left_out: Vec<LeftOut>,
}

/// What some instances are given of the traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// What they have in common: `healthy`, `degraded`, or `panic` for all of a level, well or not.
    pub kind: &'static str,
    /// Their level.
    pub level: u8,
    /// Their locality; empty when localities do not count.
    pub locality: String,
    /// How many they are.
    pub instances: u32,
    /// From 0 to 1.
    pub share: f64,
}

/// A candidate that was compared with others.
#[derive(Clone, Debug, PartialEq)]
pub struct Looked {
    /// The instance.
    pub handle: Handle,
    /// Its service.
    pub service: String,
    /// Its id.
    pub id: String,
    /// What it was compared by; the lowest wins. For `least-request` calls in flight for the average weight, for the
    /// others a cost in microseconds.
    pub score: f64,
    /// Picks of it that are not finished.
    pub in_flight: u32,
    /// Its weight in thousandths.
    pub weight: u32,
    /// The average latency that was learnt.
    pub expected: Option<Duration>,
    /// The average success that was learnt.
    pub success: Option<f64>,
}

/// An instance that could not be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its service.
    pub service: String,
    /// Its id.
    pub id: String,
    /// `weight-0`, `unavailable`, `outside` (of the client's subset), `excluded`, `ejected` (by outlier detection), `held` (at its wish), `full` (by the breaker), `labels` (it lacks those asked for); `reserve` when its level or locality is given nothing, `degraded` or `draining` while there are better ones.
    pub reason: &'static str,
}

impl Balancer {
    /// Why the last pick chose whom it chose, or nobody. None before the first, and unless [`Options::explain`](super::Options::explain)
    /// is set.
    pub fn explained(&self) -> Option<&Explanation> {
        self.trace.as_ref()?.explained()
    }

    /// What [`pick`](Self::pick) would choose for this request now, and why. Nothing is counted, drawn or learnt: the next
    /// pick for the same request at the same time chooses the same. Costs a copy of the balancer.
    pub fn explain(&self, request: &Request<'_>, now: Timestamp) -> Explanation {
        let mut twin = self.clone();
        twin.observe(now);
        let time = twin.now.as_micros();
        let (slot, looks) = if request.is_within_limits() && !twin.is_full() && !twin.is_full_of_retries(request) {
            match if time >= twin.probe_at { twin.divert(request) } else { None } {
                // It is not compared with anybody: it is asked whether it is well again.
                Some(slot) => (Some(slot), Vec::new()),
                None => {
                    let (slot, looks) = twin.tiers.explain(&mut twin.members, request, &mut twin.rng, time);
                    let is_full = slot.and_then(|slot| twin.members.in_flight(slot)).is_some_and(|count| count >= twin.breaker.instance);
                    (if is_full { twin.spill(request) } else { slot }, looks)
                }
            }
        } else {
            (None, Vec::new())
        };
        let choice = slot.and_then(|slot| twin.members.handle(slot)).ok_or_else(|| twin.refusal(request));
        let (members, tiers) = (&twin.members, twin.tiers.serving(request));
        let scope = twin.tiers.scope(members, request);
        let chosen = slot;
        let pool = slot.and_then(|slot| members.availability(slot));
        let (mut eligible, mut open, mut left_out) = (0u32, 0u32, Vec::new());
        for slot in members.order().iter().copied() {
            let Some(availability) = members.availability(slot) else { continue };
            let (service, id) = members.name(slot);
            let is_eligible = members.weight(slot) > 0 && availability != Availability::Unavailable;
            let is_excluded = members.handle(slot).is_some_and(|handle| request.exclude.contains(&handle));
            eligible = eligible.saturating_add(u32::from(is_eligible));
            open = open.saturating_add(u32::from(is_eligible && !is_excluded));
            let reason = match availability {
                _ if Some(slot) == chosen => continue,
                Availability::Unavailable if !tiers.is_in_panic(members, slot) => "unavailable",
                _ if scope.as_ref().is_some_and(|scope| !scope(slot)) => "labels",
                _ if members.own_weight(slot) == 0 => "weight-0",
                _ if members.weight(slot) == 0 => "outside",
                _ if is_excluded => "excluded",
                _ if members.is_out(slot, EJECTED) => "ejected",
                _ if members.is_out(slot, HELD) => "held",
                _ if members.in_flight(slot).is_some_and(|count| count >= twin.breaker.instance) => "full",
                _ if tiers.is_in_panic(members, slot) => continue,
                Availability::Available if tiers.is_reserve(members, slot) => "reserve",
                other if Some(other) != pool => other.as_str(),
                _ => continue,
            };
            if left_out.len() < LISTED {
                left_out.push(LeftOut { service: service.into(), id: id.into(), reason });
            }
        }
        let looked = |look: &super::policy::Look| {
            let (service, id) = members.name(look.slot);
            Some(Looked {
                handle: members.handle(look.slot)?,
                service: service.into(),
                id: id.into(),
                score: look.score,
                in_flight: members.in_flight(look.slot)?,
                weight: members.weight(look.slot),
                expected: members.expected(look.slot, time),
                success: members.success(look.slot, time),
            })
        };
        Explanation {
            policy: twin.policy().name().into(),
            choice,
            chosen: chosen.map(|slot| members.name(slot)).map(|(service, id)| (service.into(), id.into())),
            shares: tiers.shares(),
            matching: members.len() as u32,
            eligible,
            open,
            pool,
            looks: looks.iter().filter_map(looked).collect(),
            left_out,
        }
    }
}

/// Why an instance is left out, in the order in which the text tells.
const REASONS: [&str; 11] =
    ["unavailable", "weight-0", "outside", "labels", "excluded", "ejected", "held", "full", "reserve", "degraded", "draining"];

/// How many of those left out are listed: a screen of them.
const LISTED: usize = limits::EXCLUDED;

impl Explanation {
    /// Writes `{policy, choice?, service?, id?, error?, matching, eligible, open, pool?, shares: [{kind, level, locality, instances, share}], looks: [{handle, service, id, score, inflight, weight,
    /// expected?, success?}], left_out: [{service, id, reason}],
    /// text}`, the last as [`Explanation::to_text`] gives it.
    pub fn to_value(&self) -> Value {
        let looks = self.looks.iter().map(|look| {
            let mut pairs = alloc::vec![
                ("handle", Value::from(look.handle.to_bits())),
                ("service", look.service.as_str().into()),
                ("id", look.id.as_str().into()),
                ("score", look.score.into()),
                ("inflight", u64::from(look.in_flight).into()),
                ("weight", (f64::from(look.weight) / 1_000.0).into()),
            ];
            pairs.extend(look.expected.map(|expected| ("expected", secs(expected).into())));
            pairs.extend(look.success.map(|success| ("success", success.into())));
            Value::map(pairs)
        });
        let left_out = self.left_out.iter().map(|one| {
            Value::map([("service", Value::from(one.service.as_str())), ("id", one.id.as_str().into()), ("reason", one.reason.into())])
        });
        let mut pairs = alloc::vec![("policy", Value::from(self.policy.as_str()))];
        if let Some((service, id)) = &self.chosen {
            pairs.extend([("service", service.as_str().into()), ("id", id.as_str().into())]);
        }
        match &self.choice {
            Ok(handle) => pairs.push(("choice", handle.to_bits().into())),
            Err(error) => {
                pairs.push(("error", Value::map([("code", Value::from(error.code().as_str())), ("field", error.field().into())])))
            }
        }
        pairs.extend([
            ("matching", Value::from(u64::from(self.matching))),
            ("eligible", u64::from(self.eligible).into()),
            ("open", u64::from(self.open).into()),
        ]);
        pairs.extend(self.pool.map(|pool| ("pool", pool.as_str().into())));
        let shares = self.shares.iter().map(|part| {
            Value::map([
                ("kind", Value::from(part.kind)),
                ("level", u64::from(part.level).into()),
                ("locality", part.locality.as_str().into()),
                ("instances", u64::from(part.instances).into()),
                ("share", part.share.into()),
            ])
        });
        pairs.push(("shares", Value::List(shares.collect())));
        pairs.push(("looks", Value::List(looks.collect())));
        pairs.push(("left_out", Value::List(left_out.collect())));
        pairs.push(("text", self.to_text().into()));
        Value::map(pairs)
    }

    /// The explanation as text, one screen of it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> core::fmt::Result {
        let chosen = self.choice.as_ref().ok();
        match &self.choice {
            Ok(_) => {
                let name = self.chosen.as_ref().map_or("", |(_, id)| id);
                writeln!(text, "{} chooses {name}", self.policy)?;
            }
            Err(error) => writeln!(text, "{} chooses nobody: {error}", self.policy)?,
        }
        writeln!(text, "  match the query   {}", self.matching)?;
        writeln!(text, "  may be called     {}", self.eligible)?;
        writeln!(text, "  not excluded      {}", self.open)?;
        if let Some(pool) = self.pool {
            writeln!(text, "  pool              {}", pool.as_str())?;
        }
        for part in &self.shares {
            write!(text, "  {:>5.1} % to level {}", part.share * 100.0, part.level)?;
            if !part.locality.is_empty() {
                write!(text, ", {}", part.locality)?;
            }
            writeln!(text, ": {} {}", part.instances, part.kind)?;
        }
        for look in &self.looks {
            let mark = if chosen == Some(&look.handle) { "->" } else { "  " };
            write!(text, "  {mark} {}  score {:.1}  in flight {}", look.id, look.score, look.in_flight)?;
            if let Some(expected) = look.expected {
                write!(text, "  latency {:.1} ms", secs(expected) * 1e3)?;
            }
            if let Some(success) = look.success {
                write!(text, "  success {success:.2}")?;
            }
            writeln!(text)?;
        }
        for reason in REASONS {
            let mut ids = self.left_out.iter().filter(|one| one.reason == reason).map(|one| one.id.as_str());
            if let Some(first) = ids.next() {
                write!(text, "  left out, {reason}: {first}")?;
                let more = ids.clone().count().saturating_sub(8);
                for id in ids.take(8) {
                    write!(text, ", {id}")?;
                }
                if more > 0 {
                    write!(text, " and {more} more")?;
                }
                writeln!(text)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Options, Outcome, Policy};
    use crate::model::{Health, Registration, Weight};
    use crate::query::Query;
    use crate::registry::{Config, Put, Registry};
    use crate::rng::Rng;
    use std::vec;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn board(policy: &str) -> (Registry, Balancer, Vec<Handle>) {
        let mut registry = Registry::new(Config::default()).unwrap();
        let mut handles = vec![];
        for place in 0..8u32 {
            let mut registration = Registration::new("s", std::format!("b{place}"));
            match place {
                5 => registration.health = Health::Unhealthy,
                6 => registration.weight = Weight::from_thousandths(0).unwrap(),
                7 => registration.health = Health::Degraded,
                _ => {}
            }
            handles.push(registry.register(&registration, Put::default(), at(0)).unwrap().handle);
        }
        let mut balancer = Balancer::new(Query::service("s"), Policy::named(policy).unwrap(), Options::seeded(3)).unwrap();
        balancer.follow(&registry);
        (registry, balancer, handles)
    }

    #[test]
    fn it_says_what_the_next_pick_is() {
        for policy in Policy::presets() {
            let (_registry, mut balancer, handles) = board(policy);
            let mut rng = Rng::new(1);
            for step in 0..300u64 {
                let exclude = [handles[rng.below(5) as usize]];
                let key = std::format!("key-{step}");
                let request =
                    Request { key: Some(key.as_bytes()), exclude: if step % 3 == 0 { &exclude } else { &[] }, ..Request::default() };
                let told = balancer.explain(&request, at(step));
                assert_eq!(told, balancer.explain(&request, at(step)), "{policy}");
                let pick = balancer.pick(&request, at(step)).unwrap();
                assert_eq!(told.choice, Ok(pick.handle), "{policy} {step}");
                assert!(told.looks.is_empty() || told.looks.iter().any(|look| look.handle == pick.handle));
                assert_eq!((told.matching, told.eligible, told.pool), (8, 6, Some(Availability::Available)));
                assert_eq!(told.open, if step % 3 == 0 { 5 } else { 6 });
                if rng.below(4) > 0 {
                    balancer.finish(pick.token, Outcome::success(Duration::from_micros(100 * u64::from(rng.below(50)))), at(step));
                }
            }
        }
    }

    #[test]
    fn the_last_pick_is_explained_when_that_is_asked_for() {
        let (registry, mut plain, handles) = board("adaptive");
        let options = Options { explain: true, ..Options::seeded(3) };
        let mut told = Balancer::new(Query::service("s"), Policy::default(), options).unwrap();
        told.follow(&registry);
        assert_eq!((told.explained(), told.trace()), (None, None));
        for step in 0..50 {
            let exclude = [handles[step % 5]];
            let request = Request { exclude: if step % 2 == 0 { &[] } else { &exclude }, ..Request::default() };
            let expected = told.explain(&request, at(step as u64));
            let pick = told.pick(&request, at(step as u64)).unwrap();
            // It chooses as one that explains nothing.
            assert_eq!((plain.pick(&request, at(step as u64)), told.explained()), (Ok(pick), Some(&expected)));
            assert_eq!(expected.choice, Ok(pick.handle));
        }
        assert!(told.pick(&Request::excluding(&handles), at(50)).is_err());
        assert_eq!(told.explained().unwrap().choice.as_ref().unwrap_err().code(), crate::Code::AllExcluded);
        assert_eq!(plain.explained(), None);
    }

    #[test]
    fn it_says_why_there_is_nobody() {
        let (_registry, balancer, handles) = board("adaptive");
        let told = balancer.explain(&Request::excluding(&handles), at(1));
        assert_eq!(told.choice.as_ref().unwrap_err().code(), crate::Code::AllExcluded);
        let reasons: Vec<_> = told.left_out.iter().map(|one| one.reason).collect();
        assert_eq!(reasons, ["excluded", "excluded", "excluded", "excluded", "excluded", "unavailable", "weight-0", "excluded"]);
        let text = told.to_text();
        assert!(text.starts_with("adaptive chooses nobody: all-excluded"), "{text}");
        assert!(text.contains("left out, excluded: b0, b1, b2, b3, b4, b7") && text.contains("left out, weight-0: b6"), "{text}");
    }

    #[test]
    fn it_is_a_screen_of_text() {
        let (_registry, mut balancer, _) = board("adaptive");
        for step in 0..50 {
            let pick = balancer.pick(&Request::default(), at(step * 10)).unwrap();
            balancer.finish(pick.token, Outcome::success(Duration::from_millis(3)), at(step * 10 + 3));
        }
        let text = balancer.explain(&Request::default(), at(600)).to_text();
        assert!(text.lines().count() < 24 && text.contains("-> b") && text.contains("latency 3.0 ms"), "{text}");
    }
}
