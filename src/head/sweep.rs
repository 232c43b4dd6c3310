//! Logistic heads along a path of penalties, near enough to choose one by.

use linfa::ParamGuard;

use super::descent::Descent;
use super::linear::LinearHead;
use super::logistic::{CheckedLogistic, Logistic, split_parameters};
use super::samples::Samples;
use crate::error::Result;
use crate::progress::Progress;

/// How near a swept head is to its optimum, as a share of the objective at zero weights, `Σw · ln K`.
const NEAR: f64 = 1e-3;

/// A head of a sweep: for comparison with the others, not for use. The fit with its penalty is what comes with a certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    /// Strength of the penalty.
    pub alpha: f64,
    /// The head, in the space of raw embeddings.
    pub head: LinearHead,
    /// The solver's own bound, in f32, on how far the objective is above the optimum, as a share of the objective at zero
    /// weights; at most 1e-3 unless the iterations were used up.
    pub gap: f64,
    /// Iterations since the head before.
    pub iterations: usize,
}

impl Logistic {
    /// Checks the parameters and sweeps; see [`CheckedLogistic::sweep`].
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) when a parameter is out of range; those of the sweep.
    pub fn sweep(&self, samples: Samples, alphas: &[f64], progress: &dyn Progress) -> Result<Vec<Swept>> {
        self.check_ref()?.sweep(samples, alphas, progress)
    }
}

impl CheckedLogistic {
    /// Heads for many penalties in little more time than a fit takes, in the order of `alphas`: what a choice of the
    /// penalty by held-out rows needs. The path goes from the strongest to the weakest penalty, each head starts where the
    /// one before ended with all that the search remembers, and ends when its mean loss is known to within `1e-3 · ln K`
    /// nats of the optimum's, whatever the tolerance. Weak penalties on rows that can be told apart then cost nothing: their
    /// losses are all near 0. Always by engraft's own solver.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) when an alpha is not above 0; as [`CheckedLogistic::fit_samples`].
    pub fn sweep(&self, samples: Samples, alphas: &[f64], progress: &dyn Progress) -> Result<Vec<Swept>> {
        self.prepared(samples, alphas, |problem, order| {
            let mut descent = Descent::new(problem, progress)?;
            let start = descent.value();
            // Neither loss nor penalty is ever below 0, and so no gap is above the value itself.
            let near = |gap: f64, value: f64| gap.min(value) <= NEAR * start;
            let mut swept: Vec<Option<Swept>> = vec![None; alphas.len()];
            let mut before: Option<(f64, Vec<f64>)> = None;
            for index in order {
                let alpha = alphas[index];
                let here = (descent.alpha(), descent.theta().to_vec());
                descent.set_alpha(alpha);
                progress.begin("sweep", None);
                if let Some((older, theta)) = before.filter(|_| !near(descent.gap(), descent.value())) {
                    // The optimum moves about evenly with the logarithm of the penalty.
                    let ahead = (alpha / here.0).ln() / (here.0 / older).ln();
                    if ahead.is_finite() {
                        let ahead = theta.iter().zip(&here.1).map(|(old, new)| new + ahead.min(2.0) * (new - old));
                        descent.try_at(ahead.collect())?;
                    }
                }
                before = Some(here);
                let iterations = descent.run::<f32>(near, self.max_iterations());
                progress.end();
                let (weights, intercepts) = split_parameters(descent.theta(), problem.outputs);
                let head = LinearHead::unscaled(weights, intercepts, problem.scaler)?;
                swept[index] = Some(Swept {
                    alpha,
                    head,
                    gap: descent.gap().min(descent.value()) / start,
                    iterations: iterations?,
                });
            }
            Ok(swept.into_iter().flatten().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn swept_heads_are_near_the_optimum_of_their_penalty_in_any_order() {
        let mut rng = fastrand::Rng::with_seed(5);
        let labels: Vec<usize> = (0..300).map(|row| row % 3).collect();
        let x = Array2::from_shape_fn((300, 6), |(row, column)| rng.f32() + if row % 3 == column { 0.7 } else { 0.0 });
        let samples = Samples::new(x.view(), &labels);
        let alphas = [1.0, 1e-6, 300.0, 0.01, 30.0, 3.0];
        let swept = Logistic::new().sweep(samples, &alphas, &()).unwrap();
        let start = 300.0 * 3.0_f64.ln();
        let (mut alone, mut together) = (0, 0);
        for (got, alpha) in swept.iter().zip(alphas) {
            assert_eq!(got.alpha, alpha);
            assert!(got.gap <= NEAR, "{got:?}");
            let fitted = Logistic::new().alpha(alpha).tolerance(1e-9).fit_samples(samples, &()).unwrap();
            let loss = |head: &LinearHead| {
                let p = head.probabilities(x.view()).unwrap();
                labels.iter().enumerate().map(|(row, &label)| -f64::from(p[[row, label]]).ln()).sum::<f64>() / start
            };
            together += got.iterations;
            alone +=
                Logistic::new().alpha(alpha).tolerance(1e-3).fit_samples(samples, &()).unwrap().certificate.iterations;
            // The loss alone, without the penalty, may be a little further off.
            assert_close([loss(&got.head)], [loss(&fitted.head)], Tolerance::Within(0.02));
        }
        assert!(2 * together < alone, "{together} iterations in the sweep, {alone} from zero each time");
        assert!(Logistic::new().sweep(samples, &[1.0, 0.0], &()).is_err());
    }
}
