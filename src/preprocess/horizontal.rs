//! The horizontal pass of a resize.

use std::ops::Range;

use super::Interpolation;
#[cfg(target_arch = "x86_64")]
use super::avx2::Pairs;
use super::resize::{Axis, weighted_sums};
use super::view::View;

/// Rows that are resized at once, and the bytes that one column of them takes.
const TILE_ROWS: usize = 4;
const TILE: usize = 4 * TILE_ROWS;

/// The weights of the columns, and what a pass needs to lay rows side by side.
#[derive(Debug, Default)]
pub(super) struct Horizontal {
    axis: Axis,
    #[cfg(target_arch = "x86_64")]
    pairs: Pairs,
    tile: Vec<[u8; TILE]>,
    strip: Vec<[u8; TILE]>,
}

impl Horizontal {
    /// As [`Axis::prepare`].
    pub(super) fn prepare(&mut self, filter: Interpolation, from: usize, to: usize, outputs: Range<usize>) {
        let changed = self.axis.prepare(filter, from, to, outputs);
        #[cfg(target_arch = "x86_64")]
        if changed {
            self.pairs.prepare(&self.axis);
        }
    }

    /// Resizes the rows of `source` as was prepared, into `out`, tightly.
    pub(super) fn run(&mut self, source: View<'_>, out: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was just asked for AVX2.
            return unsafe { self.pairs.run(source, &self.axis, out) };
        }
        let Self { axis, tile, strip, .. } = self;
        tile.resize(source.window.width, [0; TILE]);
        strip.resize(axis.starts.len(), [0; TILE]);
        run_plain(source, axis, tile, strip, out);
    }
}

/// Resizes rows, [`TILE_ROWS`] at a time: laid side by side, four bytes a pixel, they fill the vector lanes with
/// neighbours that share a weight. `tile` takes them, `strip` the result.
fn run_plain(source: View<'_>, axis: &Axis, tile: &mut [[u8; TILE]], strip: &mut [[u8; TILE]], out: &mut [u8]) {
    let width = axis.starts.len();
    // The constant is hidden from LLVM, which would vectorise along the taps and be four times slower.
    let stride = std::hint::black_box(TILE);
    for (block, out) in out.chunks_mut(TILE_ROWS * 3 * width).enumerate() {
        // The last block may have fewer rows: it repeats the last one, and drops the result.
        let rows: [_; TILE_ROWS] = std::array::from_fn(|i| {
            source.row((TILE_ROWS * block + i).min(source.window.height - 1)).as_chunks::<3>().0
        });
        for (i, row) in rows.iter().enumerate() {
            for (column, pixel) in tile.iter_mut().zip(*row) {
                column[4 * i..4 * i + 3].copy_from_slice(pixel);
            }
        }
        let tile = tile.as_flattened();
        for ((weights, start), sums) in axis.weights.chunks_exact(axis.taps).zip(&axis.starts).zip(strip.iter_mut()) {
            *sums = weighted_sums(&tile[(start - source.window.left) * stride..], stride, weights);
        }
        for (i, out) in out.chunks_exact_mut(3 * width).enumerate() {
            for (narrow, column) in out.as_chunks_mut::<3>().0.iter_mut().zip(strip.iter()) {
                narrow.copy_from_slice(&column[4 * i..4 * i + 3]);
            }
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::view::Window;
    use super::*;

    /// Processors without AVX2 come to the same pixels: more and fewer rows than a block, single taps and hundreds.
    #[test]
    fn plain_code_and_avx2_agree() {
        use Interpolation::{Bicubic, Bilinear, Box, Hamming, Lanczos};
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..400 {
            let filter = [Bicubic, Bilinear, Box, Hamming, Lanczos][round % 5];
            let (from, to) = if round < 20 { (5_000, 1 + round) } else { (random.usize(1..90), random.usize(1..90)) };
            let (height, window) = (random.usize(1..11), random.usize(..to)..to);
            let pixels: Vec<u8> =
                (0..3 * from * height).map(|_| if random.bool() { random.u8(..) } else { 255 }).collect();
            let source = View::tight(&pixels, Window { top: 0, left: 0, height, width: from });
            let mut horizontal = Horizontal::default();
            horizontal.prepare(filter, from, to, window.clone());
            let mut fast = vec![1; 3 * window.len() * height];
            horizontal.run(source, &mut fast);
            let mut plain = vec![2; fast.len()];
            let (mut tile, mut strip) = (vec![[0; TILE]; from], vec![[0; TILE]; window.len()]);
            run_plain(source, &horizontal.axis, &mut tile, &mut strip, &mut plain);
            assert_eq!(fast, plain, "{filter:?}, {from} to {window:?} of {to}, {height} rows");
        }
    }
}
