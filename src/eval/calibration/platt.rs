//! Platt's sigmoid (Advances in Large Margin Classifiers, 1999).

use serde::{Deserialize, Serialize};

const ITERATIONS: usize = 100;
/// Keeps the Hessian of constant decisions invertible.
const RIDGE: f64 = 1e-12;

/// `1 / (1 + exp(−(slope·z + intercept)))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Sigmoid {
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

impl Sigmoid {
    /// Least cross-entropy to the targets `(n₊ + 1)/(n₊ + 2)` and `1/(n₋ + 2)`, which keep it finite for classes that are
    /// told apart or absent. Newton's method with halved steps, after Lin, Lin & Weng (Mach. Learn. 68, 2007).
    pub(super) fn fit(z: &[f64], positive: &[bool]) -> Self {
        let count = positive.iter().filter(|&&p| p).count() as f64;
        let others = positive.len() as f64 - count;
        let (high, low) = ((count + 1.0) / (count + 2.0), 1.0 / (others + 2.0));
        let targets: Vec<f64> = positive.iter().map(|&p| if p { high } else { low }).collect();
        // Centred and of unit size, the two parameters hardly depend on each other.
        let center = z.iter().sum::<f64>() / z.len() as f64;
        let size = z.iter().map(|z| (z - center).abs()).fold(0.0, f64::max);
        let size = if size > 0.0 { size } else { 1.0 };
        let z: Vec<f64> = z.iter().map(|z| (z - center) / size).collect();

        let loss = |(a, b): (f64, f64)| -> f64 {
            // ln(1 + eᵘ) − t·u, without overflow.
            let one = |(z, t): (&f64, &f64)| {
                let u = a * z + b;
                u.max(0.0) + (-u.abs()).exp().ln_1p() - t * u
            };
            z.iter().zip(&targets).map(one).sum()
        };
        let mut at = (0.0, ((count + 1.0) / (others + 1.0)).ln());
        let mut value = loss(at);
        for _ in 0..ITERATIONS {
            let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, RIDGE, 0.0, RIDGE);
            for (z, target) in z.iter().zip(&targets) {
                let p = sigmoid(at.0 * z + at.1);
                let (error, weight) = (p - target, p * (1.0 - p));
                ga += error * z;
                gb += error;
                haa += weight * z * z;
                hab += weight * z;
                hbb += weight;
            }
            let determinant = haa * hbb - hab * hab;
            let step = ((hbb * ga - hab * gb) / determinant, (haa * gb - hab * ga) / determinant);
            let slope = step.0 * ga + step.1 * gb;
            // Below this the loss is level to its last digits, and Newton's step nearer than any comparison can tell.
            if slope <= 1e-10 * (1.0 + value) {
                at = (at.0 - step.0, at.1 - step.1);
                break;
            }
            let mut scale = 1.0;
            let (next, reached) = loop {
                let next = (at.0 - scale * step.0, at.1 - scale * step.1);
                let reached = loss(next);
                if reached <= value - 1e-4 * scale * slope || scale < 1e-10 {
                    break (next, reached);
                }
                scale *= 0.5;
            };
            (at, value) = (next, reached);
        }
        let slope = at.0 / size;
        Self { slope, intercept: at.1 - slope * center }
    }

    pub(super) fn apply(self, z: f64) -> f64 {
        sigmoid(self.slope * z + self.intercept)
    }
}

fn sigmoid(u: f64) -> f64 {
    1.0 / (1.0 + (-u).exp())
}
