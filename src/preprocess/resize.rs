//! The 8-bit resampling of Pillow 13, to the bit.
//!
//! The two passes, the 22-bit fixed-point weights and the 8-bit intermediate image are those of Pillow's `Resample.c`
//! (and `ScaleAffine` of `Geometry.c` for nearest). Integer sums do not depend on their order, so the result is equal,
//! not close. Only a window of the resized image is ever computed: what a later crop throws away costs nothing.

use std::f64::consts::PI;
use std::ops::Range;

use super::Interpolation;
use super::horizontal::Horizontal;
use super::view::{Size, View, Window};

/// Fraction bits of a weight: 32 less 8 for the pixel and 2 for the filters' negative lobes.
pub(super) const PRECISION: u32 = 32 - 8 - 2;
pub(super) const HALF: i32 = 1 << (PRECISION - 1);
/// The most bytes that one resize may hold: beyond, an image is some pixels by millions.
const MAX_WORK: usize = 1 << 30;
/// Bytes that the vertical pass resizes at once.
const BLOCK: usize = 32;

/// Buffers and weights that one thread keeps from image to image.
#[derive(Debug, Default)]
pub(super) struct Resizer {
    columns: Horizontal,
    rows: Axis,
    middle: Vec<u8>,
}

/// One pass: the weights with which each output of `outputs` sees the inputs from its start on.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Axis {
    key: Option<(Interpolation, usize, usize, Range<usize>)>,
    pub starts: Vec<usize>,
    /// The most inputs that an output sees; the others' weights are filled up with zeros.
    pub taps: usize,
    pub weights: Vec<i32>,
}

impl Axis {
    /// Precomputes `outputs` of a line of `from` pixels resized to `to`, unless they are here from the last image.
    /// Returns whether it had to.
    pub fn prepare(&mut self, filter: Interpolation, from: usize, to: usize, outputs: Range<usize>) -> bool {
        let key = Some((filter, from, to, outputs.clone()));
        if self.key == key {
            return false;
        }
        let scale = from as f64 / to as f64;
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let inputs = |output: usize| inputs((output as f64 + 0.5) * scale, support, from);
        self.taps = outputs.clone().map(|output| inputs(output).len()).max().unwrap_or(0);
        self.starts.clear();
        self.weights.clear();
        let mut line = vec![0.0; self.taps];
        for output in outputs {
            let center = (output as f64 + 0.5) * scale;
            let inputs = inputs(output);
            let line = &mut line[..inputs.len()];
            for (weight, input) in line.iter_mut().zip(inputs.clone()) {
                *weight = weigh(filter, (input as f64 - center + 0.5) * (1.0 / filter_scale));
            }
            let sum: f64 = line.iter().sum();
            let fixed = line.iter().map(|w| {
                let w = if sum == 0.0 { *w } else { w / sum } * f64::from(1 << PRECISION);
                (w + if w < 0.0 { -0.5 } else { 0.5 }) as i32
            });
            self.weights.extend(fixed.chain(std::iter::repeat(0)).take(self.taps));
            self.starts.push(inputs.start);
        }
        self.key = key;
        true
    }
}

/// How many inputs an output may see at most.
fn taps(filter: Interpolation, from: usize, to: usize) -> usize {
    let support = filter.support() * (from as f64 / to as f64).max(1.0);
    support.ceil() as usize * 2 + 1
}

/// The inputs that the output centred at `center` sees.
fn inputs(center: f64, support: f64, from: usize) -> Range<usize> {
    // Casts to usize saturate at zero, where Pillow tests for it.
    let start = (center - support + 0.5) as usize;
    let end = ((center + support + 0.5) as usize).min(from);
    start.min(end)..end
}

/// The inputs that any of `outputs` sees: the part of a line of `from` pixels that must be there.
pub(super) fn needed(filter: Interpolation, from: usize, to: usize, outputs: Range<usize>) -> Range<usize> {
    if from == to || outputs.is_empty() {
        return outputs;
    }
    let scale = from as f64 / to as f64;
    // One more pixel on each side than nearest needs, for the rounding of its sums.
    let margin = if filter == Interpolation::Nearest { 1.0 } else { 0.0 };
    let support = filter.support() * scale.max(1.0) + margin;
    let seen = |output: usize| inputs((output as f64 + 0.5) * scale, support, from);
    seen(outputs.start).start..seen(outputs.end - 1).end
}

/// The filter's value at `x`, as `Resample.c` writes it; bicubic with a = -1/2.
fn weigh(filter: Interpolation, x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
    let r = x.abs();
    match filter {
        Interpolation::Nearest | Interpolation::Box if x > -0.5 && x <= 0.5 => 1.0,
        Interpolation::Bilinear if r < 1.0 => 1.0 - r,
        // The constants are single precision in Pillow.
        Interpolation::Hamming if r < 1.0 => sinc(r) * (f64::from(0.54_f32) + f64::from(0.46_f32) * (r * PI).cos()),
        Interpolation::Bicubic if r < 1.0 => (1.5 * r - 2.5) * r * r + 1.0,
        Interpolation::Bicubic if r < 2.0 => (((r - 5.0) * r + 8.0) * r - 4.0) * -0.5,
        Interpolation::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
        _ => 0.0,
    }
}

impl Resizer {
    /// Writes the `window` of an image of `from` pixels resized to `to`, tightly. The source must hold what
    /// [`needed`] says of both axes.
    ///
    /// # Errors
    /// When the weights and pixels in between would not fit in a gibibyte.
    pub(super) fn resize(
        &mut self,
        source: View<'_>,
        [from, to]: [Size; 2],
        window: Window,
        filter: Interpolation,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let between = if vertical_first(from, to) {
            Window { top: window.top, height: window.height, ..source.window }
        } else {
            Window { left: window.left, width: window.width, ..source.window }
        };
        let weights = taps(filter, from.width, to.width)
            .saturating_mul(window.width)
            .saturating_add(taps(filter, from.height, to.height).saturating_mul(window.height));
        let pixels = between.width.saturating_mul(between.height);
        if weights.saturating_add(pixels) > MAX_WORK / 4 {
            return Err(format!("{from} pixels cannot be resized to {to}: the edges are too unequal"));
        }
        out.resize(3 * window.width * window.height, 0);
        if filter == Interpolation::Nearest {
            nearest(source, [from, to], window, out);
            return Ok(());
        }
        let Self { columns, rows, middle } = self;
        columns.prepare(filter, from.width, to.width, window.columns());
        rows.prepare(filter, from.height, to.height, window.rows());
        let mut across = |source: View<'_>, out: &mut [u8]| columns.run(source, out);
        let down = |source: View<'_>, out: &mut [u8]| run_vertical(source, rows, out);
        if from.height == to.height {
            across(source, out);
        } else if from.width == to.width {
            down(source, out);
        } else {
            middle.resize(3 * pixels, 0);
            if vertical_first(from, to) {
                down(source, middle);
                across(View::tight(middle, between), out);
            } else {
                across(source, middle);
                down(View::tight(middle, between), out);
            }
        }
        Ok(())
    }
}

/// Which pass comes first matters for the rounding in between. Pillow began with the horizontal one before its version
/// 13, which begins with the vertical one where the height shrinks by more than twice what the width does.
fn vertical_first(from: Size, to: Size) -> bool {
    let shrunk = |from: usize, to: usize| from as i64 - to as i64;
    shrunk(from.height, to.height) > (2 * shrunk(from.width, to.width)).max(0)
}

/// Pillow adds up the step rather than multiplying it, and so do we: the last bits decide which pixel is nearest.
fn nearest(source: View<'_>, [from, to]: [Size; 2], window: Window, out: &mut [u8]) {
    let positions = |from: usize, to: usize, outputs: Range<usize>, inputs: Range<usize>| {
        let step = from as f64 / to as f64;
        let walk = std::iter::successors(Some(step * 0.5), move |x| Some(x + step));
        let walk = walk.skip(outputs.start).take(outputs.len());
        walk.map(move |x| (x as usize).clamp(inputs.start, inputs.end - 1) - inputs.start)
    };
    let columns: Vec<usize> = positions(from.width, to.width, window.columns(), source.window.columns()).collect();
    let rows = positions(from.height, to.height, window.rows(), source.window.rows());
    for (y, out) in rows.zip(out.chunks_exact_mut(3 * window.width)) {
        let row = source.row(y).as_chunks::<3>().0;
        for (x, out) in columns.iter().zip(out.as_chunks_mut::<3>().0) {
            *out = row[*x];
        }
    }
}

/// [`vertical`], compiled a second time for AVX2 where the processor has it: a plain build aims at the oldest x86-64,
/// which lacks even a 32-bit vector multiplication.
fn run_vertical(source: View<'_>, axis: &Axis, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2(source: View<'_>, axis: &Axis, out: &mut [u8]) {
            vertical(source, axis, out);
        }
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was just asked for AVX2.
            return unsafe { avx2(source, axis, out) };
        }
    }
    vertical(source, axis, out);
}

/// Resizes columns, [`BLOCK`] bytes of a row at a time.
#[inline(always)]
fn vertical(source: View<'_>, axis: &Axis, out: &mut [u8]) {
    let lines = axis.weights.chunks_exact(axis.taps).zip(&axis.starts);
    for ((weights, start), out) in lines.zip(out.chunks_exact_mut(3 * source.window.width)) {
        let first = start - source.window.top;
        let weights = &weights[..axis.taps.min(source.window.height - first)];
        let pixels = &source.pixels[first * source.stride..];
        let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
        let covered = BLOCK * blocks.len();
        for (i, block) in blocks.iter_mut().enumerate() {
            *block = weighted_sums(&pixels[BLOCK * i..], source.stride, weights);
        }
        for (i, byte) in rest.iter_mut().enumerate() {
            [*byte] = weighted_sums(&pixels[covered + i..], source.stride, weights);
        }
    }
}

/// The weighted sums of the `N` first bytes of `pixels` and those that follow them `stride` by `stride`.
#[inline(always)]
pub(super) fn weighted_sums<const N: usize>(pixels: &[u8], stride: usize, weights: &[i32]) -> [u8; N] {
    let mut sums = [HALF; N];
    for (pixels, weight) in pixels.chunks(stride).zip(weights) {
        let Some(pixels) = pixels.first_chunk::<N>() else { break };
        for i in 0..N {
            sums[i] += i32::from(pixels[i]) * weight;
        }
    }
    let mut out = [0; N];
    for i in 0..N {
        out[i] = (sums[i] >> PRECISION).clamp(0, 255) as u8;
    }
    out
}
