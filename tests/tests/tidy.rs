//! The habits of the house that a machine can check.

use callboard::Value;
use callboard_tests::source::sources;
use callboard_tests::{files, read, root};

/// Where our own sources are.
const OURS: &[&str] = &[
    "core/src",
    "bindings-py/src",
    "bindings-wasm/src",
    "xtask/src",
    "tests/src",
    "tests/tests",
    "tests/lab/src",
    "tests/bench/src",
    "tests/fuzz/src",
    "examples",
];

/// Lines of one file, its tests not counted.
const LINES: usize = 500;

/// Files that may be longer, each with the reason.
const LONGER: &[(&str, &str)] = &[("bindings-py/src/registry.rs", "PyO3 takes all methods of a class in one block")];

/// Words that no code of the core has, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("std::", "the core is no_std; `core::` and `alloc::` have what it needs"),
    ("extern crate std", "the core is no_std"),
    ("unsafe ", "forbidden"),
    ("Instant", "time enters as an argument"),
    ("SystemTime", "time enters as an argument"),
    ("thread_local", "the core has one owner"),
    (".powi(", "its precision is unspecified"),
    (".powf(", "differs between targets"),
    (".exp(", "differs between targets"),
    (".exp2(", "differs between targets"),
    (".ln(", "differs between targets"),
    (".log2(", "differs between targets"),
    (".log10(", "differs between targets"),
    ("mul_add", "fused on some targets only"),
    ("SmallRng", "its stream differs between targets"),
    ("StdRng", "its stream differs between versions"),
    ("RandomState", "keyed by the machine; the host seeds"),
    ("getrandom", "entropy enters as a seed"),
    ("println!", "the core has no output"),
    ("dbg!", "the core has no output"),
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("unreachable!", "errors are values"),
    ("panic!", "errors are values"),
];

/// What hash maps may not do, since its order is nobody's business. Clippy sees the named methods of hashbrown's
/// types; what it cannot see is a `for` over the map itself.
const HASHED: &[&str] = &["HashMap<", "HashSet<", "HashTable<"];

fn ours() -> impl Iterator<Item = &'static str> {
    OURS.iter().copied().filter(|folder| root().join(folder).is_dir())
}

#[test]
fn the_core_uses_no_banned_word() {
    let mut found = Vec::new();
    for source in sources("core/src") {
        for (number, line) in source.code() {
            // lib.rs takes std for the tests of the crate.
            if source.path.ends_with("src/lib.rs") && line.contains("extern crate std") {
                continue;
            }
            for (word, reason) in BANNED.iter().filter(|(word, _)| line.contains(word)) {
                found.push(format!("{}:{number}: {word}: {reason}", source.path));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_core_iterates_over_no_hash_map() {
    let mut found = Vec::new();
    for source in sources("core/src") {
        let code: Vec<_> = source.code().collect();
        // Fields and variables that are declared as hash maps in this file.
        let maps: Vec<String> = code
            .iter()
            .filter(|(_, line)| HASHED.iter().any(|kind| line.contains(kind)))
            .filter_map(|(_, line)| line.split(':').next().and_then(|left| left.split_whitespace().last()).map(str::to_owned))
            .filter(|name| name.len() > 1 && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
            .collect();
        for (number, line) in &code {
            for map in &maps {
                let loops = [format!(" in &self.{map} "), format!(" in self.{map} "), format!(" in &{map} "), format!(" in {map} ")];
                let calls = ["iter()", "iter_mut()", "keys()", "values()", "values_mut()", "drain()", "into_iter()", "retain("];
                if (line.contains("for ") && loops.iter().any(|text| line.contains(text.as_str())))
                    || calls.iter().any(|call| line.contains(&format!(".{map}.{call}")))
                {
                    found.push(format!("{}:{number}: iterates over the hash map {map}", source.path));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_file_is_too_long() {
    let mut long = Vec::new();
    for folder in ours() {
        for source in sources(folder) {
            let allowed = LONGER.iter().any(|(path, _)| *path == source.path);
            if (source.lines.len() > LINES) != allowed {
                long.push(format!("{}: {} lines, {}", source.path, source.lines.len(), if allowed { "listed" } else { "not listed" }));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    // Written apart, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("#[ig", "nore"), concat!("HA", "CK:")];
    let mut found = Vec::new();
    for folder in ours() {
        for suffix in [".rs", ".py", ".pyi", ".mjs", ".js", ".ts"] {
            for path in files(folder, suffix).iter().filter(|path| !path.components().any(|part| part.as_os_str() == "node_modules")) {
                let text = std::fs::read_to_string(path).unwrap_or_default();
                for (at, line) in text.lines().enumerate().filter(|(_, line)| words.iter().any(|word| line.contains(word))) {
                    found.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_file_is_a_drawer() {
    let drawers = ["util", "utils", "helper", "helpers", "misc", "common"];
    let stem = |path: &std::path::Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let found: Vec<_> = ours()
        .flat_map(|folder| files(folder, ".rs"))
        .filter(|path| {
            drawers.contains(&stem(path).as_str()) || path.components().any(|part| drawers.iter().any(|drawer| part.as_os_str() == *drawer))
        })
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

/// The bench and the fuzzer are workspaces of their own, and nothing else builds them: a new dependency of the core would break them unseen.
#[test]
fn the_lockfiles_of_bench_and_fuzzer_know_what_the_core_needs() {
    let manifest = read("core/Cargo.toml");
    let section = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
    let needed: Vec<&str> = section
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with('#') && !line.contains("optional = true"))
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .collect();
    assert!(needed.len() > 5, "{needed:?}");
    for folder in ["tests/bench", "tests/fuzz"] {
        let lock = read(&format!("{folder}/Cargo.lock"));
        let core = lock.split("[[package]]").find(|part| part.contains("name = \"callboard\"\n")).unwrap_or_default();
        for name in &needed {
            // A lockfile adds the version where it has several of one name.
            let known = core.contains(&format!("\"{name}\"")) || core.contains(&format!("\"{name} "));
            assert!(known, "{name} is not there: run `cargo update --package callboard` in {folder}");
        }
    }
}

#[test]
fn every_ban_of_clippy_has_its_reason() {
    let bans = read("core/clippy.toml");
    let paths: Vec<_> = bans.lines().filter(|line| line.trim_start().starts_with("{ path")).collect();
    assert!(paths.len() > 40);
    for line in paths {
        assert!(line.contains("reason = \"") && !line.contains("reason = \"\""), "{line}");
    }
    for must in
        ["Instant::now", "thread::spawn", "env::var", "fs::read", "TcpStream", "HashMap::iter", "f64::exp\"", "f64::powi", "f64::ln\""]
    {
        assert!(bans.contains(must), "{must} is not banned");
    }
    let root = read("core/src/lib.rs");
    for lint in
        ["#![no_std]", "#![forbid(unsafe_code)]", "unwrap_used", "expect_used", "panic", "indexing_slicing", "arithmetic_side_effects"]
    {
        assert!(root.contains(lint), "{lint}");
    }
}

/// A place that has moved on would only be missed when the nets are cast, which no suite does.
#[test]
fn every_fish_has_one_place() {
    let list = Value::from_json(read("tests/fish.json").as_bytes()).expect("JSON");
    for fish in list.as_list().expect("a list") {
        let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).expect("a text").to_owned();
        for edit in fish.get("edits").and_then(Value::as_list).expect("edits") {
            let (file, from) = (text(edit, "file"), text(edit, "from"));
            assert_eq!(read(&file).matches(&from).count(), 1, "{}: say anew where in {file} {from:?} is", text(fish, "name"));
        }
    }
}
