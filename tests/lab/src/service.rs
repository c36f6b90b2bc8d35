//! How long a call takes an idle server.

use serde_json::Value;

use crate::dice::Dice;
use crate::read::{Object, Result, list, numbers};

/// A distribution of service times, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    Constant(f64),
    /// With this mean.
    Exponential(f64),
    Uniform(f64, f64),
    /// Mean and standard deviation of a normal distribution whose negative part counts as 0 (the work of Prequal's testbed).
    Normal(f64, f64),
    /// Median, and standard deviation of the logarithm.
    Lognormal(f64, f64),
    /// `(share, at most)` in rising order, from share 0 to share 1; linear between.
    Quantiles(Vec<(f64, f64)>),
}

/// The latencies that Finagle's simulator draws from, by their published quantiles: the lower half is taken to be as
/// wide as the published standard deviation of 5 ms makes it.
const FINAGLE: &[(f64, f64)] =
    &[(0.0, 0.1560), (0.1, 0.1620), (0.5, 0.1675), (0.9, 0.1767), (0.99, 0.1923), (0.999, 0.1988), (1.0, 0.2000)];

impl Service {
    /// Reads `{constant}`, `{exponential}`, `{uniform: [least, most]}`, `{normal: [mean, sd]}`, `{lognormal: [median, sigma]}` or
    /// `{quantiles: [[share, at most], ..] or "finagle"}`.
    pub fn read(value: &Value, place: &str) -> Result<Self> {
        let keys = ["constant", "exponential", "uniform", "normal", "lognormal", "quantiles"];
        let object = Object::new(value, place, &keys)?;
        if keys.iter().filter(|key| object.has(key)).count() != 1 {
            return Err(format!("{place}: must have one of {}", keys.join(" ")));
        }
        if let Some(seconds) = object.number("constant")? {
            return Ok(Self::Constant(seconds));
        }
        if let Some(mean) = object.number("exponential")? {
            return Ok(Self::Exponential(mean));
        }
        if let Some([least, most]) = object.numbers("uniform")? {
            return if least <= most { Ok(Self::Uniform(least, most)) } else { Err(format!("{place}: the least is more than the most")) };
        }
        if let Some([mean, sd]) = object.numbers("normal")? {
            return Ok(Self::Normal(mean, sd));
        }
        if let Some([median, sigma]) = object.numbers("lognormal")? {
            return Ok(Self::Lognormal(median, sigma));
        }
        let table = object.must("quantiles")?;
        if table == "finagle" {
            return Ok(Self::Quantiles(FINAGLE.to_vec()));
        }
        let rows: Vec<(f64, f64)> =
            list(table, place)?.iter().map(|row| numbers::<2>(row, place).map(|[share, most]| (share, most))).collect::<Result<_>>()?;
        let rising = rows.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let whole = rows.first().is_some_and(|row| row.0 == 0.0) && rows.last().is_some_and(|row| row.0 == 1.0);
        if rising && whole { Ok(Self::Quantiles(rows)) } else { Err(format!("{place}: quantiles must rise from share 0 to share 1")) }
    }

    /// One draw, in seconds.
    pub fn draw(&self, dice: &mut Dice) -> f64 {
        match self {
            Self::Constant(seconds) => *seconds,
            Self::Exponential(mean) => dice.exponential(*mean),
            Self::Uniform(least, most) => least + (most - least) * dice.unit(),
            Self::Normal(mean, sd) => (mean + sd * dice.normal()).max(0.0),
            Self::Lognormal(median, sigma) => median * (sigma * dice.normal()).exp(),
            Self::Quantiles(rows) => {
                let share = dice.unit();
                let after = rows.partition_point(|row| row.0 <= share).clamp(1, rows.len() - 1);
                let ((low, least), (high, most)) = (rows[after - 1], rows[after]);
                least + (most - least) * (share - low) / (high - low)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn quantiles(service: &Service) -> [f64; 4] {
        let mut dice = Dice::stream(1, 1);
        let mut drawn: Vec<f64> = (0..200_000).map(|_| service.draw(&mut dice) * 1e3).collect();
        drawn.sort_by(f64::total_cmp);
        [0.5, 0.9, 0.99, 0.999].map(|share| drawn[(share * drawn.len() as f64) as usize])
    }

    fn near(service: &Service, expected: [f64; 4], tolerance: f64) {
        let found = quantiles(service);
        assert!(found.iter().zip(expected).all(|(found, expected)| (found / expected - 1.0).abs() < tolerance), "{found:?} {expected:?}");
    }

    #[test]
    fn the_table_of_finagle_has_its_quantiles() {
        near(&Service::read(&json!({"quantiles": "finagle"}), "").unwrap(), [167.5, 176.7, 192.3, 198.8], 0.003);
    }

    #[test]
    fn the_work_of_prequal_is_normal_cut_at_0() {
        // Prequal's latencies below allocation, figure 6 of the paper: the work itself, since nothing queues.
        near(&Service::Normal(0.080, 0.080), [80.0, 182.0, 265.0, 325.0], 0.015);
    }

    #[test]
    fn bad_tables_are_refused() {
        for bad in [
            json!({"quantiles": [[0, 1], [0.5, 0.5], [1, 2]]}),
            json!({"quantiles": [[0.1, 1], [1, 2]]}),
            json!({"constant": 1, "exponential": 1}),
            json!({"uniform": [2, 1]}),
            json!({"pareto": 1}),
            json!({}),
        ] {
            assert!(Service::read(&bad, "x").is_err(), "{bad}");
        }
    }
}
