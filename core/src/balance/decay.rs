//! Exponential decay that agrees to the last bit on every target.

/// `e^-x`, for x at least 0; below 1e-9 off, and 0 beyond 700.
///
/// A library's `exp` differs from target to target in the last bit. This one is `2^-y` with `y = x log2(e)`: the whole
/// part of y goes into the exponent of the float, and for the rest, at most 1/2 either way, nine terms of the series of
/// `e^z` are left, made of `+` and `*`, which IEEE 754 rounds alike everywhere.
#[inline]
pub(super) fn decay(x: f64) -> f64 {
    // Most of the time little has passed, and six terms of the series leave less than 1e-10.
    if (0.0..NEAR).contains(&x) {
        let square = x * x;
        return (1.0 - x) + square * (0.5 - x * (1.0 / 6.0)) + square * square * (1.0 / 24.0 - x * (1.0 / 120.0));
    }
    far(x)
}

/// Up to here the series of `e^-x` itself is short.
const NEAR: f64 = 1.0 / 16.0;

/// The rest of [`decay`].
#[inline(never)]
fn far(x: f64) -> f64 {
    // NaN and negative numbers count as 0, lest a clock that stands still make a weight grow.
    if x.is_nan() || x <= 0.0 {
        return 1.0;
    }
    if x > 700.0 {
        return 0.0;
    }
    let y = x * core::f64::consts::LOG2_E;
    // At most 1010, so the exponent stays that of a normal number.
    let whole = (y + 0.5) as i64;
    let z = (whole as f64 - y) * core::f64::consts::LN_2;
    let square = z * z;
    let even = 1.0 + square * (1.0 / 2.0 + square * (1.0 / 24.0 + square * (1.0 / 720.0 + square * (1.0 / 40_320.0))));
    let odd = z * (1.0 + square * (1.0 / 6.0 + square * (1.0 / 120.0 + square * (1.0 / 5_040.0))));
    (even + odd) * f64::from_bits(1_023_u64.wrapping_sub(whole.cast_unsigned()) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    // The reference; this machine's own is good enough to compare with.
    #[allow(clippy::disallowed_methods)]
    fn it_is_the_exponential() {
        for step in 0..=70_000u32 {
            let x = f64::from(step) / 100.0;
            let exact = (-x).exp();
            assert!((decay(x) / exact - 1.0).abs() < 1e-9, "{x}: {} {exact}", decay(x));
            let x = x / 7_000.0;
            assert!((decay(x) / (-x).exp() - 1.0).abs() < 1e-10, "{x}: {}", decay(x));
        }
        for (x, y) in [(f64::NAN, 1.0), (-1.0, 1.0), (0.0, 1.0), (f64::INFINITY, 0.0), (701.0, 0.0)] {
            assert_eq!(decay(x), y);
        }
    }
}
