//! Randomness: streams that depend on nothing but their names.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of this seed and number; streams of different numbers have nothing to do with each other.
    pub fn stream(seed: u64, number: u64) -> Self {
        let mut dice = Self(seed);
        let base = dice.bits();
        let mut dice = Self(base ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        dice.bits();
        dice
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Exponentially distributed with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_are_right() {
        let mut dice = Dice::stream(1, 2);
        let n = 200_000;
        let mean = |draw: &mut dyn FnMut() -> f64| (0..n).map(|_| draw()).sum::<f64>() / f64::from(n);
        assert!((mean(&mut || dice.unit()) - 0.5).abs() < 0.005);
        assert!((mean(&mut || dice.exponential(3.0)) - 3.0).abs() < 0.05);
        assert!(mean(&mut || dice.normal()).abs() < 0.01);
        assert!((mean(&mut || dice.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean(&mut || dice.below(11) as f64) - 5.0).abs() < 0.05);
    }

    #[test]
    fn streams_differ_and_repeat() {
        let first = |seed, number| Dice::stream(seed, number).bits();
        assert_eq!(first(1, 1), first(1, 1));
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }
}
