//! What is measured in a run, and the figures it comes to.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::histogram::Histogram;
use crate::scenario::Scenario;
use crate::{Nanos, seconds};

/// Points of the lines over time.
const POINTS: u64 = 120;

/// Figures by name. Times are in milliseconds, shares in percent. Quantiles take a call that failed for longer than
/// any other, so an infinite one says that more failed than it leaves out.
///
/// | name | what |
/// |---|---|
/// | `calls` | calls that arrived |
/// | `success` | that went well, in time |
/// | `mean`, `p50`, `p90`, `p99`, `p99.9`, `max` | from arrival to the end, retries included; the mean is of those that went well |
/// | `share` | attempts that went to the watched servers |
/// | `spread` | attempts of the busiest server over those of the mean one |
/// | `retries` | attempts beyond the first, per call |
/// | `refused` | calls that found no server to go to |
/// | `wall` | virtual time until all were over |
///
/// With `@WINDOW` behind them the first four rows are of the calls, or attempts, that began in that window.
pub type Figures = BTreeMap<String, f64>;

/// What became of a call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub arrived: Nanos,
    pub ended: Nanos,
    pub ok: bool,
    pub refused: bool,
}

#[derive(Clone, Debug)]
pub struct Record {
    warmup: Nanos,
    within: Option<Nanos>,
    watched: Vec<bool>,
    whole: Span,
    windows: Vec<(String, [Nanos; 2], Span)>,
    points: Vec<Span>,
    step: Nanos,
    by_server: Vec<u64>,
    refused: u64,
    end: Nanos,
}

/// Counts of a span of time.
#[derive(Clone, Debug, Default)]
struct Span {
    latency: Histogram,
    ok: u64,
    attempts: u64,
    watched: u64,
}

impl Record {
    pub fn new(scenario: &Scenario) -> Self {
        let mut watched = vec![false; scenario.servers.count];
        scenario.watch.iter().for_each(|server| watched[*server] = true);
        Self {
            warmup: scenario.warmup,
            within: scenario.within,
            watched,
            whole: Span::default(),
            windows: scenario.windows.iter().map(|(name, span)| (name.clone(), *span, Span::default())).collect(),
            points: Vec::new(),
            step: (scenario.duration / POINTS).max(1),
            by_server: vec![0; scenario.servers.count],
            refused: 0,
            end: 0,
        }
    }

    /// An attempt begins at a server.
    pub fn attempt(&mut self, server: usize, now: Nanos) {
        let watched = self.watched[server];
        if now >= self.warmup {
            self.by_server[server] += 1;
        }
        self.each(now, |span| {
            span.attempts += 1;
            span.watched += u64::from(watched);
        });
    }

    /// A call is over.
    pub fn call(&mut self, call: &Call) {
        self.end = self.end.max(call.ended);
        let took = call.ended - call.arrived;
        let good = call.ok && self.within.is_none_or(|within| took <= within);
        if call.arrived >= self.warmup {
            self.refused += u64::from(call.refused);
        }
        self.each(call.arrived, |span| {
            span.ok += u64::from(good);
            if call.ok { span.latency.add(took) } else { span.latency.add_never() }
        });
    }

    fn each(&mut self, at: Nanos, count: impl Fn(&mut Span)) {
        if at >= self.warmup {
            count(&mut self.whole);
        }
        let windows = self.windows.iter_mut().filter(|(_, span, _)| (span[0]..span[1]).contains(&at));
        windows.for_each(|(.., span)| count(span));
        let point = (at / self.step) as usize;
        // What arrives after the last point, when calls do not arrive by the clock, is in no line.
        if point <= POINTS as usize {
            if point >= self.points.len() {
                self.points.resize_with(point + 1, Span::default);
            }
            count(&mut self.points[point]);
        }
    }

    pub fn figures(&self) -> Figures {
        let mut figures = Figures::new();
        self.whole.figures("", &mut figures);
        self.windows.iter().for_each(|(name, _, span)| span.figures(&format!("@{name}"), &mut figures));
        let most = self.by_server.iter().max().copied().unwrap_or_default() as f64;
        let mean = self.whole.attempts as f64 / self.by_server.len() as f64;
        figures.insert("spread".into(), most / mean);
        figures.insert("refused".into(), percent(self.refused, self.whole.latency.count()));
        figures.insert("wall".into(), seconds(self.end) * 1e3);
        figures
    }

    /// The lines over time: `{time, success, p50, p99, share}`, lists of equal length, null where nothing arrived.
    pub fn lines(&self) -> Value {
        let line = |of: &dyn Fn(&Span) -> f64| -> Vec<Option<f64>> {
            self.points.iter().map(|span| Some(of(span)).filter(|value| value.is_finite())).collect()
        };
        json!({
            "time": (0..self.points.len() as u64).map(|point| seconds(point * self.step + self.step / 2)).collect::<Vec<f64>>(),
            "success": line(&|span| percent(span.ok, span.latency.count())),
            "p50": line(&|span| span.latency.quantile(0.5) / 1e6),
            "p99": line(&|span| span.latency.quantile(0.99) / 1e6),
            "share": line(&|span| percent(span.watched, span.attempts)),
        })
    }
}

impl Span {
    fn figures(&self, suffix: &str, into: &mut Figures) {
        let calls = self.latency.count();
        let mut put = |name: &str, value: f64| into.insert(format!("{name}{suffix}"), value);
        put("calls", calls as f64);
        put("success", percent(self.ok, calls));
        put("mean", self.latency.mean() / 1e6);
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
            put(name, self.latency.quantile(share) / 1e6);
        }
        put("max", self.latency.max() / 1e6);
        put("share", percent(self.watched, self.attempts));
        put("retries", (self.attempts as f64 - calls as f64).max(0.0) / calls as f64);
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
