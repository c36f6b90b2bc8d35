//! How much of the traffic an instance asks for.

use core::fmt;

use crate::error::{Code, Error};
use crate::limits;

/// A share of the traffic, 0 to 65 535 in steps of 0.001, relative to the weights of its peers.
///
/// Stored as whole thousandths, so that Nacos' doubles, Envoy's integers and sums in `u64` are exact.
/// 0 means no new traffic; the default is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The weight of an instance that names none.
    pub const ONE: Self = Self(1_000);
    /// No new traffic.
    pub const ZERO: Self = Self(0);

    /// Takes a number, to the nearest thousandth; a positive one is at least 0.001.
    ///
    /// # Errors
    /// [`Code::InvalidWeight`] when it is NaN, negative or above 65 535.
    pub fn new(weight: f64) -> Result<Self, Error> {
        let thousandths = weight * 1_000.0 + 0.5;
        // Written so that NaN fails too.
        if !(weight >= 0.0 && weight <= f64::from(limits::WEIGHT_THOUSANDTHS) / 1_000.0) {
            return Err(Error::new(Code::InvalidWeight, "weight")
                .limit(u64::from(limits::WEIGHT_THOUSANDTHS / 1_000))
                .message("a weight is a number from 0 to 65535"));
        }
        let rounded = thousandths as u32;
        Ok(Self(if rounded == 0 && weight > 0.0 { 1 } else { rounded }))
    }

    /// Takes whole thousandths.
    ///
    /// # Errors
    /// [`Code::InvalidWeight`] above 65 535 000.
    pub fn from_thousandths(thousandths: u32) -> Result<Self, Error> {
        if thousandths > limits::WEIGHT_THOUSANDTHS {
            return Err(Error::new(Code::InvalidWeight, "weight").limit(u64::from(limits::WEIGHT_THOUSANDTHS)));
        }
        Ok(Self(thousandths))
    }

    /// Whole thousandths.
    pub const fn thousandths(self) -> u32 {
        self.0
    }

    /// The number.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_exact_thousandths() {
        for (number, thousandths) in [(0.0, 0), (-0.0, 0), (0.01, 10), (0.000_1, 1), (1.0, 1_000), (2.5, 2_500), (65_535.0, 65_535_000)] {
            assert_eq!(Weight::new(number).unwrap().thousandths(), thousandths);
        }
        for bad in [-0.001, -1.0, 65_535.001, f64::NAN, f64::INFINITY] {
            assert_eq!(Weight::new(bad).unwrap_err().code(), Code::InvalidWeight);
        }
        assert!(Weight::from_thousandths(limits::WEIGHT_THOUSANDTHS - 1).is_ok());
        assert!(Weight::from_thousandths(limits::WEIGHT_THOUSANDTHS).is_ok());
        assert!(Weight::from_thousandths(limits::WEIGHT_THOUSANDTHS + 1).is_err());
    }
}
