//! Logistic heads along a path of penalties, near enough to choose one by.

use linfa::ParamGuard;

use super::descent::{Descent, Nearness};
use super::linear::LinearHead;
use super::logistic::{CheckedLogistic, Logistic, split_parameters};
use super::samples::Samples;
use crate::error::Result;
use crate::progress::Progress;

/// How near a swept head is to its optimum, as a share of the objective at zero weights, `Σw · ln K`.
const NEAR: f64 = 1e-3;
/// How many times too small an estimate of the gap may be, with and without an iteration for this penalty.
const TRIED: f64 = 2.0;
const UNTRIED: f64 = 10.0;

/// A head of a sweep: for comparison with the others, not for use. The fit with its penalty is what comes with a certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    /// Strength of the penalty.
    pub alpha: f64,
    /// The head, in the space of raw embeddings.
    pub head: LinearHead,
    /// How far the objective seems to be above the optimum, as a share of the objective at zero weights; at most 1e-3 unless the
    /// iterations were used up. An estimate, see [`CheckedLogistic::sweep`].
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
    /// Heads for many penalties in two or three times what a fit takes, in the order of `alphas`: what a choice of the
    /// penalty by held-out rows needs. The path goes from the strongest to the weakest penalty, each head starts where the
    /// one before ended with all that the search remembers, and ends when its mean loss seems to be within `1e-3 · ln K`
    /// nats of the optimum's, whatever the tolerance. Always by engraft's own solver.
    ///
    /// That is an estimate: half the Newton decrement `gᵀH⁻¹g/2`, H being the Hessian that the search remembers, doubled,
    /// or ten times it before the first iteration with a penalty. The least of it, of the bound of [`Certificate::gap`] and of the
    /// objective itself counts. On sixteen sets (overlapping, correlated and separable classes, noise, digits, two classes, fewer
    /// rows than columns; scaled and raw) and 23 penalties each, no head was further than 8.1e-4 of `ln K` above its optimum,
    /// and none more than 2.4 times as far as [`Swept::gap`] says. Of the digits the penalty of the least held-out loss was that of
    /// full fits where penalties are a power of ten apart; where they are closer it may be a neighbour, 0.003 nats worse at most
    /// that was seen; by the accuracy within one standard error, which moves in steps of a row, it was another one in half of the
    /// cases. With fewer rows than twice the columns, or more than 2048 columns, the search knows too little of the Hessian,
    /// and the bound alone counts: there a sweep may take much longer.
    ///
    /// [`Certificate::gap`]: super::Certificate::gap
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) when an alpha is not above 0; as [`CheckedLogistic::fit_samples`].
    pub fn sweep(&self, samples: Samples, alphas: &[f64], progress: &dyn Progress) -> Result<Vec<Swept>> {
        self.prepared(samples, alphas, |problem, order| {
            let mut descent = Descent::new(problem, progress)?;
            let start = descent.value();
            let gap = |at: Nearness| {
                // Where nothing was evaluated with this penalty, the Hessian is that of another.
                let doubt = if at.iterations == 0 { UNTRIED } else { TRIED };
                // Neither loss nor penalty is ever below 0, and so no gap is above the value itself.
                (doubt * at.estimate).min(at.bound).min(at.value) / start
            };
            let mut swept: Vec<Option<Swept>> = vec![None; alphas.len()];
            for index in order {
                let alpha = alphas[index];
                descent.set_alpha(alpha);
                progress.begin("sweep", None);
                let reached = descent.run::<f32>(|at| gap(at) <= NEAR, self.max_iterations());
                progress.end();
                let reached = reached?;
                let (weights, intercepts) = split_parameters(descent.theta(), problem.outputs);
                let head = LinearHead::unscaled(weights, intercepts, problem.scaler)?;
                swept[index] = Some(Swept { alpha, head, gap: gap(reached), iterations: reached.iterations });
            }
            Ok(swept.into_iter().flatten().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};

    use super::super::certificate::optimality;
    use super::super::goldens::digits;
    use super::super::objective::{Problem, Targets};
    use super::super::standardize::{Scaler, Scaling};
    use super::*;

    const ALPHAS: [f64; 8] = [1.0, 1e-6, 300.0, 0.01, 1e-4, 30.0, 1e4, 3.0];

    /// Unit noise around centres of the deviation `apart`; column j is shrunk by `j^decay`, and all share a component.
    fn mixture(n: usize, d: usize, classes: usize, apart: f32, decay: f32, shared: f32) -> (Array2<f32>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut normal = move || (0..4).map(|_| rng.f32() - 0.5).sum::<f32>() * 3.0_f32.sqrt();
        let centres = Array2::from_shape_simple_fn((classes, d), || apart * normal());
        let labels: Vec<usize> = (0..n).map(|row| row % classes).collect();
        let mut x = Array2::from_shape_simple_fn((n, d), &mut normal);
        for (mut row, &label) in x.rows_mut().into_iter().zip(&labels) {
            row += &centres.row(label);
            row.iter_mut().enumerate().for_each(|(j, value)| *value /= ((j + 1) as f32).powf(decay));
            row += shared * normal();
        }
        (x, labels)
    }

    /// The objective of a head on the scaled features, by the certificate's computation.
    fn objective(head: &LinearHead, (x, labels): (&Array2<f32>, &[usize]), scaling: Scaling, alpha: f64) -> f64 {
        let (scaler, mut weights) = (Scaler::fit(scaling, x.view()), head.weights().mapv(f64::from));
        let intercepts = head.intercepts().mapv(f64::from) + scaler.mean.dot(&weights);
        weights /= &scaler.inverse.view().insert_axis(Axis(1));
        let (targets, outputs) = (Targets::Classes(labels), if weights.ncols() == 2 { 1 } else { weights.ncols() });
        let problem = Problem { x: x.view(), targets, weights: None, scaler: &scaler, outputs, alpha, threads: 1 };
        optimality(&problem, weights.view(), intercepts.view()).objective
    }

    /// The estimate against what is really missing.
    #[test]
    fn swept_heads_are_as_near_as_they_say_in_any_order_in_few_iterations() {
        let sets = [
            ("overlapping", mixture(600, 24, 6, 0.3, 0.0, 0.0)),
            ("correlated", mixture(600, 32, 6, 0.3, 0.5, 2.0)),
            ("separable", mixture(300, 48, 4, 1.0, 0.0, 0.0)),
            ("two classes", mixture(500, 20, 2, 0.2, 0.5, 0.0)),
            ("noise", mixture(400, 30, 5, 0.0, 0.3, 0.0)),
            ("few rows", mixture(60, 90, 3, 0.3, 1.0, 0.5)),
        ];
        for (name, (x, labels)) in &sets {
            for scaling in [Scaling::Standardize, Scaling::None] {
                let (samples, logistic) = (Samples::new(x.view(), labels), Logistic::new().scaling(scaling));
                let swept = logistic.sweep(samples, &ALPHAS, &()).unwrap();
                let fitted = logistic.clone().tolerance(1e-4).fit_path(samples, &ALPHAS, &()).unwrap();
                let classes = labels.iter().max().unwrap() + 1;
                let start = labels.len() as f64 * (classes as f64).ln();
                for ((got, fitted), alpha) in swept.iter().zip(&fitted).zip(ALPHAS) {
                    let above = objective(&got.head, (x, labels), scaling, alpha) - fitted.certificate.objective;
                    assert_eq!(got.alpha, alpha);
                    assert!(got.gap <= NEAR && above / start <= NEAR, "{name} {scaling:?} {above} of {start}, {got:?}");
                    // 1e-4 of the optimum is what the fits leave open.
                    let known = 3.0 * got.gap + 1e-4;
                    assert!(above / start <= known, "{name} {scaling:?} {above} of {start}, {got:?}");
                }
                let together: usize = swept.iter().map(|swept| swept.iterations).sum();
                let path: usize = fitted.iter().map(|fitted| fitted.certificate.iterations).sum();
                assert!(2 * together < path, "{name} {scaling:?}: {together} iterations, {path} in full");
            }
        }
        let (x, labels) = &sets[0].1;
        assert!(Logistic::new().sweep(Samples::new(x.view(), labels), &[1.0, 0.0], &()).is_err());
    }

    /// By the mean loss on the rows left out, in five folds of the digits, of a third and of a sixth of them.
    #[test]
    fn the_penalty_chosen_is_that_of_full_fits() {
        let (x, labels) = digits();
        let alphas = [1e4, 1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2, 1e-3];
        for every in [1, 3, 6] {
            let rows: Vec<usize> = (0..labels.len()).filter(|row| row / 5 % every == 0).collect();
            let mut losses = [[0.0; 8]; 2];
            for fold in 0..5 {
                let (known, others): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&row| row % 5 != fold);
                let (seen, unseen) = (x.select(Axis(0), &known), x.select(Axis(0), &others));
                let learned: Vec<usize> = known.iter().map(|&row| labels[row]).collect();
                let samples = Samples::new(seen.view(), &learned);
                let loss = |head: &LinearHead| {
                    let p = head.probabilities(unseen.view()).unwrap();
                    let of = |(i, &row): (usize, &usize)| -f64::from(p[[i, labels[row]]]).ln();
                    others.iter().enumerate().map(of).sum::<f64>()
                };
                let swept = Logistic::new().sweep(samples, &alphas, &()).unwrap();
                let fitted = Logistic::new().tolerance(1e-5).fit_path(samples, &alphas, &()).unwrap();
                for (i, (swept, fitted)) in swept.iter().zip(&fitted).enumerate() {
                    losses[0][i] += loss(&swept.head);
                    losses[1][i] += loss(&fitted.head);
                }
            }
            let best = |losses: &[f64; 8]| (0..8).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap();
            assert_eq!(best(&losses[0]), best(&losses[1]), "of every {every}: {losses:?}");
            assert!((1..7).contains(&best(&losses[1])), "the best lies within: {losses:?}");
        }
    }
}
