//! `cargo xtask bench --plot`: what was measured last, as SVG files for `core/docs`, on a light and on a dark ground.
//!
//! Nothing is drawn that is not in `target/bench/*.json`: a bar for each row with a goal, and what a pick costs among more.

use std::collections::BTreeMap;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use serde_json::Value;

use crate::{Result, sh};

/// Name of the file, ground, ink, lines of the grid.
type Ground = (&'static str, RGBColor, RGBColor, RGBColor);

const GROUNDS: [Ground; 2] = [
    ("light", WHITE, RGBColor(31, 35, 40), RGBColor(208, 215, 222)),
    ("dark", RGBColor(13, 17, 23), RGBColor(230, 237, 243), RGBColor(61, 68, 77)),
];
/// Told apart by the colour-blind and on both grounds (after Okabe and Ito): a goal met, one that is not.
const MET: RGBColor = RGBColor(0, 138, 200);
const UNMET: RGBColor = RGBColor(213, 94, 0);
const LINES: [RGBColor; 8] = [
    RGBColor(0, 138, 200),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(120, 160, 255),
    RGBColor(230, 159, 0),
    RGBColor(130, 130, 130),
    RGBColor(150, 130, 0),
];
const WIDTH: u32 = 960;
const LABELS: i32 = 500;
const BAR: i32 = 20;
const TOP: i32 = 44;

pub fn draw() -> Result {
    let mut drawn = 0;
    for (name, title) in [
        ("registry", "Registry"),
        ("formats", "An answer of another registry taken in"),
        ("serve", "Servers, beside etcd"),
        ("pick", "One pick"),
        ("policies", "What a pick costs more among 100 000 instances than among 100, beside the floor"),
        ("package", "The npm package"),
    ] {
        let Ok(bytes) = std::fs::read(super::file(name)) else {
            println!("bench: {name} has not been measured: cargo xtask bench {name}");
            continue;
        };
        let rows: Vec<Value> = serde_json::from_slice(&bytes)?;
        let bars = bars(&rows);
        if !bars.is_empty() {
            let what = format!("{title}: how many times faster or smaller than a peer; the mark is the goal");
            let told = bars.iter().map(|bar| format!("{}: {} of {}", bar.label, figure(bar.ratio), figure(bar.goal))).collect::<Vec<_>>();
            write(name, &what, &told.join("; "), TOP + 24 + BAR * bars.len() as i32, |area, ground| draw_bars(area, ground, &what, &bars))?;
            drawn += 1;
        }
        let growth = growth(&rows);
        if !growth.is_empty() {
            let what = "One pick and its finish in Rust: its cost among more instances, as a multiple of that among 100";
            let told = growth.iter().map(|(name, points)| {
                let points: Vec<String> = points.iter().map(|(n, times)| format!("{n} {}", figure(*times))).collect();
                format!("{name}: {}", points.join(", "))
            });
            write("growth", what, &told.collect::<Vec<_>>().join("; "), 420, |area, ground| draw_growth(area, ground, what, &growth))?;
            drawn += 1;
        }
    }
    println!("bench: {drawn} drawings, light and dark, in core/docs");
    Ok(())
}

struct Bar {
    label: String,
    ratio: f64,
    goal: f64,
}

/// The rows with a goal; where there is one for several sizes, that of 1 000 instances or the last.
fn bars(rows: &[Value]) -> Vec<Bar> {
    let mut bars: Vec<(String, bool, Bar)> = Vec::new();
    for row in rows {
        let (Some(name), Some(ratio), Some(goal)) = (row["name"].as_str(), row["ratio"].as_f64(), row["goal"].as_f64()) else { continue };
        let size = size(name);
        let of_any_size = size.map_or_else(|| name.to_owned(), |size| name.replace(&format!(", n={size}"), ""));
        let made = (of_any_size, size == Some(1_000), Bar { label: name.to_owned(), ratio, goal });
        match bars.iter_mut().find(|known| known.0 == made.0) {
            Some(known) if !known.1 => *known = made,
            Some(_) => {}
            None => bars.push(made),
        }
    }
    bars.into_iter().map(|(_, _, bar)| bar).collect()
}

/// How many instances a row is of.
fn size(name: &str) -> Option<u64> {
    name.split_once(", n=")?.1.split(':').next()?.parse().ok()
}

/// Sizes with the multiples of the cost among 100, of every policy in Rust that was measured at three sizes or more.
fn growth(rows: &[Value]) -> Vec<(String, Vec<(u64, f64)>)> {
    let mut found: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
    for row in rows {
        let (Some(name), Some(ours)) = (row["name"].as_str(), row["ours"].as_f64()) else { continue };
        let (Some(policy), Some(size)) = (name.strip_prefix("policy "), size(name)) else { continue };
        let policy = policy.split(", n=").next().unwrap_or(policy);
        // What is named after another system is one of these with other settings.
        if !policy.contains('.') {
            found.entry(policy.to_owned()).or_default().insert(size, ours);
        }
        if let ("least-request", Some(peer)) = (policy, row["peer"].as_f64()) {
            found.entry("the floor, least-request".to_owned()).or_default().insert(size, peer);
        }
    }
    let found = found.into_iter().filter(|(_, points)| points.len() > 2);
    found
        .filter_map(|(name, points)| points.get(&100).map(|base| (name, points.iter().map(|(n, cost)| (*n, cost / base)).collect())))
        .collect()
}

/// Both files of a drawing, each with its title and description for those who do not see it.
fn write(
    name: &str,
    title: &str,
    told: &str,
    height: i32,
    draw: impl Fn(&DrawingArea<SVGBackend<'_>, Shift>, &Ground) -> std::result::Result<(), Box<dyn std::error::Error>>,
) -> Result {
    for ground in GROUNDS {
        let mut text = String::new();
        {
            let area = SVGBackend::with_string(&mut text, (WIDTH, height as u32)).into_drawing_area();
            area.fill(&ground.1)?;
            draw(&area, &ground).map_err(|error| error.to_string())?;
            area.present()?;
        }
        let head = format!(" role=\"img\"><title>{}</title><desc>{}</desc>", escaped(title), escaped(told));
        std::fs::write(sh::root().join(format!("core/docs/bench-{name}-{}.svg", ground.0)), text.replacen('>', &head, 1))?;
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn figure(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn draw_bars(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    (_, _, ink, grid): &Ground,
    title: &str,
    bars: &[Bar],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let text = |size: i32, side: HPos| ("sans-serif", size).into_font().color(ink).pos(Pos::new(side, VPos::Center));
    area.draw_text(title, &text(15, HPos::Left), (12, 18))?;
    let values = || bars.iter().flat_map(|bar| [bar.ratio, bar.goal]).chain([1.0]).map(f64::log10);
    let (low, high) = (values().fold(0.0, f64::min).floor(), values().fold(0.0, f64::max).ceil().max(1.0));
    let place = |value: f64| LABELS + 12 + ((value.log10() - low) / (high - low) * f64::from(WIDTH as i32 - LABELS - 80)) as i32;
    let bottom = TOP + BAR * bars.len() as i32;
    for power in low as i32..=high as i32 {
        let at = place(10f64.powi(power));
        let line = if power == 0 { ink.stroke_width(1) } else { grid.stroke_width(1) };
        area.draw(&PathElement::new([(at, TOP - 6), (at, bottom)], line))?;
        let label = if power < 0 { format!("{}", 10f64.powi(power)) } else { format!("{}", 10u64.pow(power as u32)) };
        area.draw_text(&label, &text(11, HPos::Center), (at, bottom + 12))?;
    }
    for (at, bar) in bars.iter().enumerate() {
        let top = TOP + BAR * at as i32;
        let middle = top + BAR / 2;
        area.draw_text(&shortened(&bar.label), &text(12, HPos::Right), (LABELS, middle))?;
        let (one, end) = (place(1.0), place(bar.ratio));
        let colour = if bar.ratio >= bar.goal { MET } else { UNMET };
        area.draw(&Rectangle::new([(one.min(end), top + 3), (one.max(end).max(one.min(end) + 1), top + BAR - 3)], colour.filled()))?;
        let goal = place(bar.goal);
        area.draw(&PathElement::new([(goal, top + 1), (goal, top + BAR - 1)], ink.stroke_width(3)))?;
        let word = if bar.ratio >= bar.goal { figure(bar.ratio) } else { format!("{}, not met", figure(bar.ratio)) };
        area.draw_text(&word, &text(11, HPos::Left), (one.max(end).max(goal) + 6, middle))?;
    }
    Ok(())
}

/// As long as there is room for.
fn shortened(label: &str) -> String {
    const ROOM: usize = 84;
    if label.chars().count() <= ROOM {
        return label.to_owned();
    }
    label.chars().take(ROOM - 1).chain(['…']).collect()
}

fn draw_growth(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    (_, _, ink, grid): &Ground,
    title: &str,
    lines: &[(String, Vec<(u64, f64)>)],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let sizes = || lines.iter().flat_map(|(_, points)| points.iter().map(|(n, _)| *n as f64));
    let times = || lines.iter().flat_map(|(_, points)| points.iter().map(|(_, times)| *times));
    let (most, least) = (times().fold(2.0, f64::max), times().fold(0.5, f64::min));
    let font = |size: i32| ("sans-serif", size).into_font().color(ink);
    let mut chart = ChartBuilder::on(area)
        .caption(title, font(15))
        .margin(8)
        .margin_right(230)
        .x_label_area_size(36)
        .y_label_area_size(50)
        .build_cartesian_2d((sizes().fold(10.0, f64::min)..sizes().fold(10.0, f64::max)).log_scale(), (least..most * 1.1).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(grid)
        .axis_style(grid)
        .label_style(font(11))
        .x_desc("instances")
        .x_label_formatter(&|n| format!("{n}"))
        .y_label_formatter(&|times| figure(*times))
        .draw()?;
    for (at, (name, points)) in lines.iter().enumerate() {
        // Every other round of the colours is thinner.
        let style = LINES[at % LINES.len()].stroke_width(if at < LINES.len() { 2 } else { 1 });
        chart.draw_series(LineSeries::new(points.iter().map(|(n, times)| (*n as f64, *times)), style))?;
        chart.draw_series(points.iter().map(|(n, times)| Circle::new((*n as f64, *times), 2, style.filled())))?;
        let (left, top) = (WIDTH as i32 - 215, 44 + at as i32 * 16);
        area.draw(&PathElement::new([(left, top), (left + 18, top)], style))?;
        area.draw_text(name, &font(12).pos(Pos::new(HPos::Left, VPos::Center)), (left + 24, top))?;
    }
    Ok(())
}
