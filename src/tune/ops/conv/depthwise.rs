//! Groups of one channel, without matrices. Each plane is laid into its padding: there a place of the kernel is a shift of the whole
//! plane, and a filter a sum of shifted planes, of which only the values where windows begin are used.

use rayon::prelude::*;

use super::Plan;
use crate::tune::ops::norm::dot;
use crate::tune::scalar::Scalar;

/// Values that all shifts are summed over before the next: they stay in the cache.
const BLOCK: usize = 1024;

/// How planes lie in their padding.
struct Sheet<'a> {
    plan: &'a Plan,
    /// Values with the padding.
    size: usize,
    /// Where each place of the kernel lies in the first window.
    shifts: Vec<usize>,
    /// From the beginning of the first window to that of the last.
    span: usize,
}

impl<'a> Sheet<'a> {
    fn new(plan: &'a Plan) -> Self {
        let (height, width) = (&plan.height, &plan.width);
        let row = width.padded();
        let along = |ky: usize| (0..width.kernel).map(move |kx| ky * height.dilation() * row + kx * width.dilation());
        let last = |axis: &super::Axis| axis.output.saturating_sub(1) * axis.stride();
        let shifts: Vec<usize> = (0..height.kernel).flat_map(along).collect();
        let span = last(height) * row + last(width) + 1;
        // Rounded up, the last window may reach beyond the padding.
        let size = (height.padded() * row).max(span + shifts.last().unwrap_or(&0));
        Self { plan, size, shifts, span }
    }

    /// Where each row of the plane begins.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let (height, width) = (&self.plan.height, &self.plan.width);
        let (first, step) = (height.before() * width.padded() + width.before(), width.padded());
        (0..height.input).map(move |y| first + y * step)
    }

    /// Lays a plane; the padding stays as it is.
    fn lay<T: Copy>(&self, plane: &[T], sheet: &mut [T]) {
        let width = self.plan.width.input;
        self.rows()
            .zip(plane.chunks_exact(width.max(1)))
            .for_each(|(at, row)| sheet[at..at + width].copy_from_slice(row));
    }

    /// The plane that lies there.
    fn take<T: Copy>(&self, sheet: &[T], plane: &mut [T]) {
        let width = self.plan.width.input;
        self.rows()
            .zip(plane.chunks_exact_mut(width.max(1)))
            .for_each(|(at, row)| row.copy_from_slice(&sheet[at..at + width]));
    }

    /// Where windows begin, in the order of the result.
    fn windows(&self) -> impl Iterator<Item = usize> {
        let (height, width) = (self.plan.height, self.plan.width);
        let row = height.stride() * width.padded();
        (0..height.output).flat_map(move |y| (0..width.output).map(move |x| y * row + x * width.stride()))
    }

    fn zeros<T: Scalar>(&self) -> (Vec<T>, Vec<T>) {
        (vec![T::zero(); self.size], vec![T::zero(); self.span])
    }
}

impl Plan {
    fn all_filters(&self) -> usize {
        self.groups * self.filters
    }
}

pub(super) fn forward<T: Scalar>(plan: &Plan, x: &[T], w: &[T]) -> Vec<T> {
    let sheet = Sheet::new(plan);
    let mut out = vec![T::zero(); plan.images * plan.all_filters() * plan.places()];
    out.par_chunks_mut(plan.places().max(1)).enumerate().for_each_init(
        || sheet.zeros(),
        |(laid, sums), (i, out)| {
            let (image, filter) = (i / plan.all_filters(), i % plan.all_filters());
            sheet.lay(&x[(image * plan.groups + filter / plan.filters) * plan.input()..][..plan.input()], laid);
            let taps = &w[filter * plan.filter()..][..plan.filter()];
            pulp::Arch::new().dispatch(|| {
                for (block, sums) in sums.chunks_mut(BLOCK).enumerate() {
                    sums.fill(T::zero());
                    for (tap, shift) in taps.iter().zip(&sheet.shifts) {
                        let values = &laid[block * BLOCK + shift..][..sums.len()];
                        sums.iter_mut().zip(values).for_each(|(s, x)| *s += *tap * *x);
                    }
                }
            });
            out.iter_mut().zip(sheet.windows()).for_each(|(o, at)| *o = sums[at]);
        },
    );
    out
}

pub(super) fn by_input<T: Scalar>(plan: &Plan, w: &[T], gradient: &[T]) -> Vec<T> {
    let sheet = Sheet::new(plan);
    let mut out = vec![T::zero(); plan.images * plan.groups * plan.input()];
    out.par_chunks_mut(plan.input().max(1)).enumerate().for_each_init(
        || sheet.zeros(),
        |(sums, spread), (i, out)| {
            let (image, group) = (i / plan.groups, i % plan.groups);
            sums.fill(T::zero());
            for filter in group * plan.filters..(group + 1) * plan.filters {
                let gradient = &gradient[(image * plan.all_filters() + filter) * plan.places()..][..plan.places()];
                // Between the windows it stays zero.
                sheet.windows().zip(gradient).for_each(|(at, g)| spread[at] = *g);
                let taps = &w[filter * plan.filter()..][..plan.filter()];
                pulp::Arch::new().dispatch(|| {
                    for (block, values) in spread.chunks(BLOCK).enumerate() {
                        for (tap, shift) in taps.iter().zip(&sheet.shifts) {
                            let sums = &mut sums[block * BLOCK + shift..][..values.len()];
                            sums.iter_mut().zip(values).for_each(|(s, g)| *s += *tap * *g);
                        }
                    }
                });
            }
            sheet.take(sums, out);
        },
    );
    out
}

pub(super) fn by_weight<T: Scalar>(plan: &Plan, x: &[T], gradient: &[T]) -> Vec<T> {
    let sheet = Sheet::new(plan);
    let mut out = vec![T::zero(); plan.all_filters() * plan.filter()];
    out.par_chunks_mut(plan.filter().max(1)).enumerate().for_each_init(
        || sheet.zeros(),
        |(laid, spread), (filter, taps)| {
            for image in 0..plan.images {
                sheet.lay(&x[(image * plan.groups + filter / plan.filters) * plan.input()..][..plan.input()], laid);
                let gradient = &gradient[(image * plan.all_filters() + filter) * plan.places()..][..plan.places()];
                sheet.windows().zip(gradient).for_each(|(at, g)| spread[at] = *g);
                pulp::Arch::new().dispatch(|| {
                    for (block, values) in spread.chunks(BLOCK).enumerate() {
                        for (tap, shift) in taps.iter_mut().zip(&sheet.shifts) {
                            *tap += dot(values, &laid[block * BLOCK + shift..][..values.len()]);
                        }
                    }
                });
            }
        },
    );
    out
}
