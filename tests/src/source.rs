//! The core's source text, as far as the tidy tests read it.

use std::path::{Path, PathBuf};

/// One source file without its tests.
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Lines up to the first `#[cfg(test)]` that opens a module of the file itself; none for a file of tests.
    pub lines: Vec<String>,
}

/// Every Rust source below `folder`, tests left out.
pub fn sources(folder: &str) -> Vec<Source> {
    crate::files(folder, ".rs").iter().map(|path| read(path)).collect()
}

fn read(path: &PathBuf) -> Source {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let relative = path.strip_prefix(crate::root()).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let all: Vec<&str> = text.lines().collect();
    let end = if is_test(path) {
        0
    } else {
        let opens = |at: usize| {
            all[at].starts_with("#[cfg(")
                && all[at].contains("test")
                && all.get(at + 1).is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
        };
        (0..all.len()).find(|at| opens(*at)).unwrap_or(all.len())
    };
    Source { path: relative, lines: all[..end].iter().map(|line| (*line).to_owned()).collect() }
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    stem == "tests" || stem.ends_with("_tests") || path.parent().is_some_and(|parent| parent.ends_with("tests"))
}

impl Source {
    /// The lines with their numbers, without comments and without what stands between quotes.
    pub fn code(&self) -> impl Iterator<Item = (usize, String)> {
        self.lines.iter().enumerate().map(|(at, line)| (at + 1, bare(line))).filter(|(_, line)| !line.trim().is_empty())
    }
}

/// A line without its comment and the contents of its strings. Strings over several lines are not followed: the
/// core has none that would matter.
fn bare(line: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            // A quote as a character: '"'.
            '\'' if !quoted && chars.peek() == Some(&'"') => {
                chars.next();
                chars.next();
            }
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            _ if !quoted => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        for (line, code) in [
            ("let a = 1; // std::net", "let a = 1; "),
            (r#"f("std::net \" // x", b)"#, "f(, b)"),
            ("/// crate::serve", ""),
            (r#"'"' => std::x, '"'"#, " => std::x, "),
        ] {
            assert_eq!(bare(line), code);
        }
    }
}
