//! Affine maps of features, and what becomes of a linear head behind one.

use std::num::NonZeroUsize;

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::linear::Linear;
use crate::error::Result;
use crate::product::product;
use crate::progress::{Progress, Workers};

/// Rows that are mapped at a time.
const BLOCK: usize = 512;

/// `x ↦ x·A + b`, from d to k values.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    factor: Factor,
    offset: Array1<f64>,
}

#[derive(Debug, Clone, PartialEq)]
enum Factor {
    /// The diagonal of A.
    Diagonal(Array1<f64>),
    /// d×k.
    Full(Array2<f64>),
}

impl Affine {
    /// Every value on its own: `x_j·a_j + b_j`.
    pub(super) fn diagonal(factors: Array1<f64>, offset: Array1<f64>) -> Self {
        Self { factor: Factor::Diagonal(factors), offset }
    }

    /// Moves `from` to `to`: `(x − from)·A + to`, A being d×k.
    pub(super) fn between(matrix: Array2<f64>, from: &Array1<f64>, to: &Array1<f64>) -> Self {
        let offset = to - &from.dot(&matrix);
        Self { factor: Factor::Full(matrix), offset }
    }

    /// A, d×k.
    pub fn matrix(&self) -> Array2<f64> {
        match &self.factor {
            Factor::Diagonal(factors) => Array2::from_diag(factors),
            Factor::Full(matrix) => matrix.clone(),
        }
    }

    /// b.
    pub fn offset(&self) -> &Array1<f64> {
        &self.offset
    }

    /// d and k.
    pub fn shape(&self) -> (usize, usize) {
        match &self.factor {
            Factor::Diagonal(factors) => (factors.len(), factors.len()),
            Factor::Full(matrix) => matrix.dim(),
        }
    }

    /// The n×k images of n×d features, computed in f64.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    ///
    /// # Panics
    /// When the features have another width than the map.
    pub fn apply(&self, x: ArrayView2<f32>, progress: &dyn Progress) -> Result<Array2<f32>> {
        let (n, (d, k)) = (x.nrows(), self.shape());
        assert_eq!(x.ncols(), d, "the width of features to map");
        let mut mapped = Array2::zeros((n, k));
        let workers = Workers { progress, ..Workers::all() };
        let threads = NonZeroUsize::new(workers.threads.get().min(n.div_ceil(BLOCK))).unwrap_or(NonZeroUsize::MIN);
        let blocks = Workers { threads, progress }.by_blocks(n, BLOCK, |rows| {
            let x = x.slice(s![rows.clone(), ..]).mapv(f64::from);
            let image = match &self.factor {
                Factor::Diagonal(factors) => x * factors + &self.offset,
                Factor::Full(matrix) => {
                    let mut image = Array2::zeros((x.nrows(), k));
                    product(x.view(), matrix.view(), image.view_mut());
                    image + &self.offset
                }
            };
            (rows, image.mapv(|v| v as f32))
        })?;
        for (rows, image) in blocks {
            mapped.slice_mut(s![rows, ..]).assign(&image);
        }
        Ok(mapped)
    }

    /// The head that says of x what `head` says of the image of x: `(x·A + b)·W + c = x·(A·W) + (b·W + c)`.
    ///
    /// # Panics
    /// When the head takes another width than k.
    pub fn fold(&self, head: &Linear) -> Linear {
        let weights = head.weights.mapv(f64::from);
        let intercepts = self.offset.dot(&weights) + head.intercepts.mapv(f64::from);
        let weights = match &self.factor {
            Factor::Diagonal(factors) => weights * factors.view().insert_axis(Axis(1)),
            Factor::Full(matrix) => matrix.dot(&weights),
        };
        Linear { weights: weights.mapv(|v| v as f32), intercepts: intercepts.mapv(|v| v as f32) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn a_folded_head_says_what_the_head_says_of_the_image() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut random = |n, d| Array2::from_shape_simple_fn((n, d), || rng.f64() - 0.5);
        let x = random(600, 5).mapv(|v| v as f32);
        let (from, to) = (random(1, 5).row(0).to_owned(), random(1, 3).row(0).to_owned());
        let maps = [Affine::between(random(5, 3), &from, &to), Affine::diagonal(from.clone(), from)];
        for map in maps {
            let k = map.shape().1;
            let head =
                Linear { weights: random(k, 2).mapv(|v| v as f32), intercepts: random(1, 2).row(0).mapv(|v| v as f32) };
            let image = map.apply(x.view(), &()).unwrap();
            assert_close(
                image.iter().copied(),
                x.mapv(f64::from).dot(&map.matrix()) + map.offset(),
                Tolerance::Within(1e-6),
            );
            assert_close(map.fold(&head).logits(x.view()), head.logits(image.view()), Tolerance::Within(1e-6));
        }
    }
}
