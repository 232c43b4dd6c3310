//! Elementwise kernels on two arrays whose sizes are stretched to each other, and the way back.

use rayon::prelude::*;

use super::array::Array;
use super::scalar::Scalar;

/// Values that one task works on: enough to be worth the hand-over, few enough to stay in the cache.
pub(super) const PIECE: usize = 16_384;

/// The sizes that both stretch to, as numpy does it: aligned at the end, 1 becomes whatever the other has.
pub(super) fn stretched(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let size = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    let both = |axis| match (size(a, axis), size(b, axis)) {
        (x, y) if x == y || y == 1 => Ok(x),
        (1, y) => Ok(y),
        _ => Err(format!("{a:?} and {b:?} do not stretch to one another")),
    };
    (0..rank).map(both).collect()
}

/// A walk through an array in rows, as long as may be, along which each of `N` operands either moves by one or stands.
pub(super) struct Walk<const N: usize> {
    /// From the outermost; neighbours along which all operands move alike are one.
    dims: Vec<(usize, [usize; N])>,
    /// How many values a row has.
    pub(super) inner: usize,
    /// Whether an operand moves along a row: 1 or 0.
    pub(super) steps: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// Through `out`, to which every operand stretches.
    pub(super) fn new(out: &[usize], operands: [&[usize]; N]) -> Self {
        let mut dims: Vec<(usize, [usize; N])> = Vec::new();
        let mut strides = [1; N];
        for (axis, &size) in out.iter().enumerate().rev() {
            let mut step = [0; N];
            for ((step, stride), operand) in step.iter_mut().zip(&mut strides).zip(operands) {
                let own = (axis + operand.len()).checked_sub(out.len()).map_or(1, |i| operand[i]);
                if own != 1 {
                    *step = *stride;
                }
                *stride *= own;
            }
            if size == 1 {
                continue;
            }
            match dims.last_mut() {
                Some((inner, inner_step)) if (0..N).all(|i| step[i] == inner_step[i] * *inner) => *inner *= size,
                _ => dims.push((size, step)),
            }
        }
        let (inner, steps) = if dims.is_empty() { (1, [1; N]) } else { dims.remove(0) };
        dims.reverse();
        Self { dims, inner, steps }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.dims.iter().map(|(size, _)| size).product()
    }

    /// Where each operand stands at the beginning of a row.
    pub(super) fn offsets(&self, row: usize) -> [usize; N] {
        let (mut rest, mut offsets) = (row, [0; N]);
        for (size, step) in self.dims.iter().rev() {
            let index = rest % size;
            rest /= size;
            offsets.iter_mut().zip(step).for_each(|(offset, step)| *offset += index * step);
        }
        offsets
    }
}

/// `f` of every pair.
pub(super) fn zip<A, B, R>(a: &Array<A>, b: &Array<B>, f: impl Fn(A, B) -> R + Sync) -> Result<Array<R>, String>
where
    A: Copy + Sync,
    B: Copy + Sync,
    R: Clone + Default + Send,
{
    let dims = stretched(a.dims(), b.dims())?;
    let walk = Walk::new(&dims, [a.dims(), b.dims()]);
    let mut out = vec![R::default(); dims.iter().product()];
    // An array without values has no rows, but its walk may.
    if !out.is_empty() {
        let (a, b) = (a.values(), b.values());
        if walk.rows() == 1 {
            out.par_chunks_mut(PIECE).enumerate().for_each(|(i, out)| {
                let start = walk.steps.map(|step| step * i * PIECE);
                along(out, a, b, start, walk.steps, &f);
            });
        } else {
            let least = (PIECE / walk.inner).max(1);
            out.par_chunks_mut(walk.inner).with_min_len(least).enumerate().for_each(|(row, out)| {
                along(out, a, b, walk.offsets(row), walk.steps, &f);
            });
        }
    }
    Array::new(dims, out)
}

fn along<A: Copy, B: Copy, R>(
    out: &mut [R],
    a: &[A],
    b: &[B],
    [i, j]: [usize; 2],
    steps: [usize; 2],
    f: &impl Fn(A, B) -> R,
) {
    let n = out.len();
    pulp::Arch::new().dispatch(|| match steps {
        [1, 1] => out.iter_mut().zip(&a[i..i + n]).zip(&b[j..j + n]).for_each(|((o, x), y)| *o = f(*x, *y)),
        [1, _] => {
            let y = b[j];
            out.iter_mut().zip(&a[i..i + n]).for_each(|(o, x)| *o = f(*x, y));
        }
        [_, 1] => {
            let x = a[i];
            out.iter_mut().zip(&b[j..j + n]).for_each(|(o, y)| *o = f(x, *y));
        }
        _ => {
            let (x, y) = (a[i], b[j]);
            out.iter_mut().for_each(|o| *o = f(x, y));
        }
    });
}

/// `f` of every value.
pub(super) fn map<A: Copy + Sync, R: Clone + Default + Send>(a: &Array<A>, f: impl Fn(A) -> R + Sync) -> Array<R> {
    let mut out = Array::filled(a.dims(), R::default());
    out.values_mut().par_chunks_mut(PIECE).zip(a.values().par_chunks(PIECE)).for_each(|(out, a)| {
        pulp::Arch::new().dispatch(|| out.iter_mut().zip(a).for_each(|(o, x)| *o = f(*x)));
    });
    out
}

/// The gradient of what was stretched from `dims`: summed over all places where a value went.
pub(super) fn sum_to<T: Scalar>(gradient: Array<T>, dims: &[usize]) -> Array<T> {
    if gradient.dims() == dims {
        return gradient;
    }
    let mut out = Array::filled(dims, T::zero());
    if gradient.values().is_empty() {
        return out;
    }
    let walk = Walk::new(gradient.dims(), [dims]);
    let sums = out.values_mut();
    for (row, values) in gradient.values().chunks_exact(walk.inner).enumerate() {
        let [offset] = walk.offsets(row);
        match walk.steps {
            [1] => sums[offset..offset + values.len()].iter_mut().zip(values).for_each(|(s, v)| *s += *v),
            _ => sums[offset] += sum(values),
        }
    }
    out
}

/// A sum in eight lanes: as fast as the vector units, and with less rounding than one after the other.
pub(super) fn sum<T: Scalar>(values: &[T]) -> T {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut lanes = [T::zero(); 8];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane += *v);
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(T::zero(), |s, v| s + v)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(dims: &[usize]) -> Array<f64> {
        let n: usize = dims.iter().product();
        Array::new(dims.to_vec(), (0..n).map(|i| i as f64).collect()).unwrap()
    }

    /// The value at an index of the stretched array.
    fn at(array: &Array<f64>, index: &[usize]) -> f64 {
        let skip = index.len() - array.rank();
        let place = array.dims().iter().zip(&index[skip..]).fold(0, |p, (&d, &i)| p * d + if d == 1 { 0 } else { i });
        array.values()[place]
    }

    #[test]
    fn pairs_are_those_of_the_definition() {
        let shapes: [(&[usize], &[usize]); 9] = [
            (&[], &[3]),
            (&[2, 3, 4], &[4]),
            (&[2, 3, 4], &[3, 1]),
            (&[2, 1, 4], &[1, 3, 1]),
            (&[2, 3, 4, 5], &[2, 1, 1, 5]),
            (&[5, 1], &[1, 4]),
            (&[1, 1], &[1]),
            (&[0, 3], &[3]),
            (&[20_000, 2], &[1]),
        ];
        for (a, b) in shapes {
            let (a, b) = (counting(a), counting(b));
            let got = zip(&a, &b, |x, y| 1000.0 * x + y).unwrap();
            let dims = got.dims().to_vec();
            for (place, value) in got.values().iter().enumerate() {
                let mut rest = place;
                let mut index: Vec<usize> = dims.iter().rev().map(|d| (rest % d, rest /= d).0).collect();
                index.reverse();
                assert_eq!(*value, 1000.0 * at(&a, &index) + at(&b, &index), "{dims:?} {index:?}");
            }
            // Stretching and summing are adjoint: <stretch(b), g> = <b, sum(g)>.
            let back = sum_to(got.clone(), b.dims());
            let stretched = zip(&a, &b, |_, y| y).unwrap();
            let dot =
                |x: &Array<f64>, y: &Array<f64>| x.values().iter().zip(y.values()).map(|(x, y)| x * y).sum::<f64>();
            let (left, right) = (dot(&stretched, &got), dot(&b, &back));
            assert!((left - right).abs() <= 1e-12 * left.abs(), "{left} {right}");
        }
        assert!(zip(&counting(&[2, 3]), &counting(&[2]), |x, _| x).unwrap_err().contains("[2, 3] and [2]"));
    }
}
