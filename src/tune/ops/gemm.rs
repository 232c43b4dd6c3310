//! `Gemm`: `alpha · A·B + beta · C`, with A and B turned or not.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::Array;
use crate::tune::broadcast::{map, sum_to, zip};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::product::{Into, Matrix, Threads, Turn, multiply};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    let turn = |name| Ok::<_, String>(if node.int(name, 0)? == 0 { Turn::AsItLies } else { Turn::Turned });
    match name(node) {
        ("", "Gemm") => boxed(Gemm {
            alpha: node.float("alpha", 1.0)?,
            beta: node.float("beta", 1.0)?,
            a: turn("transA")?,
            b: turn("transB")?,
        }),
        _ => Ok(None),
    }
}

#[derive(Debug)]
struct Gemm {
    alpha: f64,
    beta: f64,
    a: Turn,
    b: Turn,
}

fn matrix<T: Scalar>(array: &Array<T>) -> Result<(Matrix<'_, T>, [usize; 2]), String> {
    match *array.dims() {
        [rows, columns] => Ok((Matrix::new(array.values(), rows, columns), [rows, columns])),
        ref other => Err(format!("{other:?} is no matrix")),
    }
}

fn scaled<T: Scalar>(array: Array<T>, factor: f64) -> Array<T> {
    let factor_t = T::of(factor);
    if factor == 1.0 { array } else { map(&array, |x| x * factor_t) }
}

impl Gemm {
    /// `[m, k, n]`.
    fn sizes(&self, [a, b]: [[usize; 2]; 2]) -> Result<[usize; 3], String> {
        let [m, k] = if self.a == Turn::Turned { [a[1], a[0]] } else { a };
        let [depth, n] = if self.b == Turn::Turned { [b[1], b[0]] } else { b };
        if k == depth { Ok([m, k, n]) } else { Err(format!("{a:?} and {b:?} have no product")) }
    }
}

impl<T: Scalar> Operator<T> for Gemm {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let ((a, a_dims), (b, b_dims)) = (matrix(inputs.real(0)?)?, matrix(inputs.real(1)?)?);
        let [m, _, n] = self.sizes([a_dims, b_dims])?;
        let mut out = vec![T::zero(); m * n];
        multiply(&mut out, a.turned_if(self.a), b.turned_if(self.b), Into::Replace, Threads::All);
        let product = scaled(Array::new(vec![m, n], out)?, self.alpha);
        let Some(c) = inputs.real_if_any(2)? else { return Ok(product.into()) };
        let beta = T::of(self.beta);
        let out = zip(&product, c, |p, c| p + beta * c)?;
        if out.dims() == [m, n] { Ok(out.into()) } else { Err(format!("{:?} does not stretch to {m}×{n}", c.dims())) }
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let inputs = call.inputs();
        let ((a, a_dims), (b, b_dims)) = (matrix(inputs.real(0)?)?, matrix(inputs.real(1)?)?);
        let gradient = first(gradients)?;
        let ([m, _, n], whole) = (self.sizes([a_dims, b_dims])?, scaled(gradient.clone(), self.alpha));
        let g = Matrix::new(whole.values(), m, n);
        let (a, b) = (a.turned_if(self.a), b.turned_if(self.b));
        let product = |dims: [usize; 2], left: Matrix<T>, right: Matrix<T>| {
            let mut out = vec![T::zero(); dims[0] * dims[1]];
            multiply(&mut out, left, right, Into::Replace, Threads::All);
            Array::new(dims.to_vec(), out)
        };
        // By A it is G·Bᵀ, and by B it is Aᵀ·G; of what is turned, the whole is turned.
        let by_a = || match self.a {
            Turn::AsItLies => product(a_dims, g, b.turned()),
            Turn::Turned => product(a_dims, b, g.turned()),
        };
        let by_b = || match self.b {
            Turn::AsItLies => product(b_dims, a.turned(), g),
            Turn::Turned => product(b_dims, g.turned(), a),
        };
        let by_c = || Ok(sum_to(scaled(gradient.clone(), self.beta), inputs.real(2)?.dims()));
        Ok(vec![wanted.then(0, by_a)?, wanted.then(1, by_b)?, wanted.then(2, by_c)?])
    }
}
