//! The Gaussian kernel.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::error::Result;
use crate::product::product;
use crate::progress::{Progress, Workers};

/// Rows of a block.
const BLOCK: usize = 256;
/// Rows between which the median distance is taken.
const SAMPLE: usize = 1000;

/// `exp(−γ·‖x − y‖²)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gaussian {
    pub(super) gamma: f64,
}

/// Rows in f64 around a common origin, so that distances keep their digits, with their squared lengths.
pub(super) struct Centred {
    pub(super) rows: Array2<f64>,
    pub(super) squares: Array1<f64>,
}

impl Centred {
    pub(super) fn new(x: ArrayView2<f32>, origin: &Array1<f64>) -> Self {
        let rows = x.mapv(f64::from) - origin;
        let squares = rows.map_axis(Axis(1), |row| row.dot(&row));
        Self { rows, squares }
    }

    /// The squared Euclidean distances of some of these rows to all `others`.
    pub(super) fn squared_distances(&self, range: std::ops::Range<usize>, others: &Centred) -> Array2<f64> {
        let mut distances = Array2::zeros((range.len(), others.rows.nrows()));
        product(self.rows.slice(s![range.clone(), ..]), others.rows.t(), distances.view_mut());
        for (mut row, own) in distances.rows_mut().into_iter().zip(self.squares.slice(s![range])) {
            row.zip_mut_with(&others.squares, |d, other| *d = (own + other - 2.0 * *d).max(0.0));
        }
        distances
    }
}

/// The mean of all rows of two matrices, which serves as their origin.
pub(super) fn origin(x: ArrayView2<f32>, y: ArrayView2<f32>) -> Array1<f64> {
    let mut sum = Array1::zeros(x.ncols());
    for row in x.rows().into_iter().chain(y.rows()) {
        sum.zip_mut_with(&row, |sum: &mut f64, &v| *sum += f64::from(v));
    }
    sum / (x.nrows() + y.nrows()) as f64
}

impl Gaussian {
    /// `γ = 1/(2·σ²)`, σ being the median distance between the rows of both (Gretton et al., JMLR 13, 2012): of a thousand of them,
    /// drawn by `seed`, where they are more. 1 where all rows are alike.
    pub(super) fn median(x: ArrayView2<f32>, y: ArrayView2<f32>, seed: u64) -> Self {
        let n = x.nrows() + y.nrows();
        let mut rng = fastrand::Rng::with_seed(seed);
        let rows = if n > SAMPLE { rng.choose_multiple(0..n, SAMPLE) } else { (0..n).collect() };
        let picked: Array2<f32> = Array2::from_shape_fn((rows.len(), x.ncols()), |(i, j)| match rows[i] {
            row if row < x.nrows() => x[[row, j]],
            row => y[[row - x.nrows(), j]],
        });
        let centred = Centred::new(picked.view(), &origin(picked.view(), y.slice(s![..0, ..])));
        let all = centred.squared_distances(0..rows.len(), &centred);
        let mut squares: Vec<f64> = all.indexed_iter().filter(|((i, j), _)| i < j).map(|(_, &square)| square).collect();
        if squares.is_empty() {
            return Self { gamma: 1.0 };
        }
        let middle = squares.len() / 2;
        let (_, &mut median, _) = squares.select_nth_unstable_by(middle, f64::total_cmp);
        Self { gamma: if median > 0.0 { 0.5 / median } else { 1.0 } }
    }

    /// All values between two sets of rows, n×m.
    pub(super) fn matrix(self, x: &Centred, y: &Centred, progress: &dyn Progress) -> Result<Array2<f64>> {
        let mut values = Array2::zeros((x.rows.nrows(), y.rows.nrows()));
        let workers = Workers { progress, ..Workers::all() };
        let blocks = workers.by_blocks(x.rows.nrows(), BLOCK, |rows| (rows.clone(), self.block(rows, x, y)))?;
        for (rows, block) in blocks {
            values.slice_mut(s![rows, ..]).assign(&block);
        }
        Ok(values)
    }

    fn block(self, rows: std::ops::Range<usize>, x: &Centred, y: &Centred) -> Array2<f64> {
        x.squared_distances(rows, y).mapv_into(|square| (-self.gamma * square).exp())
    }

    /// The mean of each x's values to all y, n.
    pub(super) fn means(self, x: &Centred, y: &Centred, progress: &dyn Progress) -> Result<Array1<f64>> {
        let workers = Workers { progress, ..Workers::all() };
        let m = y.rows.nrows() as f64;
        let parts =
            workers.by_blocks(x.rows.nrows(), BLOCK, |rows| (self.block(rows, x, y).sum_axis(Axis(1)) / m).to_vec())?;
        Ok(parts.concat().into())
    }
}
