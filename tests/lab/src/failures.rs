//! What every policy makes of every failure, in one table, and whether `adaptive` keeps up with the best classical one.

use std::path::Path;

use plotters::prelude::*;

use crate::plot::COLOURS;
use crate::report::figure;
use crate::runner::{Outcomes, Row};

/// The scenarios in which something fails.
pub const SCENARIOS: [&str; 6] = ["black-hole", "flapping-host", "gc-pauses", "hung-host", "new-fleet", "zone-loss"];

/// How many times the best classical policy's p99 it may have.
const BOUND: f64 = 1.05;

/// A failure under all policies.
pub struct Case<'a> {
    pub name: String,
    rows: Vec<&'a Row>,
    /// The best classical policy, and its p99.
    best: Option<(&'a str, f64)>,
    /// The p99 of the policy that is judged.
    own: f64,
}

/// Each case of these outcomes: the policies by name, which of them are classical, and which is judged.
pub fn cases<'a>(outcomes: &'a [Outcomes], policies: &[String], classical: &[String], judged: &str) -> Vec<Case<'a>> {
    let variants = outcomes.iter().flat_map(|found| found.variants.iter().map(move |(variant, rows)| (found, variant, rows)));
    let case = |(found, variant, rows): (&'a Outcomes, &'a String, &'a Vec<Row>)| {
        let rows: Vec<&Row> = policies.iter().filter_map(|policy| rows.iter().find(|row| row.policy == *policy)).collect();
        let peers = rows.iter().filter(|row| classical.contains(&row.policy)).map(|row| (row.policy.as_str(), of(row, "p99")));
        Case {
            name: format!("{} {variant}", found.name).trim_end().to_owned(),
            best: peers.min_by(|a, b| a.1.total_cmp(&b.1)),
            own: rows.iter().find(|row| row.policy == judged).map_or(f64::NAN, |row| of(row, "p99")),
            rows,
        }
    };
    variants.map(case).collect()
}

fn of(row: &Row, name: &str) -> f64 {
    row.figures.get(name).copied().unwrap_or(f64::NAN)
}

impl Case<'_> {
    /// Whether the judged policy is at most so many times as slow; where every classical one fails it cannot be worse.
    pub fn held(&self) -> bool {
        self.best.is_some_and(|(_, best)| best.is_infinite() || self.own <= best * BOUND)
    }

    /// Its p99 over the best, 1 where both fail.
    fn ratio(&self, p99: f64) -> f64 {
        self.best.map_or(f64::NAN, |(_, best)| if p99 == best { 1.0 } else { p99 / best })
    }

    fn text(&self, judged: &str) -> String {
        let width = self.rows.iter().map(|row| row.policy.len()).max().unwrap_or_default();
        let mut text = format!("\n{:<width$}    success %        p50        p99\n", self.name, width = width);
        for row in &self.rows {
            let cells = [("success", 2, 13), ("p50", 1, 11), ("p99", 1, 11)].map(|(name, decimals, wide)| {
                let cell = figure(of(row, name), decimals);
                format!("{cell:>wide$}")
            });
            text += &format!("  {:<width$}{}\n", row.policy, cells.concat());
        }
        let (peer, best) = self.best.unwrap_or(("nobody", f64::NAN));
        let word = if self.held() { "held" } else { "NOT HELD" };
        text + &format!("  {word}: {judged} {} at most {BOUND} x {peer}'s {}\n", figure(self.own, 1), figure(best, 1))
    }
}

/// All cases as text, and in how many the bound is held.
pub fn text(cases: &[Case<'_>], judged: &str) -> String {
    let held = cases.iter().filter(|case| case.held()).count();
    let all: String = cases.iter().map(|case| case.text(judged)).collect();
    format!("{all}\nheld in {held} of {}: p99 of {judged} at most {BOUND} x that of the best classical policy\n", cases.len())
}

/// A line for each case: where the p99 of each policy lies over that of the best classical one. What fails is at the right end.
///
/// # Errors
/// What the file system or the drawing says.
pub fn draw(cases: &[Case<'_>], file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    const END: f64 = 20.0;
    let root = SVGBackend::new(file, (1100, 120 + 40 * cases.len() as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("p99 over that of the best classical policy", ("sans-serif", 18))
        .margin(10)
        .margin_right(190)
        .x_label_area_size(24)
        .y_label_area_size(200)
        .build_cartesian_2d(-0.5..END.log10(), -0.5..cases.len() as f64 - 0.5)?;
    let times = |log: &f64| format!("{:.1}", 10f64.powf(*log));
    chart.configure_mesh().disable_y_mesh().y_labels(0).light_line_style(WHITE).x_label_formatter(&times).draw()?;
    let bound = [(BOUND.log10(), -0.5), (BOUND.log10(), cases.len() as f64 - 0.5)];
    chart.draw_series(LineSeries::new(bound, BLACK.mix(0.4)))?;
    for (index, case) in cases.iter().enumerate() {
        let height = (cases.len() - 1 - index) as f64;
        let at = chart.backend_coord(&(-0.5, height));
        root.draw(&Text::new(case.name.clone(), (12, at.1 - 6), ("sans-serif", 13).into_font()))?;
        for (colour, row) in case.rows.iter().enumerate() {
            let ratio = case.ratio(of(row, "p99"));
            let x = if ratio.is_nan() { continue } else { ratio.clamp(10f64.powf(-0.5), END).log10() };
            chart.draw_series([Circle::new((x, height), 5, COLOURS[colour % COLOURS.len()].filled())])?;
        }
    }
    for (colour, row) in cases.first().map_or(&[][..], |case| &case.rows).iter().enumerate() {
        let at = (920, 50 + colour as i32 * 18);
        root.draw(&Circle::new(at, 5, COLOURS[colour % COLOURS.len()].filled()))?;
        root.draw(&Text::new(row.policy.clone(), (at.0 + 12, at.1 - 6), ("sans-serif", 13).into_font()))?;
    }
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn it_is_said_where_the_bound_is_held() {
        let row = |policy: &str, p99: f64| Row { policy: policy.into(), figures: [("p99".to_owned(), p99)].into(), lines: Value::Null };
        let never = f64::INFINITY;
        let variants = vec![
            ("a".to_owned(), vec![row("old", 100.0), row("older", 200.0), row("new", 105.0)]),
            ("b".to_owned(), vec![row("old", never), row("older", 200.0), row("new", 211.0)]),
            ("c".to_owned(), vec![row("old", never), row("older", never), row("new", never)]),
            ("d".to_owned(), vec![row("old", 1.0), row("older", 2.0), row("new", never)]),
        ];
        let outcomes = [Outcomes { name: "x".into(), variants, seconds: 0.0 }];
        let names = ["old", "older", "new"].map(str::to_owned);
        let cases = cases(&outcomes, &names, &names[..2], "new");
        assert_eq!(cases.iter().map(Case::held).collect::<Vec<_>>(), [true, false, true, false]);
        let text = text(&cases, "new");
        assert!(text.contains("NOT HELD: new 211.0 at most 1.05 x older's 200.0") && text.contains("held in 2 of 4"), "{text}");
    }
}
