//! The README's table of presets.

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
