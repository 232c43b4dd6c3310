//! AdamW (Loshchilov & Hutter 2019) with the defaults of PyTorch.

use super::network::{Decay, Network};

const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// First and second moments of the gradient, and the number of steps so far.
pub(super) struct AdamW {
    moments: Vec<[f64; 2]>,
    steps: i32,
    weight_decay: f64,
}

impl AdamW {
    pub(super) fn new(values: usize, weight_decay: f64) -> Self {
        Self { moments: vec![[0.0; 2]; values], steps: 0, weight_decay }
    }

    /// One step of size `rate` against the gradient. Weights shrink by `rate·weight_decay`, biases do not.
    pub(super) fn step(&mut self, network: &mut Network<f32>, gradient: &Network<f32>, rate: f64) {
        self.steps += 1;
        let [first, second] = BETAS.map(|beta| 1.0 - beta.powi(self.steps));
        for (((value, decay), gradient), [m, v]) in
            network.values_mut().zip(gradient.values()).zip(self.moments.iter_mut())
        {
            let gradient = f64::from(gradient);
            *m = BETAS[0] * *m + (1.0 - BETAS[0]) * gradient;
            *v = BETAS[1] * *v + (1.0 - BETAS[1]) * gradient * gradient;
            let shrunk = match decay {
                Decay::Yes => f64::from(*value) * (1.0 - rate * self.weight_decay),
                Decay::No => f64::from(*value),
            };
            *value = (shrunk - rate * (*m / first) / ((*v / second).sqrt() + EPSILON)) as f32;
        }
    }
}
