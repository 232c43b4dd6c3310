//! A fitted linear head.

use linfa::traits::PredictInplace;
use ndarray::{Array1, Array2, ArrayBase, ArrayView1, ArrayView2, Axis, CowArray, Data, Ix2};
use serde::{Deserialize, Serialize};

use super::standardize::{MIN_LENGTH, Scaler};
use crate::error::{Error, Result};
use crate::logits::{first_maximum, softmax};

/// What a head does to an embedding before the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// Nothing; a standardisation is already part of the weights.
    Raw,
    /// Divides each row by its Euclidean length.
    UnitLength,
}

impl Input {
    /// What this does to n×d embeddings.
    pub(crate) fn of<'a>(self, x: ArrayView2<'a, f32>) -> CowArray<'a, f32, Ix2> {
        match self {
            Input::Raw => x.into(),
            Input::UnitLength => {
                let length = x.map_axis(Axis(1), |row| row.dot(&row).sqrt().max(MIN_LENGTH));
                (&x / &length.insert_axis(Axis(1))).into()
            }
        }
    }
}

/// `logits = input(x)·W + b` in the space of raw embeddings.
///
/// Classes are the indices `0..K`. Predicts through linfa's [`linfa::traits::Predict`] as well; that one panics, as
/// linfa's own models do, when the number of columns is not [`LinearHead::dimension`].
#[derive(Debug, Clone, PartialEq)]
pub struct LinearHead {
    weights: Array2<f32>,
    intercepts: Array1<f32>,
    input: Input,
}

impl LinearHead {
    /// A head of `weights` d×K and `intercepts` K.
    ///
    /// # Errors
    /// When d is 0, K is below 2, the shapes disagree, or a value is not finite.
    pub fn new(weights: Array2<f32>, intercepts: Array1<f32>, input: Input) -> Result<Self> {
        let (d, classes) = weights.dim();
        if d == 0 || classes < 2 || intercepts.len() != classes {
            return Err(Error::Data(format!(
                "a linear head needs weights [d, K] with d ≥ 1, K ≥ 2 and K intercepts, got [{d}, {classes}] and {}",
                intercepts.len()
            )));
        }
        if !weights.iter().chain(&intercepts).all(|v| v.is_finite()) {
            return Err(Error::Data("a weight of the head is not finite".into()));
        }
        // Row-major, as the ONNX file stores it.
        Ok(Self { weights: weights.as_standard_layout().into_owned(), intercepts, input })
    }

    /// A head of raw embeddings from `weights` d×K and `intercepts` K on scaled ones:
    /// `((x − mean)·inverse)·W + b = x·(inverse·W) + (b − mean·(inverse·W))`.
    pub(crate) fn unscaled(mut weights: Array2<f64>, mut intercepts: Array1<f64>, scaler: &Scaler) -> Result<Self> {
        weights *= &scaler.inverse.view().insert_axis(Axis(1));
        intercepts -= &scaler.mean.dot(&weights);
        Self::new(weights.mapv(|v| v as f32), intercepts.mapv(|v| v as f32), scaler.input)
    }

    /// Length of the embeddings it takes.
    pub fn dimension(&self) -> usize {
        self.weights.nrows()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.intercepts.len()
    }

    /// d×K, row-major.
    pub fn weights(&self) -> ArrayView2<'_, f32> {
        self.weights.view()
    }

    /// K.
    pub fn intercepts(&self) -> ArrayView1<'_, f32> {
        self.intercepts.view()
    }

    /// What happens to an embedding before the product.
    pub fn input(&self) -> Input {
        self.input
    }

    /// The n×K logits of n×d embeddings.
    ///
    /// # Errors
    /// When the number of columns is not the head's dimension.
    pub fn logits(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        check_dimension(x, self.dimension())?;
        Ok(self.input.of(x).dot(&self.weights) + &self.intercepts)
    }

    /// The n×K class probabilities, the softmax of [`LinearHead::logits`]; each row sums to 1.
    ///
    /// # Errors
    /// As [`LinearHead::logits`].
    pub fn probabilities(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        Ok(softmax(self.logits(x)?))
    }

    /// The index of the likeliest class of each row, the first among equals.
    ///
    /// # Errors
    /// As [`LinearHead::logits`].
    pub fn classify(&self, x: ArrayView2<f32>) -> Result<Array1<usize>> {
        Ok(self.logits(x)?.map_axis(Axis(1), first_maximum))
    }
}

/// The error when embeddings are not as long as a head's.
pub(crate) fn check_dimension(x: ArrayView2<f32>, dimension: usize) -> Result<()> {
    if x.ncols() == dimension {
        return Ok(());
    }
    Err(Error::Mismatch {
        what: "the head's and the embeddings' dimensions".into(),
        expected: dimension.to_string(),
        got: x.ncols().to_string(),
    })
}

impl<D: Data<Elem = f32>> PredictInplace<ArrayBase<D, Ix2>, Array1<usize>> for LinearHead {
    fn predict_inplace(&self, x: &ArrayBase<D, Ix2>, y: &mut Array1<usize>) {
        assert_eq!(x.ncols(), self.dimension(), "columns of the data, and dimension of the head");
        if let Ok(labels) = self.classify(x.view()) {
            y.assign(&labels);
        }
    }

    fn default_target(&self, x: &ArrayBase<D, Ix2>) -> Array1<usize> {
        Array1::zeros(x.nrows())
    }
}
