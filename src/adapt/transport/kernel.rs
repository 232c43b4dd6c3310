//! What entropic transport multiplies by, a row at a time.

use std::num::NonZeroUsize;
use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

use super::super::domains::Domains;
use super::super::kernel::{Centred, origin};
use crate::error::{Error, Result};
use crate::product::product;
use crate::progress::{Progress, Workers};

/// Rows whose costs are computed at a time.
const BLOCK: usize = 128;
/// More values than these are kept in f32: n = m = 20,000 takes 1.6 GB so.
const MOST_DOUBLE: usize = 1 << 26;
/// Fewer values than these are passed over sooner than a thread starts.
const MOST_ALONE: usize = 1 << 18;

/// `exp(−cost/reg)` between the source rows, in the order of their classes, and the target rows, each row and column divided by its
/// greatest value: a scaling that the transport itself undoes, so that nothing far away is lost to underflow.
pub(super) struct Kernel {
    values: Values,
    /// Of each row here, its row in the source.
    pub(super) order: Vec<usize>,
    /// Rows of each class here.
    pub(super) of_class: Vec<Range<usize>>,
}

enum Values {
    Double(Array2<f64>),
    Single(Array2<f32>),
}

/// The mean squared distance between source and target rows: the unit of costs.
pub(super) fn mean_cost(domains: &Domains) -> f64 {
    let origin = origin(domains.source, domains.target);
    let moments = |x: ArrayView2<f32>| {
        let (mut mean, mut square) = (Array1::<f64>::zeros(x.ncols()), 0.0);
        for row in x.rows() {
            let row = row.mapv(f64::from) - &origin;
            square += row.dot(&row);
            mean += &row;
        }
        let n = x.nrows() as f64;
        (mean / n, square / n)
    };
    let ((from, from_square), (to, to_square)) = (moments(domains.source), moments(domains.target));
    (from_square + to_square - 2.0 * from.dot(&to)).max(0.0)
}

impl Kernel {
    /// Of squared distances divided by `reg`.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn new(domains: &Domains, reg: f64, progress: &dyn Progress) -> Result<Self> {
        let mut order: Vec<usize> = (0..domains.labels.len()).collect();
        order.sort_by_key(|&row| domains.labels[row]);
        let mut of_class = Vec::with_capacity(domains.classes);
        let mut start = 0;
        for class in 0..domains.classes {
            let end = start + order[start..].partition_point(|&row| domains.labels[row] == class);
            of_class.push(start..end);
            start = end;
        }
        let origin = origin(domains.source, domains.target);
        let from = Centred::new(domains.source.select(Axis(0), &order).view(), &origin);
        let to = Centred::new(domains.target, &origin);
        let values = match order.len().saturating_mul(domains.target.nrows()) {
            ..=MOST_DOUBLE => Values::Double(filled(&from, &to, reg, progress, |v| v)?),
            _ => Values::Single(filled(&from, &to, reg, progress, |v| v as f32)?),
        };
        Ok(Self { values, order, of_class })
    }

    pub(super) fn dim(&self) -> (usize, usize) {
        match &self.values {
            Values::Double(values) => values.dim(),
            Values::Single(values) => values.dim(),
        }
    }

    /// For each class c and its rows i: `u_i = share/(G_i·w_c)` and `t_c = Σ_i u_i·G_i`, w being K×m; gives t, K×m.
    ///
    /// # Errors
    /// [`Error::Data`] when a row reaches no target row; [`Error::Interrupted`].
    pub(super) fn carry(&self, w: ArrayView2<f64>, progress: &dyn Progress) -> Result<Array2<f64>> {
        match &self.values {
            Values::Double(values) => carry(values.view(), &self.of_class, w, progress),
            Values::Single(values) => carry(values.view(), &self.of_class, w, progress),
        }
    }

    /// The mean of `target` rows that each source row is carried to, in the order of the source: `Σ_j G_ij·w_cj·y_j/Σ_j G_ij·w_cj`.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn means(
        &self,
        w: ArrayView2<f64>,
        target: ArrayView2<f32>,
        progress: &dyn Progress,
    ) -> Result<Array2<f32>> {
        let mut class_of = vec![0; self.order.len()];
        for (class, rows) in self.of_class.iter().enumerate() {
            class_of[rows.clone()].fill(class);
        }
        let mut moved = Array2::<f32>::zeros((self.order.len(), target.ncols()));
        let workers = Workers { progress, ..Workers::all() };
        let wide = target.mapv(f64::from);
        let blocks = workers.by_blocks(self.order.len(), BLOCK, |rows| {
            let mut shares = match &self.values {
                Values::Double(values) => values.slice(s![rows.clone(), ..]).to_owned(),
                Values::Single(values) => values.slice(s![rows.clone(), ..]).mapv(f64::from),
            };
            for (mut share, row) in shares.rows_mut().into_iter().zip(rows.clone()) {
                share *= &w.row(class_of[row]);
                let sum = share.sum();
                share /= sum;
            }
            let mut means = Array2::<f64>::zeros((rows.len(), target.ncols()));
            product(shares.view(), wide.view(), means.view_mut());
            (rows, means.mapv(|v| v as f32))
        })?;
        for (rows, means) in blocks {
            for (row, mean) in rows.zip(means.rows()) {
                moved.row_mut(self.order[row]).assign(&mean);
            }
        }
        Ok(moved)
    }
}

/// The scaled kernel in the precision of T.
fn filled<T: Copy + Default + Send + Sync + Into<f64>>(
    from: &Centred,
    to: &Centred,
    reg: f64,
    progress: &dyn Progress,
    round: impl Fn(f64) -> T + Sync,
) -> Result<Array2<T>> {
    let (n, m) = (from.rows.nrows(), to.rows.nrows());
    let mut values = Array2::from_elem((n, m), T::default());
    let workers = Workers { progress, ..Workers::all() };
    // One block a thread is in memory besides the whole.
    let together = BLOCK * workers.threads.get();
    let mut least = Array1::from_elem(m, f64::INFINITY);
    for start in (0..n).step_by(together) {
        let rows = start..n.min(start + together);
        let blocks = workers.by_blocks(rows.len(), BLOCK, |part| {
            let part = start + part.start..start + part.end;
            let mut costs = from.squared_distances(part.clone(), to) / reg;
            for mut row in costs.rows_mut() {
                let least = row.iter().copied().fold(f64::INFINITY, f64::min);
                row -= least;
            }
            (part, costs)
        })?;
        for (part, costs) in blocks {
            for (mut to, costs) in values.slice_mut(s![part, ..]).rows_mut().into_iter().zip(costs.rows()) {
                least.zip_mut_with(&costs, |least, &cost| *least = least.min(cost));
                to.zip_mut_with(&costs, |to, &cost| *to = round(cost));
            }
        }
    }
    if let Some(values) = values.as_slice_mut() {
        values.par_chunks_mut(m).for_each(|row| {
            row.iter_mut().zip(&least).for_each(|(value, least)| *value = round((least - (*value).into()).exp()));
        });
    }
    Ok(values)
}

fn carry<T: Copy + Into<f64> + Sync>(
    values: ArrayView2<T>,
    of_class: &[Range<usize>],
    w: ArrayView2<f64>,
    progress: &dyn Progress,
) -> Result<Array2<f64>> {
    /// Parts of a class, so that their sums do not depend on the number of threads.
    const PARTS: usize = 4;
    let (n, m) = values.dim();
    let share = 1.0 / n as f64;
    let threads = if n * m < MOST_ALONE { NonZeroUsize::MIN } else { Workers::all().threads };
    let workers = Workers { threads, progress: &() };
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    let parts = workers.by_blocks(of_class.len() * PARTS, 1, |at| {
        let (class, part) = (at.start / PARTS, at.start % PARTS);
        let Range { start, end } = of_class[class];
        let rows = start + part * (end - start) / PARTS..start + (part + 1) * (end - start) / PARTS;
        let w = w.row(class);
        let mut sum = vec![0.0; m];
        for row in rows {
            let row = values.row(row);
            let u = share / dot(row, w);
            if !u.is_finite() {
                return None;
            }
            for (sum, &value) in sum.iter_mut().zip(row) {
                *sum += u * value.into();
            }
        }
        Some((class, sum))
    })?;
    let mut carried = Array2::<f64>::zeros((of_class.len(), m));
    for part in parts {
        let (class, sum) = part.ok_or_else(too_small)?;
        carried.row_mut(class).zip_mut_with(&Array1::from(sum), |to, v| *to += v);
    }
    Ok(carried)
}

/// What is said when a row or a column has nothing left.
pub(super) fn too_small() -> Error {
    Error::Data("the transport's regularisation is too small for these features: give a greater one".into())
}

/// Eight running sums at a time, so that the compiler may use vectors.
fn dot<T: Copy + Into<f64>>(a: ArrayView1<T>, b: ArrayView1<f64>) -> f64 {
    let (Some(a), Some(b)) = (a.as_slice(), b.as_slice()) else {
        return a.iter().zip(b).map(|(&a, b)| a.into() * b).sum();
    };
    let mut sums = [0.0; 8];
    let (chunks_a, rest_a) = a.as_chunks::<8>();
    let (chunks_b, rest_b) = b.as_chunks::<8>();
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a.into() * b;
        }
    }
    sums.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(&a, b)| a.into() * b).sum::<f64>()
}
