//! Tables.

use crate::plan::Plan;
use crate::runner::{Outcomes, Row};

/// Heading, figure, decimals.
const COLUMNS: &[(&str, &str, usize)] = &[
    ("success %", "success", 2),
    ("p50", "p50", 1),
    ("p90", "p90", 1),
    ("p99", "p99", 1),
    ("p99.9", "p99.9", 1),
    ("share %", "share", 2),
    ("spread", "spread", 2),
    ("retries", "retries", 3),
];

/// A table of each variant: a row a policy, a column a figure.
pub fn table(plan: &Plan, outcomes: &Outcomes) -> String {
    let mut text = format!("\n{}: {}\n", plan.name, plan.what);
    for (variant, rows) in &outcomes.variants {
        let case = plan.cases.iter().find(|case| case.variant == *variant);
        let watching = case.is_some_and(|case| !case.scenario.watch.is_empty());
        let mut columns: Vec<(&str, &str, usize)> = COLUMNS.iter().copied().filter(|column| column.1 != "share" || watching).collect();
        columns.extend(plan.columns.iter().map(|name| (name.as_str(), name.as_str(), 2)));
        let head = if variant.is_empty() { "policy".to_owned() } else { format!("[{variant}]") };
        text += &lines(&head, &columns, rows);
    }
    text
}

fn lines(head: &str, columns: &[(&str, &str, usize)], rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.policy.len()).chain([head.len()]).max().unwrap_or_default();
    let cell = |row: &Row, column: &(&str, &str, usize)| row.figures.get(column.1).map_or("?".to_owned(), |value| figure(*value, column.2));
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| rows.iter().map(|row| cell(row, column).len()).chain([column.0.len()]).max().unwrap_or_default())
        .collect();
    let mut text = format!("  {head:<width$}");
    columns.iter().zip(&widths).for_each(|(column, width)| text += &format!("  {:>width$}", column.0));
    text += "\n";
    for row in rows {
        text += &format!("  {:<width$}", row.policy);
        columns.iter().zip(&widths).for_each(|(column, width)| text += &format!("  {:>width$}", cell(row, column)));
        text += "\n";
    }
    text
}

/// One figure of every policy that has it in every case, as a Markdown table: a row a case, a column a policy. The best of a row
/// is in bold; policies of a scenario's own are left out.
pub fn summary(outcomes: &[Outcomes], policies: &[String], name: &str, decimals: usize) -> String {
    let mut rows = vec![["case".to_owned()].into_iter().chain(policies.iter().cloned()).collect::<Vec<String>>()];
    for found in outcomes {
        for (variant, found_rows) in &found.variants {
            let of = |policy: &String| found_rows.iter().find(|row| row.policy == *policy)?.figures.get(name).copied();
            let values: Vec<Option<f64>> = policies.iter().map(of).collect();
            if values.iter().all(Option::is_none) {
                continue;
            }
            let best = values.iter().flatten().copied().fold(f64::INFINITY, f64::min);
            let cell = |value: &Option<f64>| match value {
                None => String::new(),
                Some(value) if *value == best && best.is_finite() => format!("**{}**", figure(*value, decimals)),
                Some(value) => figure(*value, decimals),
            };
            let case = format!("{} {variant}", found.name).trim_end().to_owned();
            rows.push([case].into_iter().chain(values.iter().map(cell)).collect());
        }
    }
    markdown(&rows)
}

/// Rows of equal length as a Markdown table that is readable as it is; the first is the head.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = format!("|{}|\n", widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|"));
    rows.iter().enumerate().map(|(index, row)| if index == 0 { line(row) + &rule } else { line(row) }).collect()
}

/// What a table shows of a figure: `never` for a quantile among the calls that failed, `-` where nothing was counted.
pub fn figure(value: f64, decimals: usize) -> String {
    if value.is_nan() {
        "-".to_owned()
    } else if value.is_infinite() {
        "never".to_owned()
    } else {
        format!("{value:.decimals$}")
    }
}
