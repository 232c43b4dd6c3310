//! The two precisions in which the objective is computed.

use faer::traits::ComplexField;
use ndarray::LinalgScalar;

/// f32 for speed, f64 for the last digits.
pub(crate) trait Real: LinalgScalar + ComplexField + PartialOrd + Send + Sync + Into<f64> {
    /// Objectives that differ by less, relative, count as equal: generous, since the sums are in f64.
    const NOISE: f64;
    /// Rounded from f64.
    fn of(value: f64) -> Self;
    /// From f32, exactly.
    fn of_f32(value: f32) -> Self;
    /// `e^x` for `x ≤ 0`.
    fn exp_nonpositive(self) -> Self;
}

impl Real for f32 {
    const NOISE: f64 = 1e-6;

    fn of(value: f64) -> Self {
        value as f32
    }

    fn of_f32(value: f32) -> Self {
        value
    }

    /// Cephes `expf`: `2^n · p(x − n·ln 2)`, relative error below 2e-7, 0 below −87. Written without branches, so that
    /// the compiler runs it on whole vectors; a softmax of 100 classes is otherwise a quarter of the solver's time.
    #[inline(always)]
    fn exp_nonpositive(self) -> Self {
        const ROUND: f32 = 12_582_912.0; // 1.5·2^23: adding it rounds to the nearest integer
        let x = self.max(-87.0);
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
        let p = 1.987_569_1e-4;
        let p = p * r + 1.398_2e-3;
        let p = p * r + 8.333_452e-3;
        let p = p * r + 4.166_579_6e-2;
        let p = p * r + 1.666_666_5e-1;
        let p = p * r + 0.5;
        let p = p * r * r + r + 1.0;
        let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
        if self < -87.0 { 0.0 } else { p * power }
    }
}

impl Real for f64 {
    const NOISE: f64 = 1e-13;

    fn of(value: f64) -> Self {
        value
    }

    fn of_f32(value: f32) -> Self {
        f64::from(value)
    }

    fn exp_nonpositive(self) -> Self {
        self.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_exp_is_exp() {
        let mut worst = 0.0_f64;
        for i in 0..=870_000 {
            let x = -(i as f32) * 1e-4;
            let want = f64::from(x).exp();
            worst = worst.max((f64::from(x.exp_nonpositive()) - want).abs() / want);
        }
        assert!(worst < 2e-7, "{worst:e}");
        assert_eq!(0.0_f32.exp_nonpositive(), 1.0);
        assert_eq!((-88.0_f32).exp_nonpositive(), 0.0);
        assert_eq!(f32::NEG_INFINITY.exp_nonpositive(), 0.0);
    }
}
