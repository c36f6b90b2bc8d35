//! The table of presets, wherever it is written down: the README's, and the names in the types of Python and JS.

use std::collections::BTreeSet;

use callboard::balance::Policy;
use callboard_tests::read;

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let start = text.find(from).expect(from) + from.len();
    let length = text[start..].find(to).expect(to);
    &text[start..start + length]
}

#[test]
fn the_readme_has_the_table() {
    let row = |cells: [&str; 4]| format!("| {} |\n", cells.join(" | "));
    let mut table = row(["policy", "what it does", "after", "on purpose other than there"]);
    table += "|---|---|---|---|\n";
    for preset in Policy::catalogue() {
        table += &row([&format!("`{}`", preset.name), preset.about, preset.source, preset.deviation]);
    }
    let readme = read("README.md");
    let written = between(&readme, "a test compares -->\n", "<!-- /policies -->");
    assert!(written.trim() == table.trim(), "the README's table should read\n{table}");
}

#[test]
fn the_types_have_the_names() {
    let names: BTreeSet<String> = Policy::presets().map(str::to_owned).collect();
    let quoted = |text: &str| -> BTreeSet<String> { text.split('"').skip(1).step_by(2).map(str::to_owned).collect() };
    let python = read("bindings-py/python/callboard/_native.pyi");
    assert_eq!(quoted(between(&python, "_PolicyName: TypeAlias = Literal[", "]")), names, "bindings-py/python/callboard/_native.pyi");
    let js = read("bindings-wasm/js/types.ts");
    assert_eq!(quoted(between(&js, "export type PolicyName =", ";")), names, "bindings-wasm/js/types.ts");
}
