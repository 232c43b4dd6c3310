//! From token vectors, or maps of features, to one vector an input.

use ndarray::{Array2, ArrayView2, ArrayViewMut1, Axis};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a `[batch, tokens, d]` or `[batch, d, height, width]` output becomes `[batch, d]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The output is `[batch, d]` already.
    None,
    /// The mean over the tokens that the attention mask keeps.
    Mean,
    /// The first token that the mask keeps.
    Cls,
    /// The last token that the mask keeps.
    LastToken,
    /// Global average pooling of images: the mean over all places of a map, or over the patches of a vision
    /// transformer, which are all its tokens but the first. A vector stays as it is.
    Gap,
}

impl Pooling {
    /// Pools the values of an output of the given shape, row by row, to `[batch, d]`.
    ///
    /// `mask` has `batch` × `tokens` values, 0 where a token is padding; without one all tokens count. Where the padding
    /// stands, left or right, does not matter, nor how much there is of it. Means are summed in f64. [`Pooling::None`]
    /// takes `[batch, d]`, also with further dimensions of 1 behind it, as a global average pooling leaves them.
    /// [`Pooling::Gap`] takes no mask with tokens: it is for images.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when the shape has another number of dimensions, or values or mask are not of its size;
    /// [`Error::Data`] when the mask keeps no token of a text.
    pub fn pool(self, values: &[f32], shape: &[usize], mask: Option<&[i64]>) -> Result<Array2<f32>> {
        let expect = |what: &str, expected: String, got: String| {
            Err(Error::Mismatch { what: format!("{what} and {self:?} pooling"), expected, got })
        };
        let size = shape.iter().try_fold(1_usize, |n, dim| n.checked_mul(*dim));
        if size != Some(values.len()) {
            return expect("output shape", format!("{} values", values.len()), format!("{shape:?}"));
        }
        let (batch, tokens, dimension) = match (self, shape) {
            (Self::None, [batch, dimension, rest @ ..]) if rest.iter().all(|n| *n == 1) => {
                return as_it_is(*batch, *dimension, values);
            }
            (Self::None, _) => return expect("output shape", "[batch, d]".to_owned(), format!("{shape:?}")),
            (Self::Gap, [batch, dimension]) => return as_it_is(*batch, *dimension, values),
            (Self::Gap, [batch, channels, height, width]) => {
                return mean_of_places(*batch, *channels, height * width, values);
            }
            (Self::Gap, [_, _, _]) if mask.is_some() => {
                return expect("output shape", "that of an image's".to_owned(), "a text's tokens".to_owned());
            }
            (_, [batch, tokens, dimension]) => (*batch, *tokens, *dimension),
            _ => {
                let expected = if self == Self::Gap { "2 to 4 dimensions" } else { "[batch, tokens, d]" };
                return expect("output shape", expected.to_owned(), format!("{shape:?}"));
            }
        };
        if let Some(mask) = mask.filter(|mask| batch.checked_mul(tokens) != Some(mask.len())) {
            return expect("attention mask", format!("{batch}x{tokens} values"), mask.len().to_string());
        }
        let mut pooled = Array2::zeros((batch, dimension));
        for (text, out) in pooled.axis_iter_mut(Axis(0)).enumerate() {
            let values = &values[text * tokens * dimension..][..tokens * dimension];
            let vectors =
                ArrayView2::from_shape((tokens, dimension), values).map_err(|e| Error::Data(e.to_string()))?;
            let first = usize::from(self == Self::Gap);
            let kept = (first..tokens).filter(|i| mask.is_none_or(|mask| mask[text * tokens + i] != 0));
            self.pool_one(vectors, kept, out)
                .ok_or_else(|| Error::Data(format!("text {text} of the batch has no token that the mask keeps")))?;
        }
        Ok(pooled)
    }

    /// Pools the `kept` rows of one text; none if there are none.
    fn pool_one(
        self,
        vectors: ArrayView2<'_, f32>,
        mut kept: impl DoubleEndedIterator<Item = usize>,
        mut out: ArrayViewMut1<'_, f32>,
    ) -> Option<()> {
        match self {
            Self::Cls => out.assign(&vectors.row(kept.next()?)),
            Self::LastToken => out.assign(&vectors.row(kept.next_back()?)),
            Self::None | Self::Mean | Self::Gap => {
                let mut sums = vec![0.0_f64; out.len()];
                let mut count = 0_u32;
                for token in kept {
                    count += 1;
                    for (sum, value) in sums.iter_mut().zip(vectors.row(token)) {
                        *sum += f64::from(*value);
                    }
                }
                if count == 0 {
                    return None;
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = (sum / f64::from(count)) as f32;
                }
            }
        }
        Some(())
    }
}

fn as_it_is(batch: usize, dimension: usize, values: &[f32]) -> Result<Array2<f32>> {
    Array2::from_shape_vec((batch, dimension), values.to_vec()).map_err(|e| Error::Data(e.to_string()))
}

/// The mean of each run of `places` values.
fn mean_of_places(batch: usize, channels: usize, places: usize, values: &[f32]) -> Result<Array2<f32>> {
    if places == 0 {
        return Err(Error::Data("a map of features without places".to_owned()));
    }
    let mean = |map: &[f32]| (map.iter().map(|v| f64::from(*v)).sum::<f64>() / places as f64) as f32;
    as_it_is(batch, channels, &values.chunks_exact(places).map(mean).collect::<Vec<f32>>())
}

/// Divides each row by its Euclidean length, computed in f64. A row of zeros stays.
pub fn normalize_rows(matrix: &mut Array2<f32>) {
    for mut row in matrix.rows_mut() {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.mapv_inplace(|x| (f64::from(x) / length) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    const POOLINGS: [Pooling; 3] = [Pooling::Mean, Pooling::Cls, Pooling::LastToken];

    /// Tokens (1,2) (3,4) (5,6), and (7,8) alone, with two or three places of padding of a telling value.
    fn padded(left: &[usize; 2], columns: usize) -> (Vec<f32>, Vec<i64>) {
        let texts: [&[f32]; 2] = [&[1., 2., 3., 4., 5., 6.], &[7., 8.]];
        let (mut values, mut mask) = (vec![1e30; 2 * columns * 2], vec![0; 2 * columns]);
        for (text, (tokens, left)) in texts.iter().zip(left).enumerate() {
            let start = text * columns + left;
            values[2 * start..][..tokens.len()].copy_from_slice(tokens);
            mask[start..][..tokens.len() / 2].fill(1);
        }
        (values, mask)
    }

    #[test]
    fn padding_does_not_matter() {
        for (pooling, want) in POOLINGS.into_iter().zip([[3., 4.], [1., 2.], [5., 6.]]) {
            for (left, columns) in [([0, 0], 3), ([0, 2], 3), ([2, 4], 5), ([1, 0], 7)] {
                let (values, mask) = padded(&left, columns);
                let pooled = pooling.pool(&values, &[2, columns, 2], Some(&mask)).unwrap();
                assert_eq!(pooled, array![want, [7., 8.]], "{pooling:?} {left:?} {columns}");
            }
        }
    }

    #[test]
    fn without_a_mask_all_tokens_count() {
        let values = [1., 2., 3., 4., 5., 6.];
        for (pooling, want) in POOLINGS.into_iter().zip([[3., 4.], [1., 2.], [5., 6.]]) {
            assert_eq!(pooling.pool(&values, &[1, 3, 2], None).unwrap(), array![want]);
        }
    }

    #[test]
    fn a_pooled_output_passes_through() {
        let values = [1., 2., 3., 4., 5., 6.];
        let want = array![[1., 2., 3.], [4., 5., 6.]];
        assert_eq!(Pooling::None.pool(&values, &[2, 3], None).unwrap(), want);
        assert_eq!(Pooling::None.pool(&values, &[2, 3, 1, 1], None).unwrap(), want);
    }

    #[test]
    fn maps_and_patches_are_averaged() {
        let values: Vec<f32> = (0..12).map(|n| n as f32).collect();
        let pool = |shape: &[usize]| Pooling::Gap.pool(&values, shape, None).unwrap();
        assert_eq!(pool(&[1, 2, 2, 3]), array![[2.5, 8.5]]);
        assert_eq!(pool(&[2, 3, 2, 1]), array![[0.5, 2.5, 4.5], [6.5, 8.5, 10.5]]);
        // The first token stands for the whole image and is no patch.
        assert_eq!(pool(&[2, 3, 2]), array![[3., 4.], [9., 10.]]);
        assert_eq!(pool(&[3, 4]).shape(), [3, 4]);
        let refused =
            |values: &[f32], shape: &[usize], mask| Pooling::Gap.pool(values, shape, mask).unwrap_err().to_string();
        assert!(refused(&values, &[2, 3, 2], Some(&[1; 6])).contains("text"));
        assert!(refused(&values, &[12], None).contains("2 to 4"));
        assert!(refused(&[], &[1, 2, 0, 3], None).contains("without places"));
        assert!(refused(&values[..2], &[1, 1, 2], None).contains("no token"));
    }

    #[test]
    fn wrong_shapes_are_named() {
        let message = |pooling: Pooling, shape: &[usize], mask: Option<&[i64]>| {
            pooling.pool(&[0.; 6], shape, mask).unwrap_err().to_string()
        };
        let got = message(Pooling::None, &[1, 3, 2], None);
        assert!(got.contains("[batch, d]") && got.contains("[1, 3, 2]"), "{got}");
        let got = message(Pooling::Mean, &[2, 3], None);
        assert!(got.contains("[batch, tokens, d]") && got.contains("[2, 3]"), "{got}");
        let got = message(Pooling::Cls, &[1, 3, 2], Some(&[1, 1]));
        assert!(got.contains("1x3") && got.contains("mask"), "{got}");
        let got = message(Pooling::Mean, &[1, 3, 3], None);
        assert!(got.contains("6 values"), "{got}");
        assert!(message(Pooling::Mean, &[usize::MAX, 3, 2], None).contains("6 values"));
        for pooling in POOLINGS {
            let got = message(pooling, &[2, 3, 1], Some(&[1, 1, 0, 0, 0, 0]));
            assert!(got.contains("text 1"), "{got}");
        }
    }

    #[test]
    fn rows_get_the_length_one() {
        let mut matrix = array![[3., 4.], [0., 0.], [1e30, 0.]];
        normalize_rows(&mut matrix);
        assert_close(matrix, [0.6_f32, 0.8, 0., 0., 1., 0.], Tolerance::Approximate);
    }
}
