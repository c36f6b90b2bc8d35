//! Does this instance match? The selector language, ranges of versions, conditions on health and locality.
//!
//! A [`Query`] says who is asked for. [`Query::compile`] makes it a [`Compiled`], which is asked of anything that
//! is a [`Subject`]; its [`Conjunct`]s tell which parts of a record they read, so that a registry need not ask
//! each instance.
//!
//! # The selector language
//! Kubernetes label selectors and what they lack: `env=prod, tier in (web, api), !canary`, and
//! `(zone matches eu-* or weight >= 2) and not version ^1.4`.
//!
//! ```text
//! selector    = [ list ] ;                                  (* the empty selector takes every instance *)
//! list        = either { "," either } ;                     (* a comma is an `and` that binds weakest *)
//! either      = both { "or" both } ;
//! both        = operand { "and" operand } ;
//! operand     = "not" operand | [ "!" ] "(" list ")" | "!" attribute | requirement ;
//! requirement = attribute                                   (* it is there *)
//!             | attribute ( "=" | "==" | "!=" ) [ value ]
//!             | attribute ( "<" | "<=" | ">" | ">=" ) value
//!             | attribute ( "in" | "notin" | "not" "in" ) "(" [ value ] { "," [ value ] } ")"
//!             | attribute [ "not" ] "matches" value         (* a glob *)
//!             | "tags" [ "not" ] "contains" value
//!             | "version" value ;                           (* a range *)
//! attribute   = "tags" | "region" | "zone" | "subzone" | "node" | "version" | "health" | "weight" | "id" | "service"
//!             | [ "meta." ] key ;
//! key         = ( letter | digit | "_" | "." | "-" | "/" ) { ... } ;      (* at most 128 bytes *)
//! value       = word | quoted ;
//! word        = ( letter | digit | one of _ - . / : @ % + ~ ^ * ? ) { ... } ;
//! quoted      = '"' { character } '"' | "'" { character } "'" ;           (* \\ \" \' are escapes *)
//! ```
//! Letters and digits are ASCII's, white space is blank, tab and line ends, words are case-sensitive. A quoted
//! string may hold anything but control characters.
//!
//! **Attributes.** A bare key is a metadata key, as labels are in Kubernetes. A key that is also a word of the
//! language (`zone`, `version`, `and`, ...) or starts with `meta.` is written with `meta.` before it:
//! `meta.version=v1`.
//!
//! **Absence.** Every condition on an attribute that is absent is false, and so `!=`, `notin` and `!key`, which
//! are the negations of `=`, `in` and `key`, are true of it, as in Kubernetes. A part of the locality that is
//! unknown and a version that was not given are absent; health, weight, id and service never are. `x=`, `x in ()`
//! and `x in (a,)` name the empty string, which is not absence.
//!
//! **Numbers.** `<`, `<=`, `>` and `>=` compare decimal numbers exactly, at any length, and are false when the
//! attribute is none. On the other hand `=` and `in` compare text (`1.0` is not `1`), save that a weight is
//! always compared as a number.
//!
//! **Versions.** The attribute `version` takes ranges as [`VersionRange`] has them: `version ^1.4`,
//! `version ">=1.2, <2"`, `version >= 1.2`, `version in (1.4.2, 1.5)`. An operator outside means what it means in
//! a range: `version = 1.4` is every `1.4.x`, and pre-releases are left out unless they are named.
//!
//! **Globs.** `*` is any run of characters, `?` is any one; the whole value must match. There is no escape for
//! them and there are no regular expressions. Matching never backtracks.
//!
//! **Tags.** `tags contains canary`; `tags in (blue, green)` is to have one of them, `tags notin (...)` none.
//!
//! **Limits.** 4096 bytes, 256 nodes (a requirement is one, `and`, `or` and `not` are one each, however many
//! operands they join), 32 levels of `(` and `not`, patterns of 512 bytes. Reading a selector takes time in
//! proportion to its text; a verdict looks at each requirement at most once.

mod compiled;
mod condition;
mod decimal;
mod document;
mod glob;
mod lexer;
mod parser;
mod print;
mod range;
mod selector;
#[cfg(test)]
mod tests;

pub use compiled::{Compiled, Conjunct, Reads, Subject};
pub use condition::Condition;
#[cfg(test)]
pub(crate) use document::FIELDS as QUERY_FIELDS;
pub use document::{HealthFilter, Query};
#[cfg(feature = "serve")]
pub(crate) use glob::Glob;
pub use range::VersionRange;
pub use selector::{Attribute, Selector};
