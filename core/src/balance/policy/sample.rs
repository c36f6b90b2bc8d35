//! `random d choices`: some candidates are drawn at random, and the best of them by a [`Score`] gets the call.
//!
//! With two choices the longest queue grows with log log n, not with log n / log log n (Azar et al. 1999; Mitzenmacher
//! 2001), and no client needs to know what the others do. The two are distinct, because drawing with replacement lets the
//! busiest win against itself (envoyproxy/envoy#14859); Envoy's and gRPC's way is there for those who want it.
//!
//! # Weights
//! Candidates are drawn in proportion to their weights, as nginx's `random two` draws them, and their loads are divided by
//! the weights. So while all are idle, traffic is shared by weight, and under load the calls in flight are. (Were the draw
//! even and the load `(picks in flight + 1) / weight`, an instance much lighter than its peers would be left alone until
//! they are loaded.) On a tie the one drawn first wins.
//!
//! Two of equal weights come from one 64-bit number; the counters are packed `u32`s, compared by cross-multiplication, and
//! the choice between the two is no branch: it would be mispredicted half the time.

use core::hint::select_unpredictable;

use super::edf::Edf;
use super::random::Table;
use super::score::{Rules, Score};
use super::{Candidates, Look};
use crate::balance::filter::TRIES;
use crate::balance::members::Members;
use crate::balance::signals::Signal;
use crate::error::{Code, Error};
use crate::limits;
use crate::rng::Rng;
use crate::value::{Fields, Value};

/// How candidates are sampled and compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// How many are drawn: 2 to 32, default 2; 0 for all of them (a full scan, ties broken at random).
    pub choices: u32,
    /// How many are drawn at most, one more at a time, as long as the best so far has calls in flight: up to 32, and `choices`
    /// by default, so that no more are. While some are idle a pick costs two looks; under load it finds what a scan finds.
    pub most: u32,
    /// Whether those drawn first must be distinct; default true. Envoy and gRPC draw with replacement.
    pub distinct: bool,
    /// What they are compared by.
    pub score: Score,
    /// What takes turns instead when the weights differ, as in Envoy's least request; none by default.
    pub uneven: Option<Edf>,
}

impl Sample {
    /// The better of two distinct ones.
    pub const fn two(score: Score) -> Self {
        Self { choices: 2, most: 2, distinct: true, score, uneven: None }
    }

    /// Reads `{kind?, choices?, most?, distinct?, score?, uneven?}`; `choices` is a number or `"all"`, the score its name or `{kind, ..}`,
    /// `uneven` an `{bias?}`.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidArgument`], [`Code::UnknownField`], and what [`Score::from_value`] returns.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["kind", "choices", "most", "distinct", "score", "uneven"])?;
        let choices = match fields.value("choices") {
            Some(all) if all.as_str() == Some("all") => 0,
            _ => fields.u64("choices")?.unwrap_or(2),
        };
        if choices == 1 {
            return Err(Error::new(Code::InvalidArgument, "choices").message("at least 2, or `all`; `random` draws one"));
        }
        if choices > u64::from(limits::CHOICES) {
            return Err(Error::too_large("choices", u64::from(limits::CHOICES)));
        }
        let most = fields.u64("most")?.unwrap_or(choices);
        if most > u64::from(limits::CHOICES) {
            return Err(Error::too_large("most", u64::from(limits::CHOICES)));
        }
        let score = fields.value("score").map(|score| Score::from_value(score).map_err(|error| error.within("score")));
        Ok(Self {
            choices: choices as u32,
            most: most as u32,
            distinct: fields.bool("distinct")?.unwrap_or(true),
            score: score.transpose()?.unwrap_or(Score::InFlight),
            uneven: fields.value("uneven").map(|edf| Edf::from_value(edf).map_err(|error| error.within("uneven"))).transpose()?,
        })
    }

    /// Writes `{kind, choices, most, distinct, score, uneven}`.
    pub fn to_value(&self) -> Value {
        let choices = if self.choices == 0 { "all".into() } else { Value::from(u64::from(self.choices)) };
        Value::map([
            ("kind", "sample".into()),
            ("choices", choices),
            ("most", u64::from(self.most).into()),
            ("distinct", self.distinct.into()),
            ("score", self.score.to_value()),
            ("uneven", self.uneven.map(|edf| edf.to_value()).into()),
        ])
    }

    /// What the instances' signals are made by; none when the score needs none.
    pub(in crate::balance) fn rules(&self) -> Option<Rules> {
        match &self.score {
            Score::InFlight => None,
            Score::Cost(cost) => Some(cost.rules()),
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::balance) struct Sampler {
    table: Table,
    /// All weights are equal.
    even: bool,
    /// The average weight.
    mean: f64,
    choices: u32,
    /// How many more may be drawn.
    more: u32,
    distinct: bool,
    /// None for in-flight counts.
    rules: Option<Rules>,
    /// The first two are distinct and of equal weights.
    is_two: bool,
    /// They are all, and compared by calls in flight.
    is_bare: bool,
    /// Comparisons since an idle one was let win.
    since: u32,
}

/// Comparisons between two that an idle one is let win, so that it is one pick in thirty at most: a client with little
/// traffic finds everybody idle, and would do nothing else.
const PATIENCE: u32 = 30;

/// Whether a candidate has no calls in flight.
#[inline]
fn is_idle(candidates: &Candidates<'_>, slot: u32) -> bool {
    candidates.members.in_flight(slot) == Some(0)
}

impl Sampler {
    pub(super) fn build(sample: &Sample, slots: &[u32], members: &Members) -> Self {
        let total = slots.iter().fold(0u64, |sum, slot| sum.saturating_add(u64::from(members.weight(*slot))));
        let even = members.are_even(slots);
        let is_two = even && sample.choices == 2 && sample.distinct && slots.len() > 1;
        Self {
            table: Table::build(slots, members),
            is_two,
            is_bare: is_two && sample.most <= 2 && sample.score == Score::InFlight,
            even,
            mean: total as f64 / slots.len().max(1) as f64,
            choices: sample.choices,
            more: if sample.choices == 0 { 0 } else { sample.most.saturating_sub(sample.choices) },
            distinct: sample.distinct,
            rules: sample.rules(),
            since: PATIENCE,
        }
    }

    /// The one with fewer calls in flight of two distinct ones of equal weights; none for a policy that wants more.
    #[inline(always)]
    pub(super) fn pick_of_two(&self, slots: &[u32], members: &Members, rng: &mut Rng) -> Option<u32> {
        if !self.is_bare {
            return None;
        }
        let (one, two) = rng.two_distinct(slots.len() as u32);
        let (one, two) = (*slots.get(one as usize)?, *slots.get(two as usize)?);
        let is_first = members.in_flight(one)? <= members.in_flight(two)?;
        Some(select_unpredictable(is_first, one, two))
    }

    /// The better of two of equal weights, with its calls in flight; on a tie the first.
    #[inline]
    fn cheaper(&mut self, members: &Members, one: u32, two: u32, now: u64) -> Option<(u32, u32)> {
        let loads = (members.in_flight(one)?, members.in_flight(two)?);
        let is_first = match &self.rules {
            None => loads.0 <= loads.1,
            Some(rules) => {
                let typical = members.typical();
                let (signal_one, signal_two) = (members.signal(one)?, members.signal(two)?);
                let cost_one = rules.cost(signal_one, loads.0, f64::from(loads.0), typical, now);
                let cost_two = rules.cost(signal_two, loads.1, f64::from(loads.1), typical, now);
                let is_first = cost_one <= cost_two;
                is_first != self.spares(if is_first { signal_two } else { signal_one }, now)
            }
        };
        Some(if is_first { (one, loads.0) } else { (two, loads.1) })
    }

    /// Whether the one that loses the comparison gets the call all the same, because it had none for long.
    #[inline]
    fn spares(&mut self, loser: &Signal, now: u64) -> bool {
        self.since = self.since.saturating_add(1);
        let idle = self.rules.as_ref().map_or(u64::MAX, |rules| rules.idle);
        let is_spared = loser.is_idle(idle, now) && self.since > PATIENCE;
        if is_spared {
            self.since = 0;
        }
        is_spared
    }

    #[inline]
    pub(super) fn pick(&mut self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        let count = candidates.len();
        if self.is_two && candidates.excluded.is_empty() && candidates.log.is_none() {
            return self.pick_cheaper(candidates.slots, candidates.members, rng, candidates.now);
        }
        if self.is_two && candidates.excluded.is_empty() {
            let (one, two) = rng.two_distinct(count);
            let best = self.better(candidates, candidates.slot(one)?, candidates.slot(two)?)?;
            return self.look_on(candidates, best, rng);
        }
        match self.choices {
            0 => self.scan(candidates, rng),
            _ if count < 2 => candidates.open().next(),
            _ => {
                let best = self.draw(candidates, rng)?;
                self.look_on(candidates, best, rng)
            }
        }
    }

    /// [`Sampler::pick`] among two of equal weights of whom nobody is excluded; none for a policy that wants more.
    #[inline(always)]
    pub(in crate::balance) fn pick_cheaper(&mut self, slots: &[u32], members: &Members, rng: &mut Rng, now: u64) -> Option<u32> {
        if !self.is_two {
            return None;
        }
        let (one, two) = rng.two_distinct(slots.len() as u32);
        let (best, load) = self.cheaper(members, *slots.get(one as usize)?, *slots.get(two as usize)?, now)?;
        if self.more == 0 || load == 0 { Some(best) } else { self.look_on(&Candidates::all(slots, members, now), best, rng) }
    }

    /// Draws more, as long as the best has calls in flight.
    #[inline(never)]
    fn look_on(&mut self, candidates: &Candidates<'_>, mut best: u32, rng: &mut Rng) -> Option<u32> {
        for _ in 0..self.more {
            if is_idle(candidates, best) {
                break;
            }
            let slot = self.table.pick(candidates, rng)?;
            if slot != best {
                best = self.better(candidates, best, slot)?;
            }
        }
        Some(best)
    }

    /// Draws by weight, among those that the request leaves. A draw that must be distinct and is not is made again, but not
    /// for ever: then there are fewer choices.
    #[inline(never)]
    fn draw(&mut self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        let mut best = self.table.pick(candidates, rng)?;
        let mut seen = [best; limits::CHOICES as usize];
        for turn in 1..self.choices.min(limits::CHOICES) as usize {
            let before = seen.get(..turn)?;
            let tries = if self.distinct { TRIES } else { 1 };
            let draw = (0..tries).find_map(|_| self.table.pick(candidates, rng).filter(|slot| !self.distinct || !before.contains(slot)));
            let slot = draw.unwrap_or(best);
            if slot != best {
                best = self.better(candidates, best, slot)?;
            }
            *seen.get_mut(turn)? = slot;
        }
        Some(best)
    }

    /// Looks at all of them. Of equals each is as likely as the others.
    #[inline(never)]
    fn scan(&mut self, candidates: &Candidates<'_>, rng: &mut Rng) -> Option<u32> {
        let mut open = candidates.open();
        let mut best = open.next()?;
        let mut ties = 1u64;
        for slot in open {
            if self.better(candidates, best, slot)? == slot {
                (best, ties) = (slot, 1);
            } else if self.better(candidates, slot, best)? == slot {
                // Neither beats the other.
                ties = ties.saturating_add(1);
                if rng.below_u64(ties) == 0 {
                    best = slot;
                }
            }
        }
        Some(best)
    }

    /// What a candidate is compared by.
    fn score(&self, candidates: &Candidates<'_>, slot: u32) -> f64 {
        let members = candidates.members;
        let in_flight = members.in_flight(slot).unwrap_or_default();
        let load = f64::from(in_flight) * self.mean / f64::from(members.weight(slot).max(1));
        match (&self.rules, members.signal(slot)) {
            (Some(rules), Some(signal)) => rules.cost(signal, in_flight, load, members.typical(), candidates.now),
            _ => load,
        }
    }

    /// The better of two; on a tie the first.
    #[inline]
    fn better(&mut self, candidates: &Candidates<'_>, one: u32, two: u32) -> Option<u32> {
        let members = candidates.members;
        let (load_one, load_two) = (members.in_flight(one)?, members.in_flight(two)?);
        if candidates.log.is_some() {
            candidates.note(|| Look { slot: one, score: self.score(candidates, one) });
            candidates.note(|| Look { slot: two, score: self.score(candidates, two) });
        }
        let Some(rules) = &self.rules else {
            let first = if self.even {
                load_one <= load_two
            } else {
                // At most 2^20 picks in flight, weights below 2^26.
                let cross = |load: u32, weight: u32| u64::from(load).wrapping_mul(u64::from(weight));
                cross(load_one, members.weight(two)) <= cross(load_two, members.weight(one))
            };
            return Some(select_unpredictable(first, one, two));
        };
        let (now, typical) = (candidates.now, members.typical());
        let (signal_one, signal_two) = (members.signal(one)?, members.signal(two)?);
        let load = |load: u32, slot: u32| {
            let load = f64::from(load);
            if self.even { load } else { load * self.mean / f64::from(members.weight(slot).max(1)) }
        };
        let cost_one = rules.cost(signal_one, load_one, load(load_one, one), typical, now);
        let cost_two = rules.cost(signal_two, load_two, load(load_two, two), typical, now);
        let (winner, loser, other) = if cost_one <= cost_two { (one, two, signal_two) } else { (two, one, signal_one) };
        Some(if self.spares(other, now) { loser } else { winner })
    }
}
