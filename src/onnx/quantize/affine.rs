//! The arithmetic of eight bits.

use super::super::tensor::FloatTensor;

/// The codes that weights may have; zero is in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightRange {
    /// −127 to 127.
    Full,
    /// −64 to 64. On x86 processors without VNNI a pair of products of an activation and a weight is added up in 16 bits, and what does not fit
    /// is cut off: 2 · 255 · 64 fits, 2 · 255 · 127 does not.
    Reduced,
}

impl WeightRange {
    /// The greatest code; the least is its negative.
    fn greatest(self) -> f32 {
        match self {
            Self::Full => 127.0,
            Self::Reduced => 64.0,
        }
    }
}

/// Unsigned codes of eight bits for real numbers: `real = scale · (code − zero)`. 0 has a code of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// The distance of two codes.
    pub scale: f32,
    /// The code of 0.
    pub zero: u8,
}

impl Affine {
    /// The codes of a range, which is widened to hold 0: padding must stay exact.
    pub fn of([low, high]: [f32; 2]) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low) / 255.0;
        if !scale.is_normal() {
            return Self { scale: 1.0, zero: 0 };
        }
        // A float cast to u8 saturates.
        Self { scale, zero: (-low / scale).round_ties_even() as u8 }
    }

    /// The code of a number, the nearest there is; ties go to the even one, as ONNX has it.
    pub fn code(self, real: f32) -> u8 {
        ((real / self.scale).round_ties_even() + f32::from(self.zero)) as u8
    }

    /// The number of a code.
    pub fn real(self, code: u8) -> f32 {
        self.scale * (f32::from(code) - f32::from(self.zero))
    }
}

/// Signed codes of eight bits with a scale for each index of one axis, and 0 for zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Channels {
    pub(super) codes: Vec<i8>,
    pub(super) scales: Vec<f32>,
}

impl Channels {
    /// The codes of a tensor with a scale for each index of `axis`, at least `least` of that index.
    pub(super) fn of(
        FloatTensor { dims, values }: &FloatTensor,
        axis: usize,
        range: WeightRange,
        least: impl Fn(usize) -> f32,
    ) -> Self {
        let greatest = range.greatest();
        let channels = dims.get(axis).copied().unwrap_or(1).max(1);
        let inner = dims.iter().skip(axis + 1).product::<usize>().max(1);
        let channel = |place: usize| place / inner % channels;
        let mut largest = vec![0.0_f32; channels];
        for (place, value) in values.iter().enumerate() {
            largest[channel(place)] = largest[channel(place)].max(value.abs());
        }
        let scale = |(index, largest): (usize, f32)| match (largest / greatest).max(least(index)) {
            scale if scale.is_normal() => scale,
            _ => 1.0,
        };
        let scales: Vec<f32> = largest.into_iter().enumerate().map(scale).collect();
        let code = |(place, value): (usize, &f32)| {
            (value / scales[channel(place)]).round_ties_even().clamp(-greatest, greatest) as i8
        };
        Self { codes: values.iter().enumerate().map(code).collect(), scales }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn codes_are_those_of_the_closed_form() {
        let relu6 = Affine::of([0.0, 6.0]);
        assert_eq!(
            (relu6.zero, relu6.code(-3.0), relu6.code(0.0), relu6.code(6.0), relu6.code(99.0)),
            (0, 0, 0, 255, 255)
        );
        assert_close([relu6.scale, relu6.real(255), relu6.real(51)], [6.0 / 255.0, 6.0, 1.2], Tolerance::Approximate);
        // −1 to 3 in 255 steps: 0 is at 63.75, so at 64.
        let lopsided = Affine::of([-1.0, 3.0]);
        assert_eq!((lopsided.zero, lopsided.code(0.0), lopsided.code(-9.0), lopsided.code(9.0)), (64, 64, 0, 255));
        assert_close([lopsided.real(0)], [-64.0 * 4.0 / 255.0], Tolerance::Approximate);
        // Ranges without 0 are widened, those of nothing have codes too.
        assert_eq!(Affine::of([2.0, 5.1]), Affine::of([0.0, 5.1]));
        assert_eq!(Affine::of([0.0, 0.0]), Affine { scale: 1.0, zero: 0 });
    }

    #[test]
    fn each_channel_has_its_own_scale() {
        let tensor = FloatTensor { dims: vec![2, 2, 2], values: vec![1.27, -0.5, 254.0, 2.0, 0.01, 0.0, -127.0, 1.0] };
        let Channels { codes, scales } = Channels::of(&tensor, 1, WeightRange::Full, |_| 0.0);
        assert_close(scales, [0.01, 2.0], Tolerance::Approximate);
        // 0.5 is a tie of codes, and so is −63.5.
        assert_eq!(codes, [127, -50, 127, 1, 1, 0, -64, 0]);
        let Channels { codes, scales } = Channels::of(&tensor, 0, WeightRange::Full, |_| 4.0);
        assert_close(scales, [4.0, 4.0], Tolerance::Exact);
        assert_eq!(codes, [0, 0, 64, 0, 0, 0, -32, 0]);
        let Channels { codes, scales } = Channels::of(&tensor, 2, WeightRange::Reduced, |_| 0.0);
        assert_close(scales, [254.0 / 64.0, 2.0 / 64.0], Tolerance::Approximate);
        assert_eq!(codes, [0, -16, 64, 64, 0, 0, -32, 32]);
    }

    proptest! {
        #[test]
        fn no_number_of_the_range_is_off_by_more_than_half_a_step(low in -50.0..0.0_f32, high in 0.1..50.0_f32, at in 0.0..1.0_f32) {
            let affine = Affine::of([low, high]);
            let real = low + at * (high - low);
            // Half a step more at the ends, where the rounded zero moves the range.
            prop_assert!((affine.real(affine.code(real)) - real).abs() <= 1.001 * affine.scale);
            prop_assert_eq!(affine.real(affine.code(0.0)), 0.0);
        }
    }
}
