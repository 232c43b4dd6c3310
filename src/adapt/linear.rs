//! The linear head that some methods need to have fitted: `adapt` does not know how heads are fitted, and is given it.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::error::Result;
use crate::logits::softmax;

/// `logits = x·W + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// d×K.
    pub weights: Array2<f32>,
    /// K.
    pub intercepts: Array1<f32>,
}

impl Linear {
    /// The n×K logits of n×d features, in the arithmetic of the head.
    ///
    /// # Panics
    /// When the features have another width than the weights.
    pub fn logits(&self, x: ArrayView2<f32>) -> Array2<f32> {
        x.dot(&self.weights) + &self.intercepts
    }

    /// The n×K probabilities, the softmax of [`Linear::logits`], in f64; each row sums to 1.
    ///
    /// # Panics
    /// As there.
    pub fn probabilities(&self, x: ArrayView2<f32>) -> Array2<f64> {
        softmax(self.logits(x).mapv(f64::from))
    }
}

/// Rows to fit a head on.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// n×d features.
    pub x: ArrayView2<'a, f32>,
    /// n class indices.
    pub labels: &'a [usize],
    /// How much each row counts, 0 or more; all alike where there are none.
    pub weights: Option<&'a [f64]>,
}

/// Fits a linear head with as many classes as the greatest label says; each has a row. The two domains are told apart by such a
/// head as well: its classes are then 0, the source, and 1, the target.
pub type Learn<'a> = dyn Fn(Lesson) -> Result<Linear> + 'a;

/// `−Σ p·ln p` in nats.
pub(super) fn entropy(probabilities: ArrayView1<f64>) -> f64 {
    probabilities.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum()
}
