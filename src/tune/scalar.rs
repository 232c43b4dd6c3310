//! The two precisions in which a tail is computed.

use faer::traits::ComplexField;
use ndarray::NdFloat;

use crate::head::Real;

/// f32 for training; f64, in which gradients are held against finite differences.
pub trait Scalar: NdFloat + ComplexField + Into<f64> + std::iter::Sum + Default {
    /// Rounded from f64.
    fn of(value: f64) -> Self;
    /// `e^x` for `x ≤ 0`.
    fn exp_nonpositive(self) -> Self;
    /// The error function, `2/√π ∫₀ˣ e^(−t²) dt`.
    fn erf(self) -> Self;
}

impl Scalar for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn exp_nonpositive(self) -> Self {
        Real::exp_nonpositive(self)
    }

    /// Two minimax polynomials, for `|x|` up to 0.92 and above (Juffa's `erff`), absolute error below 2e-7. Written without
    /// branches, so that the compiler runs it on whole vectors: a Gelu is otherwise slower than the product before it.
    #[inline(always)]
    fn erf(self) -> Self {
        let (size, square) = (self.abs(), self * self);
        let p = -5.967_617e-4;
        let p = p * square + 4.991_194e-3;
        let p = p * square - 2.676_813_5e-2;
        let p = p * square + 1.128_199_25e-1;
        let p = p * square - 3.761_253_4e-1;
        let p = p * square + 1.283_791_7e-1;
        let near = p * self + self;
        // Beyond 4 the value is 1 in f32, and the polynomial is no longer one of it.
        let t = size.min(4.0);
        let q = -1.728_534_7e-5 * t + 3.831_971_3e-4;
        let q = q * t - 3.883_964_4e-3;
        let q = q * t + 2.425_462_2e-2;
        let q = q * t - 1.067_778_8e-1;
        let q = q * t - 6.348_467e-1;
        let q = q * t - 1.287_175_1e-1;
        let q = q * t - t;
        let far = (1.0 - Real::exp_nonpositive(q)).copysign(self);
        if size > 0.927_734_4 { far } else { near }
    }
}

impl Scalar for f64 {
    fn of(value: f64) -> Self {
        value
    }

    fn exp_nonpositive(self) -> Self {
        self.exp()
    }

    fn erf(self) -> Self {
        libm::erf(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_error_function_is_the_error_function() {
        for i in -60_000..=60_000 {
            let x = i as f32 * 1e-4;
            let error = (f64::from(Scalar::erf(x)) - libm::erf(f64::from(x))).abs();
            assert!(error < 2e-7, "{x}: {error:e}");
        }
        assert_eq!(Scalar::erf(f32::MAX), 1.0);
        assert_eq!(Scalar::erf(f32::NEG_INFINITY), -1.0);
    }
}
