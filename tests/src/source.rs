//! The core's source text, as far as the tidy tests read it.

use std::path::{Path, PathBuf};

/// One source file without its tests.
pub struct Source {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Its lines, those of tests emptied; none for a file of tests.
    pub lines: Vec<String>,
}

/// Every Rust source below `folder`, tests left out.
pub fn sources(folder: &str) -> Vec<Source> {
    crate::files(folder, ".rs").iter().map(PathBuf::as_path).map(read).collect()
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let relative = path.strip_prefix(crate::root()).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let lines = if is_test(path) { Vec::new() } else { untested(&text) };
    Source { path: relative, lines }
}

/// The text with the lines of every `#[cfg(test)]` item emptied, so that the others keep their numbers; without the
/// empty lines at the end.
fn untested(text: &str) -> Vec<String> {
    let (mut lines, mut closing) = (Vec::new(), None::<String>);
    for line in text.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        let kept = match &closing {
            Some(end) => {
                // The item is over at its closing brace, or at once when it has none.
                if line == end || line == format!("{end};") || (line.ends_with(';') && end.strip_suffix('}') == Some(indent)) {
                    closing = None;
                }
                ""
            }
            None if line.trim_start().starts_with("#[cfg(") && line.contains("test") && !line.contains("not(test)") => {
                closing = Some(format!("{indent}}}"));
                ""
            }
            None => line,
        };
        lines.push(kept.to_owned());
    }
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines
}

/// Whether a whole file is tests: by its name or folder, or because its parent says so where it takes it in.
fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().unwrap_or(path);
    let declared = ["mod.rs", "lib.rs", "main.rs"]
        .into_iter()
        .filter_map(|parent| std::fs::read_to_string(folder.join(parent)).ok())
        .any(|text| text.contains(&format!("#[cfg(test)]\nmod {stem};")));
    stem == "tests" || stem.ends_with("_tests") || folder.ends_with("tests") || declared
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
    fn tests_are_left_out() {
        let text = "a\n#[cfg(test)]\nmod tests;\nb\nimpl X {\n    #[cfg(test)]\n    fn f() {\n        x;\n    }\n}\n#[cfg(test)]\nmod t {\n    x\n}\n";
        assert_eq!(untested(text), ["a", "", "", "b", "impl X {", "", "", "", "", "}"]);
    }

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
