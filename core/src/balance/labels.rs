//! Which instances a request asks for by their labels, and who serves it when there are none: the rules of Envoy's subset load
//! balancer.
//!
//! A selector is a set of metadata keys. A request whose labels have exactly these keys is given to the instances that have
//! the same values there; health, panic, levels and the policy's state are that group's own. When nobody has them, the
//! selector's fallback says what happens, else the policy's.
//!
//! What is other than in Envoy: values are strings, as metadata is, so for `list_as_any` a separator is named; a list of fallback
//! metadata is for the host to try, one pick after the other.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::settings::{Settings, spell, word};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::Metadata;
use crate::value::Value;

/// Groups of instances that requests ask for by labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The sets of keys that requests may name: at most 16; of two alike the first counts.
    pub selectors: Vec<LabelSelector>,
    /// What becomes of a request that no selector fits, or whose labels nobody has; default `none`.
    pub fallback: LabelFallback,
    /// The labels of the instances that `default` means; all instances when there are none.
    pub default: Vec<(String, String)>,
    /// Whether a request for which the fallback has nobody who can be called may go to any instance; default false.
    pub panic_any: bool,
    /// Whether a request may have more labels than a selector has keys: then the selector with the most keys fits, of equals
    /// the first; default false.
    pub redundant: bool,
    /// What separates the elements of a value that is a list, such as `,`: an instance then has each of them as its value, of one
    /// selector's combinations the first 64. None by default: a value is one value. (Envoy's `list_as_any`.)
    pub list: Option<String>,
    /// Whether a locality's weight counts in proportion to how many of its instances the group has; default false. For the
    /// policy's `localities` by `weights`. (Envoy's `scale_locality_weight`.)
    pub scale_localities: bool,
    /// How many groups are kept ready to pick from: 1 to 4096, default 256. Of more the one that was asked for least
    /// recently is made anew when it is asked for.
    pub keep: u32,
}

impl Default for Labels {
    fn default() -> Self {
        let (selectors, default, fallback) = (Vec::new(), Vec::new(), LabelFallback::Nobody);
        Self { selectors, fallback, default, panic_any: false, redundant: false, list: None, scale_localities: false, keep: 256 }
    }
}

/// A set of metadata keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// The keys, sorted: at least 1.
    pub keys: Vec<String>,
    /// What becomes of a request whose labels nobody has; the policy's fallback when there is none.
    pub fallback: Option<LabelFallback>,
    /// For `keys`: the labels that are left to look for: some of the keys, sorted, and not all.
    pub fallback_keys: Vec<String>,
}

/// How many groups of one selector an instance belongs to at most, its values being lists.
const COMBINATIONS: usize = 64;

/// Who is given a request whose labels nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelFallback {
    /// `none`: nobody.
    #[default]
    Nobody,
    /// `any`: any instance.
    Any,
    /// `default`: the instances with the default labels.
    Default,
    /// `keys`: who is given it with fewer labels; for selectors only.
    Keys,
}

const FALLBACKS: &[(&str, LabelFallback)] =
    &[("none", LabelFallback::Nobody), ("any", LabelFallback::Any), ("default", LabelFallback::Default), ("keys", LabelFallback::Keys)];

/// Who is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The group whose name was written.
    Group,
    Any,
    Nobody,
}

impl Labels {
    /// Reads `{selectors, fallback?, default?, panic_any?, redundant?, list?, scale_localities?, keep?}`. A selector is a list of keys or
    /// `{keys, fallback?, fallback_keys?}`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::LimitExceeded`], [`Code::MissingField`], [`Code::UnknownField`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let known = ["selectors", "fallback", "default", "panic_any", "redundant", "list", "scale_localities", "keep"];
        let settings = Settings::new(value, &known)?;
        let list = value.get("selectors").and_then(Value::as_list);
        let list = list.ok_or_else(|| Error::new(Code::InvalidArgument, "selectors").message("a list of lists of keys"))?;
        if list.len() > limits::LABEL_SELECTORS {
            return Err(Error::too_large("selectors", limits::LABEL_SELECTORS as u64));
        }
        let selector =
            |(place, value)| LabelSelector::from_value(value).map_err(|error| error.within(&alloc::format!("selectors[{place}]")));
        let fallback = word(FALLBACKS, &settings, "fallback", LabelFallback::Nobody)?;
        if fallback == LabelFallback::Keys {
            return Err(Error::new(Code::InvalidArgument, "fallback").message("none, any or default"));
        }
        let default = value.get("default").map(pairs).transpose().map_err(|error| error.within("default"))?.unwrap_or_default();
        let separator = settings.text("list")?.map(String::from);
        if separator.as_ref().is_some_and(String::is_empty) {
            return Err(Error::new(Code::InvalidArgument, "list").message("a separator"));
        }
        let keep = settings.count("keep", Self::default().keep, 1)?;
        if keep > limits::LABEL_GROUPS {
            return Err(Error::too_large("keep", u64::from(limits::LABEL_GROUPS)));
        }
        Ok(Self {
            selectors: list.iter().enumerate().map(selector).collect::<Result<_, _>>()?,
            fallback,
            default: default.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            panic_any: settings.flag("panic_any", false)?,
            redundant: settings.flag("redundant", false)?,
            list: separator,
            scale_localities: settings.flag("scale_localities", false)?,
            keep,
        })
    }

    /// Writes what [`Labels::from_value`] reads.
    pub fn to_value(&self) -> Value {
        let default = self.default.iter().map(|(key, value)| (key.as_str(), Value::from(value.as_str())));
        Value::map([
            ("selectors", Value::List(self.selectors.iter().map(LabelSelector::to_value).collect())),
            ("fallback", spell(FALLBACKS, &self.fallback).into()),
            ("default", Value::map(default)),
            ("panic_any", self.panic_any.into()),
            ("redundant", self.redundant.into()),
            ("list", self.list.as_deref().map(Value::from).into()),
            ("scale_localities", self.scale_localities.into()),
            ("keep", u64::from(self.keep).into()),
        ])
    }

    /// The names of the groups that an instance with this metadata belongs to.
    pub(super) fn groups(&self, metadata: &Metadata) -> Vec<String> {
        let mut names = Vec::new();
        let has = |(key, value): &(String, String)| metadata.get(key).is_some_and(|all| self.elements(all).any(|one| one == value));
        if self.default.iter().all(has) {
            names.push(String::new());
        }
        for (place, selector) in self.selectors.iter().enumerate() {
            // Of two selectors alike the second is never asked.
            names.extend(self.combine(place, selector, metadata));
        }
        names
    }

    /// The values that a value stands for.
    fn elements<'a>(&'a self, value: &'a str) -> impl Iterator<Item = &'a str> {
        let parts = self.list.as_deref().map(|by| value.split(by).filter(|part| !part.is_empty()));
        let whole = parts.is_none().then_some(value);
        parts.into_iter().flatten().chain(whole)
    }

    /// The names of one selector's groups that an instance with this metadata belongs to: one for each choice of elements.
    fn combine(&self, place: usize, selector: &LabelSelector, metadata: &Metadata) -> Vec<String> {
        let mut names = alloc::vec![alloc::format!("{place}")];
        for key in &selector.keys {
            let Some(value) = metadata.get(key) else { return Vec::new() };
            let longer = |name: &String| self.elements(value).map(|one| alloc::format!("{name}|{}:{one}", one.len())).collect::<Vec<_>>();
            names = names.iter().flat_map(longer).take(COMBINATIONS).collect();
        }
        // An element may be there twice.
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Who is asked for by these labels, and whether anybody will do when there is nobody who can be called. Writes the name
    /// of the group into `text`.
    pub(super) fn resolve(&self, labels: &[(&str, &str)], text: &mut String, exists: impl Fn(&str) -> bool) -> (Target, bool) {
        // The keys that count; all at first.
        let mut only: Option<&[String]> = None;
        loop {
            let value = |key: &str| {
                let counts = only.is_none_or(|only| only.iter().any(|other| other == key));
                labels.iter().find(|(name, _)| counts && *name == key).map(|(_, value)| *value)
            };
            let count = only.map_or(labels.len(), <[String]>::len);
            let fits = |selector: &LabelSelector| {
                (self.redundant || selector.keys.len() == count) && selector.keys.iter().all(|key| value(key).is_some())
            };
            // Of those with the most keys the first.
            let best = self.selectors.iter().enumerate().rev().filter(|(_, selector)| fits(selector)).max_by_key(|(_, one)| one.keys.len());
            let Some((place, selector)) = best else { break };
            if selector.name(place, value, text) && exists(text) {
                return (Target::Group, false);
            }
            match selector.fallback {
                None => break,
                // Each turn has fewer keys than the one before.
                Some(LabelFallback::Keys) => only = Some(&selector.fallback_keys),
                Some(fallback) => return (self.fall(fallback, text, exists), false),
            }
        }
        let target = self.fall(self.fallback, text, exists);
        (target, self.panic_any && self.fallback != LabelFallback::Nobody)
    }

    fn fall(&self, fallback: LabelFallback, text: &mut String, exists: impl Fn(&str) -> bool) -> Target {
        text.clear();
        match fallback {
            LabelFallback::Any => Target::Any,
            LabelFallback::Default if exists(text) => Target::Group,
            _ => Target::Nobody,
        }
    }
}

impl LabelSelector {
    fn from_value(value: &Value) -> Result<Self, Error> {
        if value.as_list().is_some() {
            return Ok(Self { keys: keys(value)?, ..Self::default() });
        }
        let settings = Settings::new(value, &["keys", "fallback", "fallback_keys"])?;
        let some = |name: &str| value.get(name).map(keys).transpose().map_err(|error| error.within(name));
        let fallback = settings.text("fallback")?.map(|_| word(FALLBACKS, &settings, "fallback", LabelFallback::Nobody)).transpose()?;
        let keys = some("keys")?.ok_or_else(|| Error::new(Code::MissingField, "keys"))?;
        let fallback_keys = some("fallback_keys")?.unwrap_or_default();
        let is_part = !fallback_keys.is_empty() && fallback_keys.len() < keys.len() && fallback_keys.iter().all(|key| keys.contains(key));
        if is_part != (fallback == Some(LabelFallback::Keys)) || (!is_part && !fallback_keys.is_empty()) {
            return Err(Error::new(Code::InvalidArgument, "fallback_keys").message("for `keys`: some of the keys, and not all"));
        }
        Ok(Self { keys, fallback, fallback_keys })
    }

    fn to_value(&self) -> Value {
        let list = |keys: &[String]| Value::List(keys.iter().map(|key| key.as_str().into()).collect());
        let mut pairs = alloc::vec![("keys", list(&self.keys))];
        pairs.extend(self.fallback.as_ref().map(|fallback| ("fallback", spell(FALLBACKS, fallback).into())));
        if !self.fallback_keys.is_empty() {
            pairs.push(("fallback_keys", list(&self.fallback_keys)));
        }
        Value::map(pairs)
    }

    /// Writes the name of the group with these values: no two groups have one name. False when a value is missing.
    fn name<'a>(&self, place: usize, value: impl Fn(&str) -> Option<&'a str>, text: &mut String) -> bool {
        text.clear();
        // Writing to a string cannot fail.
        let _ = write!(text, "{place}");
        self.keys.iter().all(|key| value(key).is_some_and(|value| write!(text, "|{}:{value}", value.len()).is_ok()))
    }
}

/// Metadata keys, sorted, each once.
fn keys(value: &Value) -> Result<Vec<String>, Error> {
    let list = value.as_list().filter(|list| (1..=limits::METADATA_PAIRS).contains(&list.len()));
    let keys: Option<Vec<String>> = list.and_then(|list| list.iter().map(|key| key.as_str().map(String::from)).collect());
    let mut keys = keys.ok_or_else(|| Error::new(Code::InvalidArgument, "").message("a list of 1 to 64 metadata keys"))?;
    if keys.iter().any(|key| key.len() > limits::METADATA_KEY_BYTES) {
        return Err(Error::too_large("", limits::METADATA_KEY_BYTES as u64));
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// Reads labels as a document has them: a map from keys to values.
pub(super) fn pairs(value: &Value) -> Result<Vec<(&str, &str)>, Error> {
    let pairs: Option<Vec<_>> =
        value.as_map().and_then(|pairs| pairs.iter().map(|(key, value)| Some((key.as_str(), value.as_str()?))).collect());
    let pairs = pairs.ok_or_else(|| Error::new(Code::InvalidArgument, "").message("a map from keys to strings"))?;
    check(&pairs).map(|()| pairs)
}

/// Whether labels are within the limits of metadata.
pub(super) fn check(pairs: &[(&str, &str)]) -> Result<(), Error> {
    let largest = |part: fn(&(&str, &str)) -> usize| pairs.iter().map(part).max().unwrap_or_default();
    for (size, limit) in [
        (pairs.len(), limits::METADATA_PAIRS),
        (largest(|(key, _)| key.len()), limits::METADATA_KEY_BYTES),
        (largest(|(_, value)| value.len()), limits::METADATA_VALUE_BYTES),
    ] {
        if size > limit {
            return Err(Error::too_large("", limit as u64));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn labels(json: &str) -> Result<Labels, Error> {
        Labels::from_value(&Value::from_json(json.as_bytes()).unwrap())
    }

    #[test]
    fn settings_round_trip_and_keep_their_limits() {
        let all = labels(
            r#"{"selectors": [["v", "stage", "v"], {"keys": ["stage"], "fallback": "any"}, {"keys": ["a", "b"], "fallback": "keys", "fallback_keys": ["b"]}],
                "fallback": "default", "default": {"stage": "prod"}, "panic_any": true, "redundant": true, "list": ", ", "scale_localities": true, "keep": 9}"#,
        )
        .unwrap();
        assert_eq!(all.selectors[0].keys, ["stage", "v"]);
        assert_eq!(Labels::from_value(&all.to_value()), Ok(all));
        for (json, field) in [
            (r#"{}"#, "selectors"),
            (r#"{"selectors": [[]]}"#, "selectors[0]"),
            (r#"{"selectors": [], "fallback": "keys"}"#, "fallback"),
            (r#"{"selectors": [], "keep": 4097}"#, "keep"),
            (r#"{"selectors": [], "list": ""}"#, "list"),
            (r#"{"selectors": [], "default": {"a": 1}}"#, "default"),
            (r#"{"selectors": [{"keys": ["a"], "fallback": "keys", "fallback_keys": ["a"]}]}"#, "selectors[0].fallback_keys"),
            (r#"{"selectors": [{"keys": ["a", "b"], "fallback_keys": ["a"]}]}"#, "selectors[0].fallback_keys"),
            (r#"{"selectors": [{"keys": ["a", "b"], "fallback": "keys"}]}"#, "selectors[0].fallback_keys"),
        ] {
            assert_eq!(labels(json).unwrap_err().field(), field, "{json}");
        }
    }

    #[test]
    fn a_list_is_each_of_its_elements_up_to_a_limit() {
        let rules = labels(r#"{"selectors": [["a", "b"]], "default": {"a": "2"}, "list": ","}"#).unwrap();
        let names = |a: &str, b: &str| rules.groups(&Metadata::new([("a", a), ("b", b)]).unwrap());
        let groups = |a: usize, b: usize| {
            let list = |count: usize| (0..count).map(|place| std::format!("{place}")).collect::<Vec<_>>().join(",");
            names(&list(a), &list(b)).len()
        };
        // The default's group is one more from three elements on.
        assert_eq!([groups(1, 1), groups(2, 3), groups(3, 2), groups(0, 3)], [1, 6, 7, 0]);
        let limit = COMBINATIONS;
        assert_eq!([groups(1, limit - 1), groups(1, limit), groups(1, limit + 1), groups(2, limit)], [limit - 1, limit, limit, limit]);
        assert_eq!(names(",1,,1,", "x"), ["0|1:1|1:x"]);
    }

    #[test]
    fn no_two_groups_have_one_name() {
        let rules = labels(r#"{"selectors": [["a", "b"], ["a"]]}"#).unwrap();
        let mut names = vec![];
        for pairs in [[("a", "1|1:2"), ("b", "3")], [("a", "1"), ("b", "2|1:3")], [("a", "1"), ("b", "2")]] {
            let mut text = String::new();
            assert_eq!(rules.resolve(&pairs, &mut text, |_| true).0, Target::Group);
            names.push(text);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 3);
    }
}
