//! Groups of one channel, without matrices: each filter slides over one plane.

use rayon::prelude::*;

use super::Plan;
use crate::tune::broadcast::sum;
use crate::tune::scalar::Scalar;

/// One place of the kernel, and the stretches of rows that it pairs.
struct Stretch {
    /// The place in the kernel.
    tap: usize,
    /// Where it begins in the plane of the result, and in that of the input.
    output: usize,
    input: usize,
}

impl Plan {
    /// Calls `f` for each place of the kernel and each row of the result: with the stretch, its length, and the step in the input.
    fn stretches(&self, mut f: impl FnMut(Stretch, usize, usize)) {
        for ky in 0..self.height.kernel {
            let (rows, mut y) = self.height.inside(ky);
            for row in rows {
                for kx in 0..self.width.kernel {
                    let (columns, x) = self.width.inside(kx);
                    let stretch = Stretch {
                        tap: ky * self.width.kernel + kx,
                        output: row * self.width.output + columns.start,
                        input: y * self.width.input + x,
                    };
                    if !columns.is_empty() {
                        f(stretch, columns.len(), self.width.stride());
                    }
                }
                y += self.height.stride();
            }
        }
    }

    fn plane(&self) -> usize {
        self.height.input * self.width.input
    }

    fn all_filters(&self) -> usize {
        self.groups * self.filters
    }
}

pub(super) fn forward<T: Scalar>(plan: &Plan, x: &[T], w: &[T]) -> Vec<T> {
    let mut out = vec![T::zero(); plan.images * plan.all_filters() * plan.places()];
    out.par_chunks_mut(plan.places().max(1)).enumerate().for_each(|(i, out)| {
        let (image, filter) = (i / plan.all_filters(), i % plan.all_filters());
        let plane = &x[(image * plan.groups + filter / plan.filters) * plan.plane()..][..plan.plane()];
        let taps = &w[filter * plan.filter()..][..plan.filter()];
        pulp::Arch::new().dispatch(|| {
            plan.stretches(|at, n, step| {
                let (tap, out) = (taps[at.tap], &mut out[at.output..at.output + n]);
                match step {
                    1 => out.iter_mut().zip(&plane[at.input..at.input + n]).for_each(|(o, x)| *o += tap * *x),
                    _ => out.iter_mut().zip(plane[at.input..].iter().step_by(step)).for_each(|(o, x)| *o += tap * *x),
                }
            });
        });
    });
    out
}

pub(super) fn by_input<T: Scalar>(plan: &Plan, w: &[T], gradient: &[T]) -> Vec<T> {
    let mut out = vec![T::zero(); plan.images * plan.groups * plan.plane()];
    out.par_chunks_mut(plan.plane().max(1)).enumerate().for_each(|(i, out)| {
        let (image, group) = (i / plan.groups, i % plan.groups);
        for filter in group * plan.filters..(group + 1) * plan.filters {
            let gradient = &gradient[(image * plan.all_filters() + filter) * plan.places()..][..plan.places()];
            let taps = &w[filter * plan.filter()..][..plan.filter()];
            pulp::Arch::new().dispatch(|| {
                plan.stretches(|at, n, step| {
                    let (tap, gradient) = (taps[at.tap], &gradient[at.output..at.output + n]);
                    match step {
                        1 => out[at.input..at.input + n].iter_mut().zip(gradient).for_each(|(o, g)| *o += tap * *g),
                        _ => out[at.input..].iter_mut().step_by(step).zip(gradient).for_each(|(o, g)| *o += tap * *g),
                    }
                });
            });
        }
    });
    out
}

pub(super) fn by_weight<T: Scalar>(plan: &Plan, x: &[T], gradient: &[T]) -> Vec<T> {
    let mut out = vec![T::zero(); plan.all_filters() * plan.filter()];
    out.par_chunks_mut(plan.filter().max(1)).enumerate().for_each(|(filter, taps)| {
        let mut products = vec![T::zero(); plan.width.output];
        for image in 0..plan.images {
            let plane = &x[(image * plan.groups + filter / plan.filters) * plan.plane()..][..plan.plane()];
            let gradient = &gradient[(image * plan.all_filters() + filter) * plan.places()..][..plan.places()];
            pulp::Arch::new().dispatch(|| {
                plan.stretches(|at, n, step| {
                    let (products, gradient) = (&mut products[..n], &gradient[at.output..at.output + n]);
                    let pairs = products.iter_mut().zip(gradient);
                    match step {
                        1 => pairs.zip(&plane[at.input..at.input + n]).for_each(|((p, g), x)| *p = *g * *x),
                        _ => pairs.zip(plane[at.input..].iter().step_by(step)).for_each(|((p, g), x)| *p = *g * *x),
                    }
                    taps[at.tap] += sum(products);
                });
            });
        }
    });
    out
}
