//! Reads the counts out of what test programs print.

/// Tests that passed and failed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Count {
    pub passed: u64,
    pub failed: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Whose output it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `cargo test`: a `test result:` line for every test binary.
    Cargo,
    /// `pytest`: one summary line at the end.
    Pytest,
    /// `node --test --test-reporter=tap`: comment lines at the end.
    Node,
    /// Nothing to read: the program as a whole is one test.
    Check,
}

/// What a whole run counted. A run that failed without a failed test, or that ran no test, is one failure.
pub fn count(format: Format, lines: &[String], success: bool) -> Count {
    let mut total = Count::default();
    if format == Format::Check {
        return Count { passed: success.into(), failed: (!success).into() };
    }
    for line in lines {
        total += match format {
            Format::Cargo => cargo(line),
            Format::Pytest => pytest(line),
            Format::Node => node(line),
            Format::Check => None,
        }
        .unwrap_or_default();
    }
    if (!success || total.passed == 0) && total.failed == 0 {
        total.failed = 1;
    }
    total
}

/// The name of the test that a line of output is about, for the progress display.
pub fn current(format: Format, line: &str) -> Option<String> {
    let line = line.trim_start();
    let name = match format {
        Format::Cargo => line.strip_prefix("test ")?.split(" ...").next()?,
        Format::Pytest => line.split_whitespace().next().filter(|word| word.contains("::"))?,
        Format::Node => line.strip_prefix("# Subtest: ")?,
        Format::Check => line,
    };
    Some(name.to_owned())
}

/// What of a failed run's output tells why: the reports of failed tests where they stand apart, else its end.
pub fn reasons(format: Format, lines: &[String], most: usize) -> Vec<&str> {
    let begins = |line: &str| match format {
        Format::Node => line.trim_start().starts_with("not ok "),
        // A compiler's complaint, or the report of failed tests.
        Format::Cargo => line == "failures:" || line.starts_with("error"),
        _ => false,
    };
    let ends = |line: &str| match format {
        Format::Node => line.trim() == "...",
        _ => line.starts_with("test result:"),
    };
    let mut reasons: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in lines {
        inside = begins(line) || inside && !ends(line);
        if inside {
            reasons.push(line);
        }
    }
    if reasons.is_empty() {
        reasons = lines[lines.len().saturating_sub(most)..].iter().map(String::as_str).collect();
    }
    reasons.truncate(most);
    reasons
}

/// `test result: ok. 12 passed; 0 failed; 0 ignored; ..`
fn cargo(line: &str) -> Option<Count> {
    let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut count = Count::default();
    for part in counts.split(';') {
        match pair(part)? {
            (n, "passed") => count.passed = n,
            (n, "failed") => count.failed = n,
            _ => break,
        }
    }
    Some(count)
}

/// `===== 3 failed, 12 passed, 1 error in 0.52s =====`, with or without the rules.
fn pytest(line: &str) -> Option<Count> {
    let (counts, time) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
    if !time.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut count = Count::default();
    for part in counts.split(", ") {
        match pair(part)? {
            (n, "passed") => count.passed += n,
            (n, "failed" | "error" | "errors") => count.failed += n,
            _ => {}
        }
    }
    Some(count)
}

/// `# pass 12`, `# fail 0`, `# cancelled 0`.
fn node(line: &str) -> Option<Count> {
    let (name, n) = line.strip_prefix("# ")?.split_once(' ')?;
    let n: u64 = n.parse().ok()?;
    match name {
        "pass" => Some(Count { passed: n, failed: 0 }),
        "fail" | "cancelled" => Some(Count { passed: 0, failed: n }),
        _ => None,
    }
}

fn pair(text: &str) -> Option<(u64, &str)> {
    let (n, word) = text.trim().split_once(' ')?;
    Some((n.parse().ok()?, word.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(format: Format, text: &str, success: bool) -> (u64, u64) {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let count = count(format, &lines, success);
        (count.passed, count.failed)
    }

    #[test]
    fn cargo_sums_every_binary() {
        let text = "running 2 tests\ntest a ... ok\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n\
                    test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured";
        assert_eq!(of(Format::Cargo, text, false), (3, 3));
        assert_eq!(of(Format::Cargo, "error: could not compile", false), (0, 1));
    }

    #[test]
    fn pytest_counts_errors_as_failures() {
        assert_eq!(of(Format::Pytest, "==== 3 failed, 12 passed, 2 errors in 0.52s ====", false), (12, 5));
        assert_eq!(of(Format::Pytest, "12 passed, 1 warning in 61.20s (0:01:01)", true), (12, 0));
        assert_eq!(of(Format::Pytest, "no tests ran in 0.01s", false), (0, 1));
        assert_eq!(of(Format::Pytest, "5 things found in the drawer\n1 passed in 0.10s", true), (1, 0));
    }

    #[test]
    fn node_counts_cancelled_as_failed() {
        assert_eq!(of(Format::Node, "# tests 4\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 0", false), (2, 2));
        assert_eq!(of(Format::Node, "# tests 0\n# pass 0\n# fail 0", true), (0, 1));
    }

    #[test]
    fn reasons_are_the_failed_tests_or_the_end() {
        let lines: Vec<String> = ["ok 1", "not ok 2 - b", "  ---", "  error: x", "  ...", "ok 3"].map(str::to_owned).into();
        assert_eq!(reasons(Format::Node, &lines, 9), ["not ok 2 - b", "  ---", "  error: x"]);
        let lines: Vec<String> =
            ["test b ... FAILED", "failures:", "why", "test result: FAILED.", "test c ... ok"].map(str::to_owned).into();
        assert_eq!(reasons(Format::Cargo, &lines, 9), ["failures:", "why"]);
        assert_eq!(reasons(Format::Pytest, &lines, 1), ["test c ... ok"]);
    }

    #[test]
    fn a_check_is_one_test() {
        assert_eq!(of(Format::Check, "", true), (1, 0));
        assert_eq!(of(Format::Check, "Diff in ..", false), (0, 1));
    }
}
