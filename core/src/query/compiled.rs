//! A query made ready to be asked of many instances.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::BitOr;

use super::decimal::Decimal;
use super::selector::{Attribute, Check, Kind, Node, operands};
use crate::model::{Availability, Health, Instance, Registration, Version, Weight};

/// One instance as a query sees it.
///
/// A method that is not written answers as an instance that says nothing of it. So a subject that stands for one
/// distinct metadata set needs `metadata` only, and may be asked every [`Conjunct`] that reads nothing else.
pub trait Subject {
    /// The namespace.
    fn namespace(&self) -> &str {
        ""
    }
    /// The service.
    fn service(&self) -> &str {
        ""
    }
    /// The instance id.
    fn id(&self) -> &str {
        ""
    }
    /// The metadata value at `key`.
    fn metadata(&self, _key: &str) -> Option<&str> {
        None
    }
    /// Whether `tag` is one of its tags.
    fn has_tag(&self, _tag: &str) -> bool {
        false
    }
    /// The region, empty when unknown.
    fn region(&self) -> &str {
        ""
    }
    /// The zone, empty when unknown.
    fn zone(&self) -> &str {
        ""
    }
    /// The part of the zone, empty when unknown.
    fn subzone(&self) -> &str {
        ""
    }
    /// The machine, empty when unknown.
    fn node(&self) -> &str {
        ""
    }
    /// The version.
    fn version(&self) -> Option<&Version> {
        None
    }
    /// The weight.
    fn weight(&self) -> Weight {
        Weight::ONE
    }
    /// The health last reported.
    fn health(&self) -> Health {
        Health::Unknown
    }
    /// Whether it may be given a call.
    fn availability(&self) -> Availability {
        Availability::Available
    }
}

/// As the registry would hold it right after it was registered: enabled, its lease live.
impl Subject for Registration {
    fn namespace(&self) -> &str {
        &self.namespace
    }
    fn service(&self) -> &str {
        &self.service
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key)
    }
    fn has_tag(&self, tag: &str) -> bool {
        self.tags.contains(tag)
    }
    fn region(&self) -> &str {
        &self.locality.region
    }
    fn zone(&self) -> &str {
        &self.locality.zone
    }
    fn subzone(&self) -> &str {
        &self.locality.subzone
    }
    fn node(&self) -> &str {
        &self.locality.node
    }
    fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }
    fn weight(&self) -> Weight {
        self.weight
    }
    fn health(&self) -> Health {
        self.health
    }
    fn availability(&self) -> Availability {
        use crate::model::{AdminState, LeaseState};
        Availability::of(self.health, AdminState::Enabled, LeaseState::Live)
    }
}

impl Subject for Instance {
    fn namespace(&self) -> &str {
        &self.registration.namespace
    }
    fn service(&self) -> &str {
        &self.registration.service
    }
    fn id(&self) -> &str {
        &self.registration.id
    }
    fn metadata(&self, key: &str) -> Option<&str> {
        Subject::metadata(&self.registration, key)
    }
    fn has_tag(&self, tag: &str) -> bool {
        self.registration.has_tag(tag)
    }
    fn region(&self) -> &str {
        self.registration.region()
    }
    fn zone(&self) -> &str {
        Subject::zone(&self.registration)
    }
    fn subzone(&self) -> &str {
        self.registration.subzone()
    }
    fn node(&self) -> &str {
        self.registration.node()
    }
    fn version(&self) -> Option<&Version> {
        Subject::version(&self.registration)
    }
    fn weight(&self) -> Weight {
        Subject::weight(&self.registration)
    }
    fn health(&self) -> Health {
        Subject::health(&self.registration)
    }
    fn availability(&self) -> Availability {
        Instance::availability(self)
    }
}

/// Parts of a record, as a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Reads(u8);

impl Reads {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// [`Subject::metadata`].
    pub const METADATA: Self = Self(1);
    /// [`Subject::has_tag`].
    pub const TAGS: Self = Self(1 << 1);
    /// [`Subject::region`], [`Subject::zone`], [`Subject::subzone`], [`Subject::node`].
    pub const LOCALITY: Self = Self(1 << 2);
    /// [`Subject::version`].
    pub const VERSION: Self = Self(1 << 3);
    /// [`Subject::weight`].
    pub const WEIGHT: Self = Self(1 << 4);
    /// [`Subject::health`].
    pub const HEALTH: Self = Self(1 << 5);
    /// [`Subject::availability`].
    pub const AVAILABILITY: Self = Self(1 << 6);
    /// [`Subject::service`] or [`Subject::id`].
    pub const KEY: Self = Self(1 << 7);

    const NAMES: [(Self, &str); 8] = [
        (Self::METADATA, "metadata"),
        (Self::TAGS, "tags"),
        (Self::LOCALITY, "locality"),
        (Self::VERSION, "version"),
        (Self::WEIGHT, "weight"),
        (Self::HEALTH, "health"),
        (Self::AVAILABILITY, "availability"),
        (Self::KEY, "key"),
    ];

    /// Whether every part of `other` is in this.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The parts of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Reads {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Self::NAMES.iter().filter(|(part, _)| self.contains(*part)).map(|(_, name)| name)).finish()
    }
}

/// A [`Query`](super::Query) made ready: its scope, its limit, and the conditions that must all hold.
#[derive(Clone)]
pub struct Compiled {
    pub(super) namespace: String,
    pub(super) service: Option<String>,
    pub(super) limit: Option<u32>,
    pub(super) conjuncts: Vec<Conjunct>,
    pub(super) fallbacks: Vec<Compiled>,
}

impl Compiled {
    /// The one namespace it looks at.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The one service it looks at; `None` for every service of the namespace.
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// At most how many instances it answers.
    pub fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// The conditions that must all hold of an instance in scope; none when all do. First health, then version,
    /// locality, tags, then the selector's in its order.
    ///
    /// To answer at scale: keep the verdict of a conjunct that [reads](Conjunct::reads) one interned part per
    /// distinct value of that part, use an index where [`as_one_of`](Conjunct::as_one_of) allows, and ask only what
    /// is left of each instance.
    pub fn conjuncts(&self) -> &[Conjunct] {
        &self.conjuncts
    }

    /// The query itself, then its fallbacks in their order. The answer is that of the first rung that finds anybody.
    pub fn rungs(&self) -> impl Iterator<Item = &Self> {
        core::iter::once(self).chain(&self.fallbacks)
    }

    /// Whether `subject` is in scope and every condition holds of it. Looks neither at the limit nor at the fallbacks.
    pub fn matches(&self, subject: &(impl Subject + ?Sized)) -> bool {
        subject.namespace() == self.namespace
            && self.service.as_ref().is_none_or(|service| subject.service() == service)
            && self.conjuncts.iter().all(|conjunct| conjunct.matches(subject))
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").field("namespace", &self.namespace).field("service", &self.service).finish_non_exhaustive()
    }
}

/// One of the conditions of a query that must all hold.
#[derive(Clone)]
pub struct Conjunct {
    reads: Reads,
    /// A decision diagram: each step goes on to an earlier step or ends, so a verdict takes at most one visit of
    /// each, without recursion or a stack, and skips what no longer matters. It is entered at the last step.
    steps: Vec<Step>,
    /// The verdict when there are no steps, the entry otherwise.
    entry: u16,
}

#[derive(Clone)]
struct Step {
    check: Check,
    yes: u16,
    no: u16,
}

/// Where a decision ends; indices of steps are below both.
const YES: u16 = u16::MAX;
const NO: u16 = u16::MAX - 1;

impl Conjunct {
    pub(super) fn of(check: Check) -> Self {
        Self { reads: check.reads(), steps: alloc::vec![Step { check, yes: YES, no: NO }], entry: 0 }
    }

    /// The parts of a tree of which each must hold, or must not: the operands of `and`, and of `or` under `not`.
    pub(super) fn places(nodes: &[Node]) -> Vec<(usize, bool)> {
        let mut places = Vec::new();
        let mut open: Vec<(usize, bool)> = nodes.len().checked_sub(1).map(|root| (root, true)).into_iter().collect();
        while let Some((at, wanted)) = open.pop() {
            match (nodes.get(at).map(|node| &node.kind), wanted) {
                (Some(Kind::Not), _) => open.extend(operands(nodes, at).map(|operand| (operand, !wanted))),
                // Operands come from the last to the first, and so are taken from the stack in order.
                (Some(Kind::All), true) | (Some(Kind::Any), false) => open.extend(operands(nodes, at).map(|operand| (operand, wanted))),
                _ => places.push((at, wanted)),
            }
        }
        places
    }

    /// That a part of a tree holds, or does not.
    pub(super) fn at(nodes: &[Node], at: usize, wanted: bool) -> Self {
        let mut conjunct = Self { reads: Reads::NONE, steps: Vec::new(), entry: NO };
        let (yes, no) = if wanted { (YES, NO) } else { (NO, YES) };
        conjunct.entry = conjunct.emit(nodes, at, yes, no);
        conjunct
    }

    /// Writes the steps that decide the subtree at `at` and go on to `yes` or `no`; returns where to enter them.
    /// Recursion is bounded by the depth of the tree, which the parser bounds.
    fn emit(&mut self, nodes: &[Node], at: usize, yes: u16, no: u16) -> u16 {
        match nodes.get(at).map(|node| &node.kind) {
            Some(Kind::Check(check)) => {
                self.reads = self.reads | check.reads();
                self.steps.push(Step { check: check.clone(), yes, no });
                // At most 256 nodes.
                self.steps.len().saturating_sub(1) as u16
            }
            Some(Kind::Not) => operands(nodes, at).fold(yes, |_, operand| self.emit(nodes, operand, no, yes)),
            Some(Kind::All) => operands(nodes, at).fold(yes, |next, operand| self.emit(nodes, operand, next, no)),
            Some(Kind::Any) => operands(nodes, at).fold(no, |next, operand| self.emit(nodes, operand, yes, next)),
            None => no,
        }
    }

    /// The parts of a record its verdict depends on, and no others.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// Whether it holds of `subject`. Never panics; a comparison of things that cannot be compared is false. The
    /// time is at most proportional to the size of the selector and of the values it reads.
    pub fn matches(&self, subject: &(impl Subject + ?Sized)) -> bool {
        let mut at = self.entry;
        while let Some(step) = self.steps.get(usize::from(at)) {
            at = if step.check.holds(subject) { step.yes } else { step.no };
        }
        at == YES
    }

    /// The attribute and the values (sorted, unique, at least one) when it holds exactly of the instances whose
    /// attribute is one of the values; for [`Attribute::Tags`], of those that have one of the tags.
    ///
    /// Never for version and weight, which are not compared as text.
    pub fn as_one_of(&self) -> Option<(&Attribute, &[String])> {
        match self.steps.as_slice() {
            [Step { check: Check::OneOf(attribute, values), yes: YES, no: NO }] if *attribute != Attribute::Weight => {
                Some((attribute, values))
            }
            _ => None,
        }
    }

    /// As [`Conjunct::as_one_of`] when there is one value: a plain equality, or one tag to be had.
    pub fn as_equality(&self) -> Option<(&Attribute, &str)> {
        match self.as_one_of()? {
            (attribute, [value]) => Some((attribute, value)),
            _ => None,
        }
    }
}

impl fmt::Debug for Conjunct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conjunct({} steps, reads {:?})", self.steps.len(), self.reads)
    }
}

impl Check {
    fn reads(&self) -> Reads {
        match self {
            Self::Exists(attribute) | Self::OneOf(attribute, _) | Self::Compare(attribute, ..) | Self::Matches(attribute, _) => {
                attribute.reads()
            }
            Self::Version(_) => Reads::VERSION,
            Self::Health(_) => Reads::AVAILABILITY,
        }
    }

    fn holds(&self, subject: &(impl Subject + ?Sized)) -> bool {
        match self {
            Self::Exists(Attribute::Version) => subject.version().is_some(),
            Self::Exists(Attribute::Weight) => true,
            Self::Exists(attribute) => attribute.text(subject).is_some(),
            Self::OneOf(Attribute::Tags, tags) => tags.iter().any(|tag| subject.has_tag(tag)),
            Self::OneOf(Attribute::Weight, weights) => {
                let own = subject.weight().thousandths();
                weights.iter().filter_map(|weight| Decimal::parse(weight)).any(|weight| weight.cmp_thousandths(own).is_eq())
            }
            Self::OneOf(attribute, values) => {
                attribute.text(subject).is_some_and(|text| values.binary_search_by(|value| value.as_str().cmp(text)).is_ok())
            }
            Self::Compare(Attribute::Weight, order, number) => {
                let own = subject.weight().thousandths();
                Decimal::parse(number).is_some_and(|number| order.holds(number.cmp_thousandths(own).reverse()))
            }
            Self::Compare(attribute, order, number) => {
                let own = attribute.text(subject).and_then(Decimal::parse);
                own.zip(Decimal::parse(number)).is_some_and(|(own, number)| order.holds(own.cmp(&number)))
            }
            Self::Matches(attribute, glob) => attribute.text(subject).is_some_and(|text| glob.matches(text)),
            Self::Version(ranges) => subject.version().is_some_and(|version| ranges.iter().any(|range| range.matches(version))),
            Self::Health(filter) => filter.admits(subject.availability()),
        }
    }
}

impl Attribute {
    /// The part of a record it is in.
    pub fn reads(&self) -> Reads {
        match self {
            Self::Metadata(_) => Reads::METADATA,
            Self::Tags => Reads::TAGS,
            Self::Region | Self::Zone | Self::Subzone | Self::Node => Reads::LOCALITY,
            Self::Version => Reads::VERSION,
            Self::Health => Reads::HEALTH,
            Self::Weight => Reads::WEIGHT,
            Self::Id | Self::Service => Reads::KEY,
        }
    }

    /// The value, for an attribute that is compared as text and is present.
    fn text<'a>(&self, subject: &'a (impl Subject + ?Sized)) -> Option<&'a str> {
        let known = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        match self {
            Self::Metadata(key) => subject.metadata(key),
            Self::Region => known(subject.region()),
            Self::Zone => known(subject.zone()),
            Self::Subzone => known(subject.subzone()),
            Self::Node => known(subject.node()),
            Self::Health => Some(subject.health().as_str()),
            Self::Id => Some(subject.id()),
            Self::Service => Some(subject.service()),
            Self::Tags | Self::Version | Self::Weight => None,
        }
    }
}
