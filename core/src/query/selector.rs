//! What a selector is: its text, its tree, its attributes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::decimal::Decimal;
use super::glob::Glob;
use super::lexer::Order;
use super::range::VersionRange;
use super::{HealthFilter, parser, print};
use crate::error::Error;
use crate::limits;

/// A condition on instances, in the language that the [module](super) describes.
///
/// Two selectors are equal when they mean the same by the same tree: spelling, spaces, redundant parentheses, the
/// order and repetition of listed values do not count. The empty selector takes every instance.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Post-order: a node stands after its operands, the root last. Nothing for the empty selector.
    pub(super) nodes: Vec<Node>,
    text: String,
}

/// One node of the tree. The subtree of the node at `i` is `nodes[start..=i]`, so children are found from the
/// last to the first by stepping over whole subtrees, and dropping a tree is dropping one flat list.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) start: u16,
    pub(super) kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Check(Check),
    /// Never above another `Not`.
    Not,
    /// Two or more operands, none of them an `All`.
    All,
    /// Two or more operands, none of them an `Any`.
    Any,
}

/// A condition on one attribute. Every one is false of an attribute that is absent; what is true of absence
/// (`!=`, `notin`, `!key`) is a `Not` above it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Check {
    Exists(Attribute),
    /// Sorted, unique, not empty. Canonical decimals when the attribute is the weight.
    OneOf(Attribute, Vec<String>),
    /// The number is a canonical decimal.
    Compare(Attribute, Order, String),
    Matches(Attribute, Glob),
    /// In any of them; several only as `=` ranges of an `in` list.
    Version(Vec<VersionRange>),
    /// Not of the language: the health condition of a query.
    Health(HealthFilter),
}

impl Selector {
    /// Reads a selector of at most 4096 bytes (as written and as printed), 256 nodes and depth 32; see the
    /// [module](super) for the language. The time is proportional to the text.
    ///
    /// # Errors
    /// [`Code::InvalidSelector`](crate::Code::InvalidSelector) with the column in the message, counted in characters
    /// from 1; [`Code::LimitExceeded`](crate::Code::LimitExceeded) with the field `selector`, `selector nodes`,
    /// `selector depth`, `selector key` or `selector pattern` and the limit.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fits = |text: &str| match text.len() {
            0..=limits::SELECTOR_BYTES => Ok(()),
            _ => Err(Error::too_large("selector", limits::SELECTOR_BYTES as u64)),
        };
        fits(text)?;
        let nodes = parser::parse(text)?;
        let text = print::print(&nodes);
        // `version 1` prints as `version ^1`: what was read must be readable when it is printed.
        fits(&text)?;
        Ok(Self { nodes, text })
    }

    /// The one spelling of it, which reads back as an equal selector. Kubernetes' own where the selector is one
    /// of Kubernetes': `env=prod,tier in (a,b),!canary`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it takes every instance.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({self})")
    }
}

/// The operands of the node at `at`, from the last to the first.
pub(super) fn operands(nodes: &[Node], at: usize) -> impl Iterator<Item = usize> {
    let start = nodes.get(at).map_or(at, |node| usize::from(node.start));
    let mut end = at;
    core::iter::from_fn(move || {
        let child = end.checked_sub(1).filter(|child| *child >= start)?;
        end = nodes.get(child).map_or(0, |node| usize::from(node.start));
        Some(child)
    })
}

/// What a condition reads of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// The metadata value at a key: `meta.KEY`, or `KEY` alone when it is no word of the language.
    Metadata(String),
    /// The tags.
    Tags,
    /// The region; absent when unknown.
    Region,
    /// The zone; absent when unknown.
    Zone,
    /// The part of the zone; absent when unknown.
    Subzone,
    /// The machine; absent when unknown.
    Node,
    /// The semantic version, if there is one.
    Version,
    /// The health last reported: `unknown`, `starting`, `healthy`, `degraded` or `unhealthy`.
    Health,
    /// The weight, a number.
    Weight,
    /// The instance id.
    Id,
    /// The service.
    Service,
}

/// The attributes that are one word.
const WORDS: &[(&str, Attribute)] = &[
    ("tags", Attribute::Tags),
    ("region", Attribute::Region),
    ("zone", Attribute::Zone),
    ("subzone", Attribute::Subzone),
    ("node", Attribute::Node),
    ("version", Attribute::Version),
    ("health", Attribute::Health),
    ("weight", Attribute::Weight),
    ("id", Attribute::Id),
    ("service", Attribute::Service),
];

/// What stands before a metadata key that would otherwise be read as something else.
const META: &str = "meta.";

/// Words that cannot be a bare key.
pub(super) fn is_connective(word: &str) -> bool {
    matches!(word, "and" | "or" | "not")
}

impl Attribute {
    /// The attribute a word names; `None` when it cannot be one.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        if let Some((_, attribute)) = WORDS.iter().find(|(name, _)| *name == word) {
            return Some(attribute.clone());
        }
        let key = word.strip_prefix(META).unwrap_or(word);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
        (!key.is_empty() && key.bytes().all(allowed)).then(|| Self::Metadata(key.into()))
    }
}

/// The shortest spelling in the language.
impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Metadata(key) = self else {
            return f.write_str(WORDS.iter().find(|(_, attribute)| attribute == self).map_or("", |(name, _)| name));
        };
        let bare = !key.starts_with(META) && !is_connective(key) && !WORDS.iter().any(|(name, _)| name == key);
        f.write_str(if bare { "" } else { META })?;
        f.write_str(key)
    }
}

/// The one spelling of a number; `None` when the text is none.
pub(super) fn number(text: &str) -> Option<String> {
    Decimal::parse(text).map(|number| alloc::format!("{number}"))
}
