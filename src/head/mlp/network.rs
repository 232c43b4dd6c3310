//! The two layers, their loss and its gradient, in f32 to fit and in f64 to be checked.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};

use super::super::adamw::{AdamW, Moments};
use super::super::real::Real;
use super::activation::Activation;

/// `logits = activation(x·hidden + hidden_bias)·output + output_bias`; a gradient has the same shape.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network<F> {
    /// d×H.
    pub(super) hidden: Array2<F>,
    pub(super) hidden_bias: Array1<F>,
    /// H×K.
    pub(super) output: Array2<F>,
    pub(super) output_bias: Array1<F>,
}

impl<F: Real> Network<F> {
    /// Uniform weights within `√(6/(inputs + outputs))` (Glorot & Bengio 2010), biases 0.
    pub(super) fn random(d: usize, width: usize, classes: usize, rng: &mut fastrand::Rng) -> Self {
        let mut layer = |rows: usize, columns: usize| {
            let bound = (6.0 / (rows + columns) as f64).sqrt();
            Array2::from_shape_simple_fn((rows, columns), || F::of(bound * (2.0 * rng.f64() - 1.0)))
        };
        Self {
            hidden: layer(d, width),
            hidden_bias: Array1::zeros(width),
            output: layer(width, classes),
            output_bias: Array1::zeros(classes),
        }
    }

    /// n×K logits of n×d rows.
    pub(super) fn logits(&self, x: ArrayView2<F>, activation: Activation) -> Array2<F> {
        let hidden = (x.dot(&self.hidden) + &self.hidden_bias).mapv(|z| activation.at(z).0);
        hidden.dot(&self.output) + &self.output_bias
    }

    /// Mean cross-entropy, in nats, of n×d rows against n×K target shares that sum to 1, and its gradient. `kept` (n×H) is what
    /// each hidden value is multiplied by: dropout.
    pub(super) fn loss(
        &self,
        x: ArrayView2<F>,
        targets: ArrayView2<F>,
        activation: Activation,
        kept: Option<&Array2<F>>,
    ) -> (f64, Network<F>) {
        let sums = x.dot(&self.hidden) + &self.hidden_bias;
        let mut slopes = Array2::zeros(sums.dim());
        let mut hidden = Array2::zeros(sums.dim());
        Zip::from(&mut hidden).and(&mut slopes).and(&sums).for_each(|h, s, &z| (*h, *s) = activation.at(z));
        if let Some(kept) = kept {
            hidden *= kept;
            slopes *= kept;
        }
        let mut residual = hidden.dot(&self.output) + &self.output_bias;
        let rows = F::of(x.nrows() as f64);
        let mut loss = 0.0;
        for (mut row, target) in residual.rows_mut().into_iter().zip(targets.rows()) {
            let max = row.fold(row[0], |max, &z| if z > max { z } else { max });
            let total: f64 = row.iter().map(|&z| -> f64 { (z - max).exp_nonpositive().into() }).sum();
            let log_total = total.ln();
            Zip::from(&mut row).and(target).for_each(|z, &share| {
                let below: f64 = (*z - max).into();
                loss += Into::<f64>::into(share) * (log_total - below);
                *z = ((*z - max).exp_nonpositive() / F::of(total) - share) / rows;
            });
        }
        let mut back = residual.dot(&self.output.t());
        back *= &slopes;
        let gradient = Network {
            hidden: x.t().dot(&back),
            hidden_bias: back.sum_axis(Axis(0)),
            output: hidden.t().dot(&residual),
            output_bias: residual.sum_axis(Axis(0)),
        };
        (loss / x.nrows() as f64, gradient)
    }

    /// Sum over the rows of the cross-entropy, without a gradient.
    pub(super) fn cross_entropy(&self, x: ArrayView2<F>, targets: ArrayView2<F>, activation: Activation) -> f64 {
        let logits = self.logits(x, activation).mapv(Into::<f64>::into);
        let loss = |(row, target): (ndarray::ArrayView1<f64>, ndarray::ArrayView1<F>)| -> f64 {
            let max = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let log_sum = max + row.mapv(|z| (z - max).exp()).sum().ln();
            row.iter().zip(target).map(|(z, &share)| share.into() * (log_sum - z)).sum()
        };
        logits.rows().into_iter().zip(targets.rows()).map(loss).sum()
    }

    /// The weights and biases, layer by layer, and whether each is a weight.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = (&mut F, Decay)> {
        self.hidden
            .iter_mut()
            .map(|v| (v, Decay::Yes))
            .chain(self.hidden_bias.iter_mut().map(|v| (v, Decay::No)))
            .chain(self.output.iter_mut().map(|v| (v, Decay::Yes)))
            .chain(self.output_bias.iter_mut().map(|v| (v, Decay::No)))
    }

    /// As [`Network::values_mut`].
    pub(super) fn values(&self) -> impl Iterator<Item = F> {
        self.hidden.iter().chain(&self.hidden_bias).chain(&self.output).chain(&self.output_bias).copied()
    }
}

impl Network<f32> {
    /// Moves every value by its step; weights shrink, biases do not.
    pub(super) fn descend(&mut self, gradient: &Self, step: AdamW, moments: &mut [Moments], weight_decay: f64) {
        for (((value, decay), gradient), moments) in self.values_mut().zip(gradient.values()).zip(moments) {
            let weight_decay = if decay == Decay::Yes { weight_decay } else { 0.0 };
            *value = step.moved(*value, gradient, moments, weight_decay);
        }
    }
}

/// Whether a value shrinks with weight decay: weights do, biases do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decay {
    Yes,
    No,
}
