//! What the hidden layer does to each of its sums.

use serde::{Deserialize, Serialize};

use super::super::real::Real;

/// The nonlinearity of the hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `z/2·(1 + tanh(√(2/π)·(z + 0.044715·z³)))` (Hendrycks & Gimpel 2016), PyTorch's `approximate="tanh"` (the default).
    #[default]
    Gelu,
    /// `max(z, 0)`.
    Relu,
}

/// √(2/π) and the factor of z³ in GELU.
pub(crate) const GELU: [f64; 2] = [0.797_884_560_802_865_4, 0.044_715];

impl Activation {
    /// Value and derivative at `z`.
    pub(super) fn at<F: Real>(self, z: F) -> (F, F) {
        match self {
            Activation::Relu if z > F::zero() => (z, F::one()),
            Activation::Relu => (F::zero(), F::zero()),
            Activation::Gelu => {
                let [root, cubic] = GELU.map(F::of);
                let half = F::of(0.5);
                let t = tanh(root * (z + cubic * z * z * z));
                let slope = root * (F::one() + F::of(3.0) * cubic * z * z);
                let value = half * z * (F::one() + t);
                (value, half * (F::one() + t) + half * z * (F::one() - t * t) * slope)
            }
        }
    }
}

fn tanh<F: Real>(z: F) -> F {
    let negative = z < F::zero();
    let size = if negative { F::zero() - z } else { z };
    let e = (F::zero() - size - size).exp_nonpositive();
    let t = (F::one() - e) / (F::one() + e);
    if negative { F::zero() - t } else { t }
}
