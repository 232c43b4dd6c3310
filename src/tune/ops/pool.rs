//! `MaxPool` and `AveragePool`.

use rayon::prelude::*;

use super::window::{Axis, Counted, Window};
use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::Array;
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    let kind = match name(node) {
        ("", "MaxPool") if node.0.outputs.iter().skip(1).any(|output| !output.is_empty()) => {
            return Err("a MaxPool that gives indices".into());
        }
        ("", "MaxPool") => Kind::Greatest,
        ("", "AveragePool") if node.int("count_include_pad", 0)? == 0 => Kind::Mean(Counted::Inside),
        ("", "AveragePool") => Kind::Mean(Counted::Padding),
        _ => return Ok(None),
    };
    boxed(Pool { kind, window: Window::read(node)? })
}

#[derive(Debug)]
struct Pool {
    kind: Kind,
    window: Window,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The first of the greatest gets the gradient.
    Greatest,
    Mean(Counted),
}

/// Calls `f` for every place inside of every window: with the place in the output and that in the input, window places in order.
fn pairs([height, width]: [Axis; 2], mut f: impl FnMut(usize, usize)) {
    for ky in 0..height.kernel {
        for kx in 0..width.kernel {
            let (rows, mut y) = height.inside(ky);
            for oy in rows {
                let (columns, mut x) = width.inside(kx);
                for ox in columns {
                    f(oy * width.output + ox, y * width.input + x);
                    x += width.stride();
                }
                y += height.stride();
            }
        }
    }
}

impl Pool {
    fn divisors<T: Scalar>([height, width]: [Axis; 2], counted: Counted) -> Vec<T> {
        let of = |axis: Axis| (0..axis.output).map(move |o| axis.places(o, counted));
        of(height).flat_map(|rows| of(width).map(move |columns| T::of((rows * columns) as f64))).collect()
    }

    /// For each place of a plane's output, the place in the input that is the greatest of its window.
    fn greatest<T: Scalar>(axes: [Axis; 2], plane: &[T]) -> Vec<usize> {
        let mut best = vec![usize::MAX; axes[0].output * axes[1].output];
        pairs(axes, |out, place| {
            let known = best[out];
            if known == usize::MAX || plane[place] > plane[known] {
                best[out] = place;
            }
        });
        best
    }
}

impl<T: Scalar> Operator<T> for Pool {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let x = inputs.real(0)?;
        let axes = self.window.axes(x.dims(), None)?;
        let (size, places) = (axes[0].input * axes[1].input, axes[0].output * axes[1].output);
        let planes = x.values().len() / size.max(1);
        let mut out = vec![T::zero(); planes * places];
        let divisors: Vec<T> = match self.kind {
            Kind::Mean(counted) => Self::divisors(axes, counted),
            Kind::Greatest => Vec::new(),
        };
        out.par_chunks_mut(places.max(1)).zip(x.values().par_chunks(size.max(1))).for_each(|(out, plane)| {
            match self.kind {
                Kind::Greatest => {
                    let places = Self::greatest(axes, plane);
                    let value = |place: usize| plane.get(place).copied().unwrap_or(T::neg_infinity());
                    out.iter_mut().zip(places).for_each(|(o, place)| *o = value(place));
                }
                Kind::Mean(_) => {
                    pairs(axes, |o, place| out[o] += plane[place]);
                    out.iter_mut().zip(&divisors).for_each(|(o, n)| *o /= *n);
                }
            }
        });
        let mut dims = x.dims()[..2].to_vec();
        dims.extend((x.rank() == 4).then_some(axes[0].output));
        dims.push(axes[1].output);
        Ok(Array::new(dims, out)?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (x, gradient) = (call.inputs().real(0)?, first(gradients)?);
        let axes = self.window.axes(x.dims(), None)?;
        let (size, places) = (axes[0].input * axes[1].input, axes[0].output * axes[1].output);
        let by_x = || {
            let mut out = vec![T::zero(); x.values().len()];
            let divisors: Vec<T> = match self.kind {
                Kind::Mean(counted) => Self::divisors(axes, counted),
                Kind::Greatest => Vec::new(),
            };
            let planes = x.values().par_chunks(size.max(1)).zip(gradient.values().par_chunks(places.max(1)));
            out.par_chunks_mut(size.max(1)).zip(planes).for_each(|(out, (plane, gradient))| match self.kind {
                Kind::Greatest => {
                    let places = Self::greatest(axes, plane).into_iter();
                    places.zip(gradient).filter(|(p, _)| *p < size).for_each(|(p, g)| out[p] += *g);
                }
                Kind::Mean(_) => pairs(axes, |o, place| out[place] += gradient[o] / divisors[o]),
            });
            Array::new(x.dims().to_vec(), out)
        };
        Ok(vec![wanted.then(0, by_x)?])
    }
}
