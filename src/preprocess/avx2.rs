//! The horizontal pass for AVX2, two taps in one multiplication.
//!
//! AVX2 multiplies and adds pairs of 16-bit numbers, and a weight has 22 bits: it is cut in two, `high · 2¹⁵ + low`, the
//! sums of the parts are taken apart and put together in the end. All of it is exact in 32 bits, whatever the order, so
//! the result is that of [`super::horizontal`]'s plain code.

use std::arch::x86_64::*;

use super::resize::{Axis, HALF, PRECISION};
use super::view::View;

/// Bits of a weight's low part: the most that a signed 16-bit number holds.
const LOW: u32 = 15;
/// Taps that one register takes: two pairs of the three channels.
const TAPS: usize = 4;
/// Rows that share the loads of the weights.
const ROWS: usize = 4;
/// Bytes that the taps of one register cover, and those that are loaded.
const STEP: usize = 3 * TAPS;
const LOADED: usize = 16;

/// The weights of [`TAPS`] taps, low and high parts, in the order in which [`sums`] shuffles the pixels.
type Group = [[i16; 16]; 2];

/// The weights of a line as the registers take them, rows filled up to what is loaded, and room for the last rows.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    groups: Vec<Group>,
    padded: [Vec<u8>; ROWS],
    last: Vec<u8>,
}

impl Pairs {
    /// Takes over the weights of `axis`.
    pub(super) fn prepare(&mut self, axis: &Axis) {
        self.groups.clear();
        for line in axis.weights.chunks_exact(axis.taps) {
            self.groups.extend(line.chunks(TAPS).map(|taps| {
                let weight = |tap: usize| taps.get(tap).copied().unwrap_or(0);
                // Each half of a register: a pair for red, for green, for blue, and one that counts for nothing.
                let part = |of: fn(i32) -> i16| {
                    std::array::from_fn(|i| if i % 8 < 6 { of(weight(2 * (i / 8) + i % 2)) } else { 0 })
                };
                [part(|w| (w & ((1 << LOW) - 1)) as i16), part(|w| (w >> LOW) as i16)]
            }));
        }
    }

    /// Resizes rows, [`ROWS`] at a time. `axis` must be the one last prepared for.
    #[target_feature(enable = "avx2")]
    pub(super) fn run(&mut self, source: View<'_>, axis: &Axis, out: &mut [u8]) {
        let Self { groups, padded, last } = self;
        let (width, taps) = (3 * axis.starts.len(), axis.taps.div_ceil(TAPS));
        let offsets = axis.starts.iter().map(|start| 3 * (start - source.window.left));
        // Zero weights, and the bytes loaded beside the taps, may lie behind the row: there they need only exist.
        let reach = offsets.clone().max().unwrap_or(0) + STEP * (taps - 1) + LOADED;
        for (block, out) in out.chunks_mut(ROWS * width).enumerate() {
            let mut y = ROWS * block;
            let rows = padded.each_mut().map(|padded| {
                // The last block may have fewer rows: it repeats the last one, and drops the result.
                let pixels = &source.pixels[y.min(source.window.height - 1) * source.stride..];
                y += 1;
                if pixels.len() >= reach {
                    return pixels;
                }
                padded.clear();
                padded.extend_from_slice(pixels);
                padded.resize(reach, 0);
                padded.as_slice()
            });
            let lines = groups.chunks_exact(taps).zip(offsets.clone());
            if out.len() == ROWS * width {
                resize(rows, lines, width, out);
            } else {
                last.resize(ROWS * width, 0);
                resize(rows, lines, width, last);
                out.copy_from_slice(&last[..out.len()]);
            }
        }
    }
}

/// [`ROWS`] rows into as many of `width` bytes: for each output its weights, and where its inputs begin.
#[inline]
#[target_feature(enable = "avx2")]
fn resize<'a>(rows: [&[u8]; ROWS], lines: impl Iterator<Item = (&'a [Group], usize)>, width: usize, out: &mut [u8]) {
    for (x, (weights, offset)) in (0..).step_by(3).zip(lines) {
        let pixels = sums(rows, offset, weights);
        for row in 0..ROWS {
            let (from, to) = (4 * row, row * width + x);
            // Four bytes are one store, and the next pixel overwrites the fourth; only the last has no next.
            if x + 3 < width {
                out[to..to + 4].copy_from_slice(&pixels[from..from + 4]);
            } else {
                out[to..to + 3].copy_from_slice(&pixels[from..from + 3]);
            }
        }
    }
}

/// The pixels of four rows, four bytes each, of which the last means nothing. No closures here: what they become inside
/// the standard library's functions is compiled without AVX2, and called.
#[inline]
#[target_feature(enable = "avx2")]
fn sums(rows: [&[u8]; ROWS], offset: usize, weights: &[Group]) -> [u8; 4 * ROWS] {
    // The bytes of a pair of pixels, channel by channel, each made 16 bits wide.
    #[rustfmt::skip]
    let pairs = _mm256_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
        6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
    );
    let mut low = [_mm256_setzero_si256(); ROWS];
    let mut high = low;
    let mut from = offset;
    for [low_weights, high_weights] in weights {
        let (low_weights, high_weights) = (load_weights(low_weights), load_weights(high_weights));
        for row in 0..ROWS {
            let pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load_pixels(&rows[row][from..])), pairs);
            low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(pixels, low_weights));
            high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(pixels, high_weights));
        }
        from += STEP;
    }
    for row in 0..ROWS {
        low[row] = _mm256_add_epi32(low[row], _mm256_slli_epi32::<{ LOW as i32 }>(high[row]));
    }
    let words = _mm256_packs_epi32(fold(low[0], low[2]), fold(low[1], low[3]));
    let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    let mut pixels = [0; 4 * ROWS];
    // SAFETY: the array has the sixteen bytes, and the store needs no alignment.
    unsafe { _mm_storeu_si128(pixels.as_mut_ptr().cast(), bytes) };
    pixels
}

/// The halves of each register, which are the two pairs of taps, added up: each half becomes a row, in whole pixels.
#[inline]
#[target_feature(enable = "avx2")]
fn fold(a: __m256i, b: __m256i) -> __m256i {
    let sum = _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b));
    _mm256_srai_epi32::<{ PRECISION as i32 }>(_mm256_add_epi32(sum, _mm256_set1_epi32(HALF)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_weights(weights: &[i16; 16]) -> __m256i {
    // SAFETY: the array has the thirty-two bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(weights.as_ptr().cast()) }
}

/// The first [`LOADED`] bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn load_pixels(pixels: &[u8]) -> __m128i {
    let pixels = &pixels[..LOADED];
    // SAFETY: the slice has the sixteen bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(pixels.as_ptr().cast()) }
}
