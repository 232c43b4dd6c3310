//! What any fit ends in.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::knn::KnnHead;
use super::linear::LinearHead;
use super::mlp::MlpHead;
use crate::error::Result;
use crate::logits::{first_maximum, softmax};

/// A fitted head, in the space of raw embeddings. Classes are the indices `0..K`.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// Of logistic and ridge regression and of centroids.
    Linear(LinearHead),
    /// Of k nearest neighbours.
    Knn(KnnHead),
    /// Of a multilayer perceptron.
    Mlp(MlpHead),
}

impl From<LinearHead> for Head {
    fn from(head: LinearHead) -> Self {
        Self::Linear(head)
    }
}

impl From<KnnHead> for Head {
    fn from(head: KnnHead) -> Self {
        Self::Knn(head)
    }
}

impl From<MlpHead> for Head {
    fn from(head: MlpHead) -> Self {
        Self::Mlp(head)
    }
}

impl Head {
    /// Length of the embeddings it takes.
    pub fn dimension(&self) -> usize {
        match self {
            Self::Linear(head) => head.dimension(),
            Self::Knn(head) => head.dimension(),
            Self::Mlp(head) => head.dimension(),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        match self {
            Self::Linear(head) => head.classes(),
            Self::Knn(head) => head.classes(),
            Self::Mlp(head) => head.classes(),
        }
    }

    /// The n×K logits of n×d embeddings.
    ///
    /// # Errors
    /// When the number of columns is not the head's dimension; for k-NN, when a value is not finite.
    pub fn logits(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        match self {
            Self::Linear(head) => head.logits(x),
            Self::Knn(head) => head.logits(x),
            Self::Mlp(head) => head.logits(x),
        }
    }

    /// The n×K class probabilities, the softmax of [`Head::logits`]; each row sums to 1.
    ///
    /// # Errors
    /// As [`Head::logits`].
    pub fn probabilities(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        Ok(softmax(self.logits(x)?))
    }

    /// The index of the likeliest class of each row, the first among equals.
    ///
    /// # Errors
    /// As [`Head::logits`].
    pub fn classify(&self, x: ArrayView2<f32>) -> Result<Array1<usize>> {
        Ok(self.logits(x)?.map_axis(Axis(1), first_maximum))
    }
}
