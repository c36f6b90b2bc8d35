//! From tree to text, with as few parentheses as the reader of it needs.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::lexer::is_word;
use super::range::VersionRange;
use super::selector::{Attribute, Check, Kind, Node, operands};

/// Prints the tree. Its nesting is at most that of any text with the same tree: the only parentheses are those
/// around an `or` below an `and`, and around the operands of a `not`.
pub(super) fn print(nodes: &[Node]) -> String {
    let mut out = String::new();
    if let Some(root) = nodes.len().checked_sub(1) {
        // Writing to a String does not fail.
        let _ = expression(&mut out, nodes, root, Context::List);
    }
    out
}

/// Prints a part of the tree, or its negation.
pub(super) fn part(nodes: &[Node], at: usize, wanted: bool) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = if wanted { expression(&mut out, nodes, at, Context::List) } else { negated(&mut out, nodes, at) };
    out
}

/// What stands around an expression, from what allows most to what allows least.
#[derive(Clone, Copy)]
enum Context {
    /// The whole, or inside parentheses: commas may join.
    List,
    /// An operand of a comma, which may be an `or`, or of an `or`, which may be an `and`: no parentheses.
    Or,
    /// An operand of `and` or `not`: parentheses around whatever joins.
    And,
}

/// Recursion is bounded by the depth of the tree, which the parser bounds.
fn expression(out: &mut String, nodes: &[Node], at: usize, context: Context) -> fmt::Result {
    let Some(node) = nodes.get(at) else { return Ok(()) };
    let (joint, inner) = match (&node.kind, context) {
        (Kind::Check(check), _) => return positive(out, check),
        (Kind::Not, _) => return negation(out, nodes, at),
        (Kind::All, Context::List) => (",", Context::Or),
        (Kind::All, Context::Or) => (" and ", Context::And),
        (Kind::Any, Context::List | Context::Or) => (" or ", Context::Or),
        (Kind::All | Kind::Any, Context::And) => {
            out.write_char('(')?;
            expression(out, nodes, at, Context::List)?;
            return out.write_char(')');
        }
    };
    let mut children: Vec<usize> = operands(nodes, at).collect();
    children.reverse();
    for (i, child) in children.into_iter().enumerate() {
        out.write_str(if i == 0 { "" } else { joint })?;
        expression(out, nodes, child, inner)?;
    }
    Ok(())
}

/// A negation: in the operator where there is one for it, so that no text prints deeper than it was read.
fn negation(out: &mut String, nodes: &[Node], at: usize) -> fmt::Result {
    negated(out, nodes, operands(nodes, at).next().unwrap_or_default())
}

fn negated(out: &mut String, nodes: &[Node], operand: usize) -> fmt::Result {
    match nodes.get(operand).map(|node| &node.kind) {
        Some(Kind::Check(Check::Exists(attribute))) => write!(out, "!{attribute}"),
        Some(Kind::Check(Check::OneOf(attribute, values))) => match values.as_slice() {
            [value] if *attribute != Attribute::Tags => {
                write!(out, "{attribute}!=")?;
                text(out, value)
            }
            _ => list(out, attribute, " notin (", values.iter().map(String::as_str)),
        },
        Some(Kind::Check(Check::Matches(attribute, glob))) => {
            write!(out, "{attribute} not matches ")?;
            text(out, glob.pattern())
        }
        Some(Kind::Check(Check::Version(ranges))) if exact(ranges).is_some() => match ranges.as_slice() {
            [range] => write!(out, "version!{range}"),
            _ => list(out, &Attribute::Version, " notin (", exact(ranges).iter().flatten().map(String::as_str)),
        },
        _ => {
            out.write_str("not ")?;
            expression(out, nodes, operand, Context::And)
        }
    }
}

fn positive(out: &mut String, check: &Check) -> fmt::Result {
    match check {
        Check::Exists(attribute) => write!(out, "{attribute}"),
        Check::OneOf(attribute, values) => match values.as_slice() {
            [value] => {
                let operator = if *attribute == Attribute::Tags { " contains " } else { "=" };
                write!(out, "{attribute}{operator}")?;
                text(out, value)
            }
            _ => list(out, attribute, " in (", values.iter().map(String::as_str)),
        },
        Check::Compare(attribute, order, number) => write!(out, "{attribute}{}{number}", order.as_str()),
        Check::Matches(attribute, glob) => {
            write!(out, "{attribute} matches ")?;
            text(out, glob.pattern())
        }
        Check::Version(ranges) => match ranges.as_slice() {
            [range] => {
                let range = range.text();
                let bare = !range.contains(',');
                // `version>=1.2` has its operator outside; `version ^1.2` is a word; several comparators need quotes.
                let space = if bare && range.starts_with(['=', '<', '>']) { "" } else { " " };
                let quote = if bare { "" } else { "\"" };
                write!(out, "version{space}{quote}{range}{quote}")
            }
            _ => list(out, &Attribute::Version, " in (", exact(ranges).iter().flatten().map(String::as_str)),
        },
        // Never in a selector, so never printed.
        Check::Health(_) => Ok(()),
    }
}

/// The versions of ranges that are each one `=` comparator, without it.
fn exact(ranges: &[VersionRange]) -> Option<Vec<String>> {
    ranges.iter().map(|range| range.text().strip_prefix('=').filter(|_| range.is_single()).map(String::from)).collect()
}

fn list<'a>(out: &mut String, attribute: &Attribute, operator: &str, values: impl Iterator<Item = &'a str>) -> fmt::Result {
    write!(out, "{attribute}{operator}")?;
    for (i, value) in values.enumerate() {
        out.write_str(if i == 0 { "" } else { "," })?;
        // An empty item needs no quotes, as in Kubernetes; `in ()` is the list of one.
        if !value.is_empty() {
            text(out, value)?;
        }
    }
    out.write_char(')')
}

/// A value, quoted where it is no word.
fn text(out: &mut String, value: &str) -> fmt::Result {
    if !value.is_empty() && value.bytes().all(is_word) {
        return out.write_str(value);
    }
    out.write_char('"')?;
    for c in value.chars() {
        out.write_str(if matches!(c, '"' | '\\') { "\\" } else { "" })?;
        out.write_char(c)?;
    }
    out.write_char('"')
}
