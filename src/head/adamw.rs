//! AdamW (Loshchilov & Hutter 2019) with the defaults of PyTorch.

const BETAS: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// What is known of a value's gradients so far: their first and second moment.
pub(crate) type Moments = [f64; 2];

/// One step against the gradient, for any number of values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdamW {
    corrections: [f64; 2],
    rate: f64,
}

impl AdamW {
    /// Step number `step`, from 1, of size `rate`.
    pub(crate) fn step(step: i32, rate: f64) -> Self {
        Self { corrections: BETAS.map(|beta| 1.0 - beta.powi(step)), rate }
    }

    /// The value after the step; it shrinks by `rate·weight_decay` besides.
    #[inline]
    pub(crate) fn moved(&self, value: f32, gradient: f32, [m, v]: &mut Moments, weight_decay: f64) -> f32 {
        let gradient = f64::from(gradient);
        *m = BETAS[0] * *m + (1.0 - BETAS[0]) * gradient;
        *v = BETAS[1] * *v + (1.0 - BETAS[1]) * gradient * gradient;
        let [first, second] = self.corrections;
        let shrunk = f64::from(value) * (1.0 - self.rate * weight_decay);
        (shrunk - self.rate * (*m / first) / ((*v / second).sqrt() + EPSILON)) as f32
    }
}
