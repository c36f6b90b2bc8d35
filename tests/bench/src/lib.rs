//! How this repository measures itself: ours and the peers in one process, in interleaved rounds.
//!
//! `measure` has the method, `report` the form of a result, `memory` counts bytes, `workload` makes the instances, and
//! `naive` and `sqlite` are what one would write without callboard. The programs are in `bin`; `cargo xtask bench` runs
//! them and prints what they found.

#[cfg(any(feature = "pick", feature = "policies"))]
pub mod floor;
#[cfg(feature = "serve")]
pub mod load;
pub mod measure;
pub mod memory;
pub mod naive;
pub mod report;
#[cfg(feature = "registry")]
pub mod sqlite;
pub mod workload;

/// SplitMix64: data that is the same in every run.
pub struct Random(pub u64);

impl Random {
    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Puts the items in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
