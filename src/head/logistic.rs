//! Multinomial logistic regression: builder, checked parameters, fit.

use std::num::NonZeroUsize;
use std::time::Instant;

use linfa::ParamGuard;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, ArrayBase, ArrayView2, Data, Ix1, Ix2, s};

use super::certificate::{Certificate, Optimality};
use super::descent::{Descent, judged};
use super::linear::LinearHead;
use super::linfa_solver;
use super::objective::{Problem, Targets};
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
    /// where the one before ended: the regularisation path with a certificate for each penalty, as scikit-learn's
    /// `LogisticRegression(warm_start=True)` gives it. [`CheckedLogistic::sweep`] is much faster where the heads are only to be
    /// compared.
    ///
    /// # Errors
    /// [`Error::Usage`] when an alpha is not above 0; as [`CheckedLogistic::fit_samples`].
    pub fn fit_path(&self, samples: Samples, alphas: &[f64], progress: &dyn Progress) -> Result<Vec<FittedLogistic>> {
        let started = Instant::now();
        self.prepared(samples, alphas, |problem, order| self.optima(problem, (alphas, order), started, progress))
    }

    /// Checks the samples, and passes on the problem with the places of `alphas`, the greatest first.
    pub(super) fn prepared<T>(
        &self,
        samples: Samples,
        alphas: &[f64],
        then: impl FnOnce(Problem, Vec<usize>) -> Result<T>,
    ) -> Result<T> {
        alphas.iter().try_for_each(|&alpha| positive("alpha", alpha))?;
        let classes = samples.check()?;
        let weights = samples.row_weights(&self.class_weight, classes)?;
        let threads = self.threads();
        let scaler = Scaler::fit_on(threads, self.scaling, samples.x.view());
        let mut order: Vec<usize> = (0..alphas.len()).collect();
        order.sort_by(|&a, &b| alphas[b].total_cmp(&alphas[a]));
        let problem = Problem {
            x: samples.x.view(),
            targets: Targets::Classes(samples.labels),
            weights: weights.as_deref(),
            scaler: &scaler,
            outputs: if classes == 2 { 1 } else { classes },
            alpha: order.first().map_or(self.alpha, |&first| alphas[first]),
            threads,
        };
        then(problem, order)
    }

    /// The most iterations of a fit.
    pub(super) fn max_iterations(&self) -> usize {
        self.max_iterations
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
        let mut fitted = self.optima(problem, (&[self.alpha], vec![0]), started, progress)?;
        fitted.pop().ok_or_else(|| Error::Usage("no penalty to fit with".into()))
    }

    fn threads(&self) -> usize {
        self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
    }

    /// The optimum of a problem for each of `alphas`, in their order, found in that of their places.
    fn optima(
        &self,
        mut problem: Problem,
        (alphas, order): (&[f64], Vec<usize>),
        mut started: Instant,
        progress: &dyn Progress,
    ) -> Result<Vec<FittedLogistic>> {
        let mut descent = match self.solver {
            Solver::Lbfgs => Some(Descent::new(problem, progress)?),
            Solver::Linfa => None,
        };
        let mut fitted: Vec<Option<FittedLogistic>> = vec![None; alphas.len()];
        for index in order {
            problem.alpha = alphas[index];
            let (theta, found) = match &mut descent {
                Some(descent) => {
                    descent.set_alpha(alphas[index]);
                    progress.begin("fit", None);
                    let found = descent.certified(self.tolerance, self.max_iterations);
                    progress.end();
                    (descent.theta().to_vec(), found?)
                }
                None => {
                    let (theta, iterations) = linfa_solver::minimize(&problem, self.tolerance, self.max_iterations)?;
                    let found = judged(&problem, &theta);
                    (theta, (found, iterations))
                }
            };
            fitted[index] = Some(self.certified(&problem, &theta, found, started)?);
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

/// θ as weights d×K and intercepts K; the single logit z of two classes becomes `[−z/2, z/2]`.
pub(super) fn split_parameters(theta: &[f64], outputs: usize) -> (Array2<f64>, Array1<f64>) {
    let d = theta.len() / outputs - 1;
    let table = Array2::from_shape_fn((d + 1, outputs.max(2)), |(row, column)| match outputs {
        1 => theta[row] * (column as f64 - 0.5),
        _ => theta[row * outputs + column],
    });
    (table.slice(s![..d, ..]).to_owned(), table.row(d).to_owned())
}
