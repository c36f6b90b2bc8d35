//! Lines over time as SVG: latency above, success and the share of the watched servers below.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::plan::Plan;
use crate::runner::{Outcomes, Row};

type Drawing<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SIZE: (u32, u32) = (1100, 980);

/// Colours that are told apart in print and by the colour-blind (Okabe and Ito), and again in a lighter line.
pub const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(150, 130, 0),
];

/// Draws a file for each variant into a folder, and tells which.
///
/// # Errors
/// What the file system or the drawing says.
pub fn draw(plan: &Plan, outcomes: &Outcomes, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (variant, rows) in &outcomes.variants {
        let title = if variant.is_empty() { plan.name.clone() } else { format!("{}-{variant}", plan.name) };
        let file = folder.join(format!("{}.svg", title.replace(|sign: char| !sign.is_alphanumeric() && sign != '.', "-")));
        picture(&title, rows, &file)?;
        files.push(file);
    }
    Ok(files)
}

fn picture(title: &str, rows: &[Row], file: &Path) -> Result {
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((3, 1));
    let [latency, success, share] = panels.as_slice() else { return Err("three panels".into()) };
    panel(latency, &format!("{title}: p99, ms"), rows, "p99", true)?;
    panel(success, "success, %", rows, "success", false)?;
    panel(share, "share of the watched servers, %", rows, "share", false)?;
    root.present()?;
    Ok(())
}

fn panel(area: &Drawing<'_>, title: &str, rows: &[Row], line: &str, log: bool) -> Result {
    let series: Vec<Vec<(f64, f64)>> = rows.iter().map(|row| points(row, line, log)).collect();
    let values = || series.iter().flatten().map(|point| point.1).filter(|value| value.is_finite());
    let end = series.iter().flatten().map(|point| point.0).fold(1.0, f64::max);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    // Nothing to draw: no call went well, or nothing is watched.
    let (low, high) = if low <= high { (low, high) } else { (1.0, 2.0) };
    let margin = if high > low { (high - low) * 0.05 } else { 0.5 };
    let (low, high) = if log { (low, high.max(low + 0.1)) } else { (low - margin, high + margin) };
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(8)
        .margin_right(190)
        .x_label_area_size(24)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, low..high)?;
    let text = |value: &f64| if log { format!("{:.0}", 10f64.powf(*value)) } else { format!("{value:.0}") };
    chart.configure_mesh().light_line_style(WHITE).y_label_formatter(&text).x_label_formatter(&|at| format!("{at:.0} s")).draw()?;
    for (index, (row, points)) in rows.iter().zip(&series).enumerate() {
        let lighter = if index < COLOURS.len() { 1.0 } else { 0.5 };
        let style = COLOURS[index % COLOURS.len()].mix(lighter).stroke_width(if index < COLOURS.len() { 2 } else { 1 });
        // A gap is where a point is missing; a line is drawn between the gaps.
        for part in points.split(|point| !point.1.is_finite()).filter(|part| !part.is_empty()) {
            chart.draw_series(LineSeries::new(part.iter().copied(), style))?;
        }
        let (_, height) = area.dim_in_pixel();
        let at = (SIZE.0 as i32 - 180, 30 + index as i32 * 14);
        if at.1 < height as i32 - 10 {
            area.draw(&PathElement::new([at, (at.0 + 18, at.1)], style))?;
            area.draw(&Text::new(row.policy.clone(), (at.0 + 24, at.1 - 6), ("sans-serif", 12).into_font()))?;
        }
    }
    Ok(())
}

fn points(row: &Row, line: &str, log: bool) -> Vec<(f64, f64)> {
    let numbers = |key: &str| row.lines[key].as_array().cloned().unwrap_or_default();
    let value = |value: Option<f64>| value.map_or(f64::NAN, |value| if log { value.max(0.001).log10() } else { value });
    numbers("time").iter().zip(numbers(line)).map(|(at, found)| (at.as_f64().unwrap_or_default(), value(found.as_f64()))).collect()
}
