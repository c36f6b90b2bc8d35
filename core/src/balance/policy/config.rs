//! A policy as data: the parts of the pipeline and their settings.

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use super::edf::Edf;
use super::first::First;
use super::hash::HashKey;
use super::jump::Jump;
use super::ketama::Ketama;
use super::maglev::Maglev;
use super::prequal::Prequal;
use super::presets::{self, Preset};
use super::rendezvous::Rendezvous;
use super::ring::Ring;
use super::sample::Sample;
use super::score::{Rules, Score};
use super::stride::Stride;
use crate::balance::after::After;
use crate::balance::before::Before;
use crate::error::{Code, Error};
use crate::value::{Fields, Value};

/// How an instance is chosen: what generates the picks, and what the other parts of the pipeline do before and after.
///
/// It is data: a name stands for a preset of the parts, and a document changes some of them. Every policy honours the
/// weights (save `first` and `jump`), never picks an instance of weight 0, never an excluded one, and gives the same
/// picks for the same inputs and seed in every language.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// What chooses among the instances that may be given the call.
    pub generator: Generator,
    /// Among whom it chooses.
    pub before: Before,
    /// What is made of the outcomes.
    pub after: After,
    name: String,
}

/// What chooses among the instances that may be given the call.
#[derive(Clone, Debug, PartialEq)]
pub enum Generator {
    /// `first`: the first in a fixed order: one active instance, the others stand by.
    First(First),
    /// `random`: one at random, in proportion to the weights. O(1) a pick.
    Random,
    /// `round-robin`: in turn, spread as evenly as the weights allow: the smooth weighted round robin of nginx.
    RoundRobin,
    /// `edf`: in turn by deadline: the weighted round robin of Envoy. O(log n) a pick.
    Edf(Edf),
    /// `stride`: in turn by a counter: the weighted round robin of gRPC.
    Stride(Stride),
    /// `sample`: the best by a score of some drawn at random, in proportion to the weights. O(1) a pick.
    Sample(Sample),
    /// `prequal`: the hot and cold rule over a pool of probes.
    Prequal(Prequal),
    /// `rendezvous`: the one that hashes highest with the request's key (weighted rendezvous hashing). O(n) a pick.
    Rendezvous(Rendezvous),
    /// `ring-hash`: the next on a circle of points: Envoy's and gRPC's ring, or one of fixed points. O(1) a pick.
    Ring(Ring),
    /// `maglev`: the one that has the place of the key's hash in a table. O(1) a pick.
    Maglev(Maglev),
    /// `ketama`: the next on a circle of 32-bit points: libketama's or nginx's. O(1) a pick.
    Ketama(Ketama),
    /// `jump`: by number, without a table; ignores weights. O(log n) a pick.
    Jump(Jump),
}

impl Policy {
    /// The policy of a generator, every other part at rest.
    pub fn of(name: &str, generator: Generator) -> Self {
        Self { generator, before: Before::default(), after: After::default(), name: name.to_owned() }
    }

    /// The same policy under another name.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// A preset.
    ///
    /// # Errors
    /// [`Code::InvalidPolicy`] for a name that is none of [`Policy::presets`].
    pub fn named(name: &str) -> Result<Self, Error> {
        presets::find(name)
    }

    /// The names of the presets.
    pub fn presets() -> impl Iterator<Item = &'static str> {
        Self::catalogue().iter().map(|preset| preset.name)
    }

    /// The presets, with where they come from.
    pub fn catalogue() -> &'static [Preset] {
        presets::all()
    }

    /// The name of the preset it is, or that it was made from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a preset's name, or `{preset?, pick?, subset?, slow_start?, labels?, sticky?, levels?, localities?, outliers?, hold?, breaker?, retry?, hedge?, reports?, limit?}`: a preset (default
    /// `adaptive`) and what is other than it says. `pick` is a generator: its name or `{kind, ..}`; the other parts are documents, or `"off"`. With a `pick`
    /// that goes by keys there is no slow start unless the document has one.
    ///
    /// # Errors
    /// [`Code::InvalidPolicy`]; [`Code::InvalidArgument`], [`Code::UnknownField`] and what the parts return, with their field.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        if let Some(name) = value.as_str() {
            return Self::named(name);
        }
        let fields = Fields::new(value, "policy", &[&["preset", "pick"], Before::KEYS.as_slice(), After::KEYS.as_slice()].concat())?;
        let mut policy = Self::named(fields.text("preset")?.unwrap_or(DEFAULT))?;
        if let Some(pick) = fields.value("pick") {
            policy.generator = Generator::from_value(pick).map_err(|error| error.within("policy.pick"))?;
            // What a preset does for its own pick would move keys here, those of others too where shares are scaled to the smallest.
            if policy.generator.goes_by_keys() {
                policy.before.slow_start = None;
            }
        }
        policy.before = policy.before.read(&fields).map_err(|error| error.within("policy"))?;
        policy.after = policy.after.read(&fields).map_err(|error| error.within("policy"))?;
        Ok(policy)
    }

    /// Writes `{preset, pick, subset, slow_start, labels, sticky, levels, localities, outliers, hold, breaker, retry, hedge, reports, limit}`.
    pub fn to_value(&self) -> Value {
        let own = [("preset", self.name.as_str().into()), ("pick", self.generator.to_value())];
        Value::map(own.into_iter().chain(self.before.pairs()).chain(self.after.pairs()))
    }

    /// The preset `least-request`.
    pub fn least_request() -> Self {
        Self::of("least-request", Generator::Sample(Sample::two(Score::InFlight)))
    }
}

const DEFAULT: &str = "adaptive";

/// The preset `adaptive`.
impl Default for Policy {
    fn default() -> Self {
        // It is in the table; a test reads every preset.
        presets::find(DEFAULT).unwrap_or_else(|_| Self::least_request())
    }
}

impl Generator {
    const KINDS: &[(&str, Self)] = &[
        ("first", Self::First(First { shuffle: false })),
        ("edf", Self::Edf(Edf { bias: 0.0 })),
        ("stride", Self::Stride(Stride { clamp: true })),
        ("random", Self::Random),
        ("round-robin", Self::RoundRobin),
        ("sample", Self::Sample(Sample::two(Score::InFlight))),
        ("prequal", Self::Prequal(Prequal::DEFAULT)),
        ("rendezvous", Self::Rendezvous(Rendezvous { load_factor: 0 })),
        ("ring-hash", Self::Ring(Ring::DEFAULT)),
        ("maglev", Self::Maglev(Maglev::DEFAULT)),
        ("ketama", Self::Ketama(Ketama::DEFAULT)),
        ("jump", Self::Jump(Jump { load_factor: 0 })),
    ];

    /// The name of its kind.
    pub fn kind(&self) -> &'static str {
        Self::KINDS
            .iter()
            .find(|(_, generator)| core::mem::discriminant(generator) == core::mem::discriminant(self))
            .map_or("", |(kind, _)| kind)
    }

    /// Reads a kind's name, or `{kind, ..}` with its settings.
    ///
    /// # Errors
    /// [`Code::InvalidPolicy`] for a kind that is none; [`Code::MissingField`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let kind = match value.as_str() {
            Some(kind) => kind,
            None => {
                let kind = value.get("kind").ok_or_else(|| Error::new(Code::MissingField, "kind"))?;
                kind.as_str().ok_or_else(|| Error::new(Code::InvalidArgument, "kind").message("expected a string"))?
            }
        };
        let known = Self::KINDS.iter().find(|(name, _)| *name == kind);
        let generator = known.map(|(_, generator)| generator.clone()).ok_or_else(|| Error::new(Code::InvalidPolicy, "kind"))?;
        if value.as_str().is_some() {
            return Ok(generator);
        }
        match generator {
            Self::First(_) => First::from_value(value).map(Self::First),
            Self::Edf(_) => Edf::from_value(value).map(Self::Edf),
            Self::Stride(_) => Stride::from_value(value).map(Self::Stride),
            Self::Sample(_) => Sample::from_value(value).map(Self::Sample),
            Self::Prequal(_) => Prequal::from_value(value).map(Self::Prequal),
            Self::Rendezvous(_) => Rendezvous::from_value(value).map(Self::Rendezvous),
            Self::Ring(_) => Ring::from_value(value).map(Self::Ring),
            Self::Maglev(_) => Maglev::from_value(value).map(Self::Maglev),
            Self::Ketama(_) => Ketama::from_value(value).map(Self::Ketama),
            Self::Jump(_) => Jump::from_value(value).map(Self::Jump),
            other => Fields::new(value, "", &["kind"]).map(|_| other),
        }
    }

    /// What the instances' signals are made by; none when nothing is learnt.
    pub(in crate::balance) fn rules(&self) -> Option<Rules> {
        if let Self::Sample(sample) = self { sample.rules() } else { None }
    }

    /// Checks the ranges of the settings that no document was checked for.
    ///
    /// # Errors
    /// [`Code::LimitExceeded`], [`Code::InvalidArgument`].
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.validate(),
            Self::Ring(ring) => ring.validate(),
            Self::Maglev(maglev) => maglev.validate(),
            Self::Ketama(ketama) => ketama.validate(),
            Self::Jump(jump) => jump.validate(),
            _ => Ok(()),
        }
    }

    /// Whether a key decides.
    fn goes_by_keys(&self) -> bool {
        matches!(self, Self::Rendezvous(_) | Self::Ring(_) | Self::Maglev(_) | Self::Ketama(_) | Self::Jump(_))
    }

    /// What is hashed of an instance; none when that is its id, or nothing.
    pub(in crate::balance) fn hash_key(&self) -> Option<&HashKey> {
        match self {
            Self::Ring(ring) => Some(&ring.hash_key),
            Self::Maglev(maglev) => Some(&maglev.hash_key),
            Self::Ketama(ketama) => Some(&ketama.hash_key),
            _ => None,
        }
    }

    /// The bound on a host's load in percent of its fair share; 0 for none.
    pub(super) fn load_factor(&self) -> u32 {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.load_factor,
            Self::Ring(ring) => ring.load_factor,
            Self::Maglev(maglev) => maglev.load_factor,
            Self::Ketama(ketama) => ketama.load_factor,
            Self::Jump(jump) => jump.load_factor,
            _ => 0,
        }
    }

    /// Writes `{kind, ..}`.
    pub fn to_value(&self) -> Value {
        match self {
            Self::First(first) => first.to_value(),
            Self::Edf(edf) => edf.to_value(),
            Self::Stride(stride) => stride.to_value(),
            Self::Sample(sample) => sample.to_value(),
            Self::Prequal(prequal) => prequal.to_value(),
            Self::Rendezvous(rendezvous) => rendezvous.to_value(),
            Self::Ring(ring) => ring.to_value(),
            Self::Maglev(maglev) => maglev.to_value(),
            Self::Ketama(ketama) => ketama.to_value(),
            Self::Jump(jump) => jump.to_value(),
            other => Value::map([("kind", Value::from(other.kind()))]),
        }
    }
}

impl TryFrom<&str> for Policy {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self, Error> {
        Self::named(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_round_trips() {
        for name in Policy::presets() {
            let policy = Policy::named(name).unwrap();
            assert_eq!(policy.name(), name);
            assert_eq!(Policy::from_value(&Value::from(name)).as_ref(), Ok(&policy));
            assert_eq!(Policy::from_value(&policy.to_value()), Ok(policy));
        }
    }

    #[test]
    fn the_default_is_adaptive() {
        assert_eq!(Policy::default(), Policy::named("adaptive").unwrap());
        assert_eq!(Policy::from_value(&Value::Map(Default::default())), Ok(Policy::default()));
    }

    #[test]
    fn a_typo_is_told() {
        let code = |value: &Value| Policy::from_value(value).unwrap_err();
        assert_eq!(code(&Value::from("leest-request")).code(), Code::InvalidPolicy);
        let error = code(&Value::map([("prset", Value::from("random"))]));
        assert_eq!((error.code(), error.field()), (Code::UnknownField, "policy.prset"));
        let error = code(&Value::map([("pick", Value::map([("kind", Value::from("rundom"))]))]));
        assert_eq!((error.code(), error.field()), (Code::InvalidPolicy, "policy.pick.kind"));
    }
}
