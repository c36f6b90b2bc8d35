//! What a balancer has done, as OpenMetrics text.

use alloc::string::String;
use core::fmt::Write as _;

use super::stats::{InstanceStats, Stats, Tally};
use crate::time::secs;

/// A family of metrics: name, type, help, and the samples of one instance.
type Family = (&'static str, &'static str, &'static str, fn(&mut Writer<'_>, &InstanceStats));

const FAMILIES: &[Family] = &[
    ("callboard_picks", "counter", "Calls given to the instance.", |out, one| {
        out.sample("callboard_picks_total", one, "", one.tally.ended().saturating_add(u64::from(one.in_flight)));
    }),
    ("callboard_outcomes", "counter", "Calls that ended, by what became of them; reaped ones were never finished.", |out, one| {
        let Tally { succeeded, failed, cancelled, reaped, .. } = one.tally;
        for (outcome, count) in [("success", succeeded), ("failure", failed), ("cancelled", cancelled), ("reaped", reaped)] {
            out.sample("callboard_outcomes_total", one, outcome, count);
        }
    }),
    ("callboard_in_flight", "gauge", "Calls that have not ended.", |out, one| {
        out.sample("callboard_in_flight", one, "", u64::from(one.in_flight));
    }),
    ("callboard_latency_seconds", "summary", "Latency of the calls that told it.", |out, one| {
        out.sample("callboard_latency_seconds_count", one, "", one.tally.timed);
        out.sample("callboard_latency_seconds_sum", one, "", one.tally.latency as f64 / 1e6);
    }),
    ("callboard_expected_latency_seconds", "gauge", "Average latency as the policy weighs it.", |out, one| {
        if let Some(latency) = one.expected {
            out.sample("callboard_expected_latency_seconds", one, "", secs(latency));
        }
    }),
    ("callboard_success_ratio", "gauge", "Average success as the policy weighs it, from 0 to 1.", |out, one| {
        if let Some(success) = one.success {
            out.sample("callboard_success_ratio", one, "", success);
        }
    }),
    ("callboard_out", "gauge", "Whether the instance is out of the picks: 1 or 0; because it does badly, or asked for it.", |out, one| {
        out.sample("callboard_out", one, "", u64::from(one.ejected || one.held));
    }),
    ("callboard_available", "gauge", "Whether the instance is available: 1 or 0.", |out, one| {
        out.sample("callboard_available", one, "", u64::from(one.availability == crate::model::Availability::Available));
    }),
];

struct Writer<'a> {
    text: &'a mut String,
    policy: &'a str,
}

impl Writer<'_> {
    fn sample(&mut self, name: &str, one: &InstanceStats, outcome: &str, value: impl core::fmt::Display) {
        self.text.push_str(name);
        let labels = [("policy", self.policy), ("service", one.service.as_str()), ("id", one.id.as_str()), ("outcome", outcome)];
        let mut open = '{';
        for (label, value) in labels.into_iter().filter(|(_, value)| !value.is_empty()) {
            self.text.push(open);
            open = ',';
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(self.text, value);
            self.text.push('"');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "}} {value}");
    }
}

/// Escapes what the format gives a meaning inside quotes.
fn escape(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

impl Stats {
    /// Writes OpenMetrics 1.0 text, which Prometheus and OpenTelemetry collectors scrape: for each instance its picks, their
    /// outcomes, calls in flight and latencies, and what the policy expects of it; and what each part of the pipeline did. Labels are the
    /// policy, the service and the id; ends with `# EOF`. The media type is `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    pub fn open_metrics(&self) -> String {
        let mut text = String::new();
        for (name, kind, help, write) in FAMILIES {
            let _ = writeln!(text, "# TYPE {name} {kind}");
            if name.ends_with("_seconds") {
                let _ = writeln!(text, "# UNIT {name} seconds");
            }
            let _ = writeln!(text, "# HELP {name} {help}");
            let mut writer = Writer { text: &mut text, policy: &self.policy };
            for one in &self.instances {
                write(&mut writer, one);
            }
        }
        text.push_str("# TYPE callboard_stage counter\n# HELP callboard_stage What each part of the pipeline did.\n");
        for (stage, count) in self.stages.pairs() {
            text.push_str("callboard_stage_total{policy=\"");
            escape(&mut text, &self.policy);
            let _ = writeln!(text, "\",stage=\"{stage}\"}} {count}");
        }
        text.push_str("# EOF\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Stages;
    use crate::model::{Availability, Handle};
    use core::time::Duration;

    #[test]
    fn it_is_openmetrics() {
        let tally = Tally { succeeded: 3, failed: 1, cancelled: 0, reaped: 0, timed: 2, latency: 1_500_000 };
        let one = InstanceStats {
            handle: Handle::new(0, 0),
            service: "s".into(),
            id: "a\"\\\n".into(),
            availability: Availability::Available,
            in_flight: 2,
            tally,
            ejected: true,
            held: false,
            expected: Some(Duration::from_millis(250)),
            success: None,
        };
        let stats = Stats {
            policy: "adaptive".into(),
            in_flight: 2,
            tally,
            backwards: 0,
            stages: Stages { probes: 3, ..Stages::default() },
            instances: [one].into(),
        };
        let text = stats.open_metrics();
        let labels = r#"{policy="adaptive",service="s",id="a\"\\\n""#;
        for line in [
            "# TYPE callboard_picks counter".into(),
            std::format!("callboard_picks_total{labels}}} 6"),
            std::format!("callboard_outcomes_total{labels},outcome=\"failure\"}} 1"),
            std::format!("callboard_latency_seconds_sum{labels}}} 1.5"),
            "# UNIT callboard_latency_seconds seconds".into(),
            std::format!("callboard_expected_latency_seconds{labels}}} 0.25"),
            "callboard_stage_total{policy=\"adaptive\",stage=\"probes\"} 3".into(),
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && !text.contains("callboard_success_ratio{"));
    }
}
