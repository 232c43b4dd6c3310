//! The fitted MLP.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::super::linear::{Input, check_dimension};
use super::super::standardize::Scaler;
use super::activation::Activation;
use super::network::Network;
use crate::error::{Error, Result};

/// `logits = activation(input(x)·V + c)·W + b` in the space of raw embeddings: one hidden layer.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpHead {
    network: Network<f32>,
    input: Input,
    activation: Activation,
}

impl MlpHead {
    /// A head of `hidden` d×H with H biases, and `output` H×K with K biases.
    ///
    /// # Errors
    /// When d or H is 0, K is below 2, the shapes disagree, or a value is not finite.
    pub fn new(
        (hidden, hidden_bias): (Array2<f32>, Array1<f32>),
        (output, output_bias): (Array2<f32>, Array1<f32>),
        input: Input,
        activation: Activation,
    ) -> Result<Self> {
        let ((d, width), (rows, classes)) = (hidden.dim(), output.dim());
        let fits = hidden_bias.len() == width && rows == width && output_bias.len() == classes;
        if d == 0 || width == 0 || classes < 2 || !fits {
            return Err(Error::Data(format!(
                "an MLP head needs weights [d, H] with H biases and [H, K] with K biases, K ≥ 2; got [{d}, {width}] with {} and [{rows}, {classes}] with {}",
                hidden_bias.len(),
                output_bias.len()
            )));
        }
        let row_major = |matrix: Array2<f32>| matrix.as_standard_layout().into_owned();
        let network = Network { hidden: row_major(hidden), hidden_bias, output: row_major(output), output_bias };
        if !network.values().all(f32::is_finite) {
            return Err(Error::Data("a weight of the head is not finite".into()));
        }
        Ok(Self { network, input, activation })
    }

    /// A head of raw embeddings from a network of scaled ones.
    pub(super) fn unscaled(network: Network<f32>, scaler: &Scaler, activation: Activation) -> Result<Self> {
        let mut weights = network.hidden.mapv(f64::from);
        weights *= &scaler.inverse.view().insert_axis(Axis(1));
        let bias = network.hidden_bias.mapv(f64::from) - scaler.mean.dot(&weights);
        let hidden = (weights.mapv(|v| v as f32), bias.mapv(|v| v as f32));
        Self::new(hidden, (network.output, network.output_bias), scaler.input, activation)
    }

    /// Length of the embeddings it takes.
    pub fn dimension(&self) -> usize {
        self.network.hidden.nrows()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.network.output.ncols()
    }

    /// What happens to an embedding before the first layer.
    pub fn input(&self) -> Input {
        self.input
    }

    /// What happens between the layers.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// The first layer: weights d×H and H biases.
    pub fn hidden(&self) -> (ArrayView2<'_, f32>, ArrayView1<'_, f32>) {
        (self.network.hidden.view(), self.network.hidden_bias.view())
    }

    /// The second layer: weights H×K and K biases.
    pub fn output(&self) -> (ArrayView2<'_, f32>, ArrayView1<'_, f32>) {
        (self.network.output.view(), self.network.output_bias.view())
    }

    /// The n×K logits of n×d embeddings.
    ///
    /// # Errors
    /// When the number of columns is not the head's dimension.
    pub fn logits(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        check_dimension(x, self.dimension())?;
        Ok(self.network.logits(self.input.of(x).view(), self.activation))
    }
}
