//! Multinomial logistic regression: builder, checked parameters, fit.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::time::Instant;

use linfa::ParamGuard;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, ArrayBase, ArrayView2, Data, Ix1, Ix2, s};

use super::certificate::{Certificate, Optimality, gap_bound, optimality};
use super::lbfgs::{self, Point};
use super::linear::LinearHead;
use super::linfa_solver;
use super::objective::{Besides, Curvature, Problem, Targets};
use super::precondition::Preconditioner;
use super::real::Real;
use super::samples::{ClassWeight, Samples};
use super::standardize::{Scaler, Scaling};
use super::training::{check_multi_label, positive};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Who minimises the objective. The certificate is computed by neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Solver {
    /// engraft's L-BFGS: f32 products until their rounding shows, then f64 (the default).
    #[default]
    Lbfgs,
    /// linfa-logistic on the scaled features in f64. Its result is refused unless the certificate holds.
    Linfa,
}

/// Multinomial logistic regression with an L2 penalty on the weights and a free intercept.
///
/// Minimises `Σ_i w_i·CE_i + (alpha/2)·‖W‖²` over the scaled features. That is scikit-learn's `LogisticRegression(C=1/alpha)`:
/// three and more classes have a weight vector each, two classes share one.
///
/// ```
/// use engraft::head::Logistic;
/// use linfa::traits::{Fit, Predict};
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 1.0], [0.2, 0.9], [1.0, 0.1], [0.8, 0.0]];
/// let data = linfa::Dataset::new(x, array![0_usize, 0, 1, 1]);
/// let fitted = Logistic::new().alpha(0.1).fit(&data)?;
/// assert!(fitted.certificate.converged);
/// assert_eq!(fitted.head.predict(data.records()), array![0, 0, 1, 1]);
/// # Ok::<(), engraft::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic(CheckedLogistic);

/// The parameters of [`Logistic`] after their check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedLogistic {
    alpha: f64,
    scaling: Scaling,
    class_weight: ClassWeight,
    tolerance: f64,
    max_iterations: usize,
    threads: Option<NonZeroUsize>,
    solver: Solver,
}

/// A fitted head with its certificate.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedLogistic {
    /// The head, in the space of raw embeddings.
    pub head: LinearHead,
    /// How near it is to the optimum. Not converged is a warning the caller must pass on.
    pub certificate: Certificate,
}

impl Default for Logistic {
    fn default() -> Self {
        Self(CheckedLogistic {
            alpha: 1.0,
            scaling: Scaling::default(),
            class_weight: ClassWeight::default(),
            tolerance: 1e-6,
            max_iterations: 2000,
            threads: None,
            solver: Solver::default(),
        })
    }
}

impl Logistic {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Strength of the penalty, scikit-learn's `1/C`; above 0, 1 by default.
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.0.alpha = alpha;
        self
    }

    /// How features are scaled; standardised by default.
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.0.scaling = scaling;
        self
    }

    /// How much each class counts; all alike by default.
    pub fn class_weight(mut self, class_weight: ClassWeight) -> Self {
        self.0.class_weight = class_weight;
        self
    }

    /// Stop when the objective is certified to be this near the optimum, relative ([`Certificate::gap`]); 1e-6 by default.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.0.tolerance = tolerance;
        self
    }

    /// Stop, unconverged, after this many iterations; 2000 by default.
    pub fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.0.max_iterations = max_iterations;
        self
    }

    /// Number of threads; as many as the process may use by default. The result does not depend on it.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.0.threads = Some(threads);
        self
    }

    /// Who minimises.
    pub fn solver(mut self, solver: Solver) -> Self {
        self.0.solver = solver;
        self
    }
}

impl Logistic {
    /// Checks the parameters and fits; see [`CheckedLogistic::fit_watched`].
    ///
    /// # Errors
    /// [`Error::Usage`] when a parameter is out of range; those of the fit.
    pub fn fit_watched(&self, x: ArrayView2<f32>, labels: &[usize], progress: &dyn Progress) -> Result<FittedLogistic> {
        self.check_ref()?.fit_watched(x, labels, progress)
    }

    /// Checks the parameters and fits; see [`CheckedLogistic::fit_samples`].
    ///
    /// # Errors
    /// [`Error::Usage`] when a parameter is out of range; those of the fit.
    pub fn fit_samples(&self, samples: Samples, progress: &dyn Progress) -> Result<FittedLogistic> {
        self.check_ref()?.fit_samples(samples, progress)
    }

    /// Checks the parameters and fits; see [`CheckedLogistic::fit_path`].
    ///
    /// # Errors
    /// [`Error::Usage`] when a parameter is out of range; those of the fit.
    pub fn fit_path(&self, samples: Samples, alphas: &[f64], progress: &dyn Progress) -> Result<Vec<FittedLogistic>> {
        self.check_ref()?.fit_path(samples, alphas, progress)
    }

    /// Checks the parameters and fits; see [`CheckedLogistic::fit_multi_label`].
    ///
    /// # Errors
    /// [`Error::Usage`] when a parameter is out of range; those of the fit.
    pub fn fit_multi_label(
        &self,
        x: ArrayView2<f32>,
        labels: ArrayView2<bool>,
        progress: &dyn Progress,
    ) -> Result<FittedLogistic> {
        self.check_ref()?.fit_multi_label(x, labels, progress)
    }
}

impl ParamGuard for Logistic {
    type Checked = CheckedLogistic;
    type Error = Error;

    fn check_ref(&self) -> Result<&CheckedLogistic> {
        positive("alpha", self.0.alpha)?;
        positive("tolerance", self.0.tolerance)?;
        Ok(&self.0)
    }

    fn check(self) -> Result<CheckedLogistic> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl<D: Data<Elem = f32>, T: Data<Elem = usize>> Fit<ArrayBase<D, Ix2>, ArrayBase<T, Ix1>, Error> for CheckedLogistic {
    type Object = FittedLogistic;

    fn fit(&self, dataset: &linfa::DatasetBase<ArrayBase<D, Ix2>, ArrayBase<T, Ix1>>) -> Result<FittedLogistic> {
        let (labels, weights) = (dataset.targets().to_vec(), dataset.weights());
        let weights: Option<Vec<f64>> = weights.map(|weights| weights.iter().copied().map(f64::from).collect());
        let samples = Samples::new(dataset.records().view(), &labels);
        self.fit_samples(weights.as_ref().map_or(samples, |weights| samples.weighted(weights)), &())
    }
}

impl CheckedLogistic {
    /// Fits a head on n×d features and n class indices, telling `progress` of each iteration.
    ///
    /// The classes are `0..K`, and each must occur.
    ///
    /// # Errors
    /// As [`CheckedLogistic::fit_samples`].
    pub fn fit_watched(&self, x: ArrayView2<f32>, labels: &[usize], progress: &dyn Progress) -> Result<FittedLogistic> {
        self.fit_samples(Samples::new(x.view(), labels), progress)
    }

    /// Fits a head, telling `progress` of each iteration.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows, no columns, fewer than two classes, a class without rows or of no weight, another
    /// number of labels or weights than rows, or a value that is not finite; when [`Solver::Linfa`] misses the optimum;
    /// [`Error::Interrupted`].
    pub fn fit_samples(&self, samples: Samples, progress: &dyn Progress) -> Result<FittedLogistic> {
        let mut fitted = self.fit_path(samples, &[self.alpha], progress)?;
        fitted.pop().ok_or_else(|| Error::Usage("no penalty to fit with".into()))
    }

    /// Fits a head for each of `alphas` in turn, in their order, from the strongest to the weakest penalty; each fit starts
    /// where the one before ended.
    ///
    /// # Errors
    /// [`Error::Usage`] when an alpha is not above 0; as [`CheckedLogistic::fit_samples`].
    pub fn fit_path(&self, samples: Samples, alphas: &[f64], progress: &dyn Progress) -> Result<Vec<FittedLogistic>> {
        alphas.iter().try_for_each(|&alpha| positive("alpha", alpha))?;
        let started = Instant::now();
        let classes = samples.check()?;
        let weights = samples.row_weights(&self.class_weight, classes)?;
        let threads = self.threads();
        let scaler = Scaler::fit_on(threads, self.scaling, samples.x.view());
        let problem = Problem {
            x: samples.x.view(),
            targets: Targets::Classes(samples.labels),
            weights: weights.as_deref(),
            scaler: &scaler,
            outputs: if classes == 2 { 1 } else { classes },
            alpha: self.alpha,
            threads,
        };
        self.minimize(problem, alphas, started, progress)
    }

    /// Fits a logistic regression for each of K labels, of which a row may have any number, on n×d features and n×K labels:
    /// scikit-learn's `OneVsRestClassifier(LogisticRegression(C=1/alpha))`. All share the passes over the features; the
    /// certificate is of the sum of their objectives. The probabilities are the sigmoids of the head's logits,
    /// see [`Link::Sigmoid`](super::Link).
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows, no columns, fewer than two labels, a label that every row has or none, another number
    /// of rows of labels than of features, or a value that is not finite; [`Error::Usage`] with weights of classes or
    /// [`Solver::Linfa`]; [`Error::Interrupted`].
    pub fn fit_multi_label(
        &self,
        x: ArrayView2<f32>,
        labels: ArrayView2<bool>,
        progress: &dyn Progress,
    ) -> Result<FittedLogistic> {
        let started = Instant::now();
        check_multi_label(x, labels)?;
        if self.class_weight != ClassWeight::Uniform {
            return Err(Error::Usage("classes that a row may have any number of have no weights".into()));
        }
        let threads = self.threads();
        let scaler = Scaler::fit_on(threads, self.scaling, x.view());
        let problem = Problem {
            x: x.view(),
            targets: Targets::Labels(labels.view()),
            weights: None,
            scaler: &scaler,
            outputs: labels.ncols(),
            alpha: self.alpha,
            threads,
        };
        let mut fitted = self.minimize(problem, &[self.alpha], started, progress)?;
        fitted.pop().ok_or_else(|| Error::Usage("no penalty to fit with".into()))
    }

    fn threads(&self) -> usize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    /// The optimum of a problem for each of `alphas`, in their order.
    fn minimize<'a>(
        &self,
        problem: Problem<'a>,
        alphas: &[f64],
        mut started: Instant,
        progress: &'a dyn Progress,
    ) -> Result<Vec<FittedLogistic>> {
        let mut order: Vec<usize> = (0..alphas.len()).collect();
        order.sort_by(|&a, &b| alphas[b].total_cmp(&alphas[a]));
        let mut descent = Descent::new(problem, self.tolerance, progress);
        let mut fitted: Vec<Option<FittedLogistic>> = vec![None; alphas.len()];
        for index in order {
            let problem = Problem { alpha: alphas[index], ..problem };
            let (theta, found, iterations) = match self.solver {
                Solver::Lbfgs => {
                    progress.begin("fit", None);
                    let found = descent.go_on(alphas[index], self.max_iterations);
                    progress.end();
                    found?
                }
                Solver::Linfa => {
                    let (theta, iterations) = linfa_solver::minimize(&problem, self.tolerance, self.max_iterations)?;
                    let found = judged(&problem, &theta);
                    (theta, found, iterations)
                }
            };
            fitted[index] = Some(self.certified(&problem, &theta, (found, iterations), started)?);
            started = Instant::now();
        }
        Ok(fitted.into_iter().flatten().collect())
    }

    fn certified(
        &self,
        problem: &Problem,
        theta: &[f64],
        (found, iterations): (Optimality, usize),
        started: Instant,
    ) -> Result<FittedLogistic> {
        let (weights, intercepts) = split_parameters(theta, problem.outputs);
        if !found.objective.is_finite() {
            return Err(Error::Data("the fit overflowed: the features are too large to be used unscaled".into()));
        }
        let certificate = Certificate {
            objective: found.objective,
            gradient_norm: found.gradient_norm,
            gap: found.gap,
            iterations,
            converged: found.gap <= self.tolerance,
            seconds: started.elapsed().as_secs_f64(),
        };
        if self.solver == Solver::Linfa && !certificate.converged {
            return Err(linfa_solver::refusal(&certificate, self.tolerance));
        }
        Ok(FittedLogistic { head: LinearHead::unscaled(weights, intercepts, problem.scaler)?, certificate })
    }
}

/// How near θ is to the optimum, by the certificate's own computation.
fn judged(problem: &Problem, theta: &[f64]) -> Optimality {
    let (weights, intercepts) = split_parameters(theta, problem.outputs);
    optimality(problem, weights.view(), intercepts.view())
}

/// The iterations after which the centres of the preconditioner are found for the first time, when the classes have begun to
/// part, and how many times as many lie before they are found again.
const FIRST_CENTRES: usize = 6;
const LATER_CENTRES: usize = 3;

/// A descent that may go on with another penalty.
struct Descent<'a> {
    problem: Problem<'a>,
    tolerance: f64,
    longest_row: f64,
    preconditioner: Preconditioner,
    progress: &'a dyn Progress,
    /// Where it is.
    theta: Vec<f64>,
    /// How many iterations led there, and after how many the centres are found next.
    iterations: Cell<usize>,
    next_centres: Cell<usize>,
}

impl<'a> Descent<'a> {
    /// At zero.
    fn new(problem: Problem<'a>, tolerance: f64, progress: &'a dyn Progress) -> Self {
        let (longest_row, squares) = problem.scaler.sizes(problem.threads, problem.x);
        let preconditioner = Preconditioner::new(&problem, squares);
        let theta = vec![0.0; problem.parameters()];
        let (iterations, next_centres) = (Cell::new(0), Cell::new(FIRST_CENTRES));
        Self { theta, problem, tolerance, longest_row, preconditioner, progress, iterations, next_centres }
    }

    /// Goes to the optimum for `alpha`: in f32, and where the certificate does not bear that out, on in f64. Returns θ, what
    /// the certificate says of it, and the number of iterations.
    fn go_on(&mut self, alpha: f64, max_iterations: usize) -> Result<(Vec<f64>, Optimality, usize)> {
        self.problem.alpha = alpha;
        self.preconditioner.set_alpha(alpha);
        // The f32 gradient of a converged point is off by its rounding: aim lower than the f64 certificate asks.
        let mut iterations = self.run::<f32>(0.5, max_iterations)?;
        let mut found = judged(&self.problem, &self.theta);
        if found.gap > self.tolerance && iterations < max_iterations {
            iterations += self.run::<f64>(0.99, max_iterations - iterations)?;
            found = judged(&self.problem, &self.theta);
        }
        Ok((self.theta.clone(), found, iterations))
    }

    /// Descends until the gap is below `margin` times the tolerance. Returns the number of iterations.
    fn run<F: Real>(&mut self, margin: f64, max_iterations: usize) -> Result<usize> {
        let Descent { problem, tolerance, longest_row, progress, .. } = *self;
        let Descent { preconditioner, theta, iterations: before, next_centres, .. } = self;
        let mut patience = Patience::default();
        let total = Cell::new(before.get());
        let evaluate = |theta: &[f64], gradient: &mut [f64]| {
            let besides = if total.get() + 1 >= next_centres.get() { Besides::Centres } else { Besides::Curvature };
            if progress.interrupted() {
                Err(Error::Interrupted)
            } else {
                Ok(problem.evaluate::<F>(theta, gradient, besides))
            }
        };
        let done = |at: &Point<Curvature>, iteration: usize| {
            if iteration > 0 {
                progress.advance(1);
            }
            total.set(before.get() + iteration);
            if at.extra.centres.is_some() {
                next_centres.set(LATER_CENTRES * total.get());
            }
            let gap = gap(at, longest_row, problem.alpha);
            Ok(gap <= margin * tolerance * at.value || patience.is_over(gap))
        };
        let precondition = |at: &Point<Curvature>, vector: &mut [f64]| preconditioner.apply(vector, &at.extra);
        let start = std::mem::take(theta);
        let (at, iterations, _) = lbfgs::minimize(start, max_iterations, F::NOISE, evaluate, done, precondition)?;
        *theta = at.x;
        before.set(total.get());
        Ok(iterations)
    }
}

/// Ends a descent that only walks about in its rounding noise.
struct Patience {
    best: f64,
    since: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self { best: f64::INFINITY, since: 0 }
    }
}

impl Patience {
    /// Iterations without halving the gap. Descents that still move halve it in ten to forty.
    const LIMIT: usize = 100;

    fn is_over(&mut self, gap: f64) -> bool {
        self.since += 1;
        if gap < 0.5 * self.best {
            *self = Self { best: gap, since: 0 };
        }
        self.since > Self::LIMIT
    }
}

/// The solver's own estimate of [`Certificate::gap`], absolute.
fn gap(at: &Point<Curvature>, longest_row: f64, alpha: f64) -> f64 {
    let curvature = &at.extra.intercepts;
    let (weights, intercepts) = at.gradient.split_at(at.gradient.len() - curvature.len());
    let norm = weights.iter().map(|v| v * v).sum::<f64>().sqrt();
    gap_bound(norm, intercepts.iter().copied(), curvature.iter().copied(), longest_row, alpha)
}

/// θ as weights d×K and intercepts K; the single logit z of two classes becomes `[−z/2, z/2]`.
fn split_parameters(theta: &[f64], outputs: usize) -> (Array2<f64>, Array1<f64>) {
    let d = theta.len() / outputs - 1;
    let table = Array2::from_shape_fn((d + 1, outputs.max(2)), |(row, column)| match outputs {
        1 => theta[row] * (column as f64 - 0.5),
        _ => theta[row * outputs + column],
    });
    (table.slice(s![..d, ..]).to_owned(), table.row(d).to_owned())
}
