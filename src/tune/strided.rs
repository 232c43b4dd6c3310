//! Moving values: every operator that only rearranges is a walk with strides.

use rayon::prelude::*;

use super::broadcast::PIECE;
use super::scalar::Scalar;

/// A way to read an array: the value at index `i` lies at `offset + Σ i·stride`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub(super) dims: Vec<usize>,
    strides: Vec<isize>,
    offset: usize,
}

impl View {
    /// The array as it lies.
    pub(super) fn whole(dims: &[usize]) -> Self {
        let mut strides = vec![1; dims.len()];
        for i in (1..dims.len()).rev() {
            strides[i - 1] = strides[i] * dims[i] as isize;
        }
        Self { dims: dims.to_vec(), strides, offset: 0 }
    }

    /// Its axes in another order: axis `i` is the former axis `order[i]`.
    pub(super) fn permuted(self, order: &[usize]) -> Self {
        let dims = order.iter().map(|&i| self.dims[i]).collect();
        let strides = order.iter().map(|&i| self.strides[i]).collect();
        Self { dims, strides, ..self }
    }

    /// `length` places of one axis, from `start` on in steps.
    pub(super) fn sliced(mut self, axis: usize, start: usize, step: isize, length: usize) -> Self {
        if length > 0 {
            self.offset += start * self.strides[axis].unsigned_abs();
        }
        self.dims[axis] = length;
        self.strides[axis] *= step;
        self
    }

    /// Stretched to these sizes: what has size 1, or is missing in front, is repeated.
    pub(super) fn stretched(self, dims: &[usize]) -> Self {
        let missing = dims.len() - self.dims.len();
        let stride = |i: usize| match i.checked_sub(missing) {
            Some(own) if self.dims[own] != 1 => self.strides[own],
            _ => 0,
        };
        Self { strides: (0..dims.len()).map(stride).collect(), dims: dims.to_vec(), offset: self.offset }
    }

    /// Neighbouring axes that are one walk become one; axes of size 1 go.
    fn merged(&self) -> Vec<(usize, isize)> {
        let mut axes: Vec<(usize, isize)> = Vec::new();
        for (&size, &stride) in self.dims.iter().zip(&self.strides).filter(|(size, _)| **size != 1) {
            match axes.last_mut() {
                Some((outer, step)) if *step == stride * size as isize => (*outer, *step) = (*outer * size, stride),
                _ => axes.push((size, stride)),
            }
        }
        axes
    }

    fn walk(&self) -> Rows {
        let mut outer = self.merged();
        let (inner, step) = outer.pop().unwrap_or((1, 1));
        Rows { outer, inner, step, offset: self.offset as isize }
    }
}

struct Rows {
    outer: Vec<(usize, isize)>,
    inner: usize,
    step: isize,
    offset: isize,
}

impl Rows {
    fn start(&self, row: usize) -> isize {
        let (mut rest, mut place) = (row, self.offset);
        for &(size, stride) in self.outer.iter().rev() {
            place += (rest % size) as isize * stride;
            rest /= size;
        }
        place
    }
}

/// The values of `source` as the view reads them.
pub(super) fn collect<E: Copy + Default + Send + Sync>(source: &[E], view: &View) -> Vec<E> {
    let mut out = vec![E::default(); view.dims.iter().product()];
    if out.is_empty() {
        return out;
    }
    let rows = view.walk();
    let least = (PIECE / rows.inner).max(1);
    out.par_chunks_mut(rows.inner).with_min_len(least).enumerate().for_each(|(row, out)| {
        let start = rows.start(row);
        match rows.step {
            1 => out.copy_from_slice(&source[start as usize..][..out.len()]),
            0 => out.fill(source[start as usize]),
            step => out.iter_mut().enumerate().for_each(|(i, o)| *o = source[(start + i as isize * step) as usize]),
        }
    });
    out
}

/// Puts values where the view reads them from.
pub(super) fn place<E: Copy>(target: &mut [E], view: &View, values: &[E]) {
    visit(view, values, |places, value| target[places] = value);
}

/// Adds values where the view reads them from.
pub(super) fn add_at<T: Scalar>(target: &mut [T], view: &View, values: &[T]) {
    visit(view, values, |place, value| target[place] += value);
}

fn visit<E: Copy>(view: &View, values: &[E], mut f: impl FnMut(usize, E)) {
    let rows = view.walk();
    for (row, values) in values.chunks(rows.inner.max(1)).enumerate() {
        let start = rows.start(row);
        values.iter().enumerate().for_each(|(i, v)| f((start + i as isize * rows.step) as usize, *v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_read_as_numpy_does() {
        let values: Vec<i64> = (0..24).collect();
        let whole = || View::whole(&[2, 3, 4]);
        assert_eq!(collect(&values, &whole()), values);
        let turned = collect(&values, &whole().permuted(&[2, 0, 1]));
        assert_eq!(turned[..7], [0, 4, 8, 12, 16, 20, 1]);
        let slice = whole().sliced(1, 2, -1, 3).sliced(2, 1, 2, 2);
        assert_eq!(collect(&values, &slice), [9, 11, 5, 7, 1, 3, 21, 23, 17, 19, 13, 15]);
        assert_eq!(
            collect(&[7_i64, 8], &View::whole(&[2, 1]).stretched(&[2, 2, 3])),
            [7, 7, 7, 8, 8, 8, 7, 7, 7, 8, 8, 8]
        );
        assert_eq!(collect(&values, &whole().sliced(0, 0, 1, 0)), [0_i64; 0]);
        let mut back = vec![0.0_f64; 24];
        add_at(&mut back, &slice, &[1.0; 12]);
        assert_eq!(back.iter().sum::<f64>(), 12.0);
        assert_eq!((back[9], back[8], back[21]), (1.0, 0.0, 1.0));
    }
}
