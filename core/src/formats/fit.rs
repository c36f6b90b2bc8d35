//! What only describes an instance is left out when it does not fit; the instance is not.

#![allow(dead_code, reason = "what is asked depends on the formats of the build")]

use alloc::borrow::Cow;
use alloc::string::String;

use super::document::Node;
use crate::limits;
use crate::model::{Locality, Metadata, Tags, Version};

/// The pairs that can be metadata, at most 64.
pub(crate) fn metadata<'a>(pairs: impl IntoIterator<Item = (&'a str, Cow<'a, str>)>) -> Metadata {
    let fits = |(key, value): &(&str, Cow<'_, str>)| Metadata::new([(*key, value.as_ref())]).is_ok();
    Metadata::new(pairs.into_iter().filter(fits).take(limits::METADATA_PAIRS)).unwrap_or_default()
}

/// The pairs of a map whose values are texts, whole numbers or truth values.
pub(crate) fn pairs<'d>(map: Option<Node<'d>>) -> impl Iterator<Item = (&'d str, Cow<'d, str>)> {
    map.into_iter().flat_map(Node::pairs).filter_map(|(key, value)| Some((key, value.scalar()?)))
}

/// Those that can be tags, at most 64.
pub(crate) fn tags<'a>(tags: impl IntoIterator<Item = Cow<'a, str>>) -> Tags {
    let fits = |tag: &Cow<'_, str>| Tags::new([tag.as_ref()]).is_ok();
    Tags::new(tags.into_iter().filter(fits).take(limits::TAGS)).unwrap_or_default()
}

/// The text when it can be a part of a locality, else nothing.
pub(crate) fn place(text: &str) -> String {
    let alone = Locality { node: text.into(), ..Locality::default() };
    if alone.validate().is_ok() { alone.node } else { String::new() }
}

/// The first that is a semantic version, with or without a `v`.
pub(crate) fn version<'a>(said: impl IntoIterator<Item = &'a str>) -> Option<Version> {
    said.into_iter().find_map(|text| Version::parse(text.strip_prefix('v').unwrap_or(text)).ok())
}
