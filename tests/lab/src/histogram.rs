//! Quantiles of many values in little memory.

/// Cells in an octave: a quantile is right to 1/2048.
const CELLS: u64 = 1024;
const OCTAVE_BITS: u32 = CELLS.trailing_zeros();

/// Counts of nanoseconds by size, and of those that never ended.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    cells: Vec<u32>,
    count: u64,
    never: u64,
    sum: f64,
    max: u64,
}

impl Histogram {
    pub fn add(&mut self, nanos: u64) {
        let cell = cell(nanos);
        if cell >= self.cells.len() {
            self.cells.resize(cell + 1, 0);
        }
        self.cells[cell] += 1;
        self.count += 1;
        self.sum += nanos as f64;
        self.max = self.max.max(nanos);
    }

    /// Something that is longer than everything else.
    pub fn add_never(&mut self) {
        self.count += 1;
        self.never += 1;
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean of those that ended; NaN when none did.
    pub fn mean(&self) -> f64 {
        self.sum / (self.count - self.never) as f64
    }

    /// Infinite when one never ended; NaN when there is none.
    pub fn max(&self) -> f64 {
        match (self.count, self.never) {
            (0, _) => f64::NAN,
            (_, 0) => self.max as f64,
            _ => f64::INFINITY,
        }
    }

    /// The least value that at least this share is not above; infinite when it falls among those that never ended, NaN
    /// when there is none.
    pub fn quantile(&self, share: f64) -> f64 {
        if self.count == 0 {
            return f64::NAN;
        }
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut below = 0;
        for (index, count) in self.cells.iter().enumerate() {
            below += u64::from(*count);
            if below >= rank {
                return middle(index).min(self.max as f64);
            }
        }
        f64::INFINITY
    }
}

fn cell(nanos: u64) -> usize {
    if nanos < CELLS {
        return nanos as usize;
    }
    let octave = nanos.ilog2() - OCTAVE_BITS + 1;
    (u64::from(octave) * CELLS + ((nanos >> (octave - 1)) - CELLS)) as usize
}

/// The middle of the values that a cell counts.
fn middle(cell: usize) -> f64 {
    let (octave, within) = (cell as u64 / CELLS, cell as u64 % CELLS);
    if octave == 0 {
        return within as f64;
    }
    let width = (1u64 << (octave - 1)) as f64;
    (CELLS + within) as f64 * width + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_cell_near_it() {
        for nanos in (0..9_000).chain((13..60).map(|bits| (1u64 << bits) - 1)).chain((13..60).map(|bits| (1u64 << bits) + 12_345)) {
            let middle = middle(cell(nanos));
            assert!((middle - nanos as f64).abs() <= nanos as f64 / 2048.0 + 0.5, "{nanos} {middle}");
        }
    }

    #[test]
    fn quantiles_of_a_line() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|step| histogram.add(step * 1_000));
        for share in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert!((histogram.quantile(share) / (share * 1e8) - 1.0).abs() < 1.0 / 2048.0, "{share}");
        }
        assert_eq!((histogram.max(), histogram.mean()), (1e8, 50_000_500.0));
    }

    #[test]
    fn what_never_ends_is_longest() {
        let mut histogram = Histogram::default();
        assert!(histogram.quantile(0.5).is_nan() && histogram.max().is_nan() && histogram.mean().is_nan());
        (0..98).for_each(|_| histogram.add(10));
        (0..2).for_each(|_| histogram.add_never());
        assert_eq!((histogram.quantile(0.98), histogram.quantile(0.99), histogram.max()), (10.0, f64::INFINITY, f64::INFINITY));
    }
}
