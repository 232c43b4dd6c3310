//! The minimisation behind a logistic head: in single precision while that helps, and on from one penalty to the next.

use std::cell::Cell;

use super::certificate::{Optimality, gap_bound, optimality};
use super::lbfgs::{self, Point, State};
use super::logistic::split_parameters;
use super::objective::{Besides, Curvature, Problem};
use super::precondition::Preconditioner;
use super::real::Real;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// The iterations after which the centres of the preconditioner are found for the first time, when the classes have begun to
/// part, and how many times as many lie before they are found again.
const FIRST_CENTRES: usize = 6;
const LATER_CENTRES: usize = 3;

/// How near θ is to the optimum, by the certificate's own computation.
pub(super) fn judged(problem: &Problem, theta: &[f64]) -> Optimality {
    let (weights, intercepts) = split_parameters(theta, problem.outputs);
    optimality(problem, weights.view(), intercepts.view())
}

/// A descent that may go on with another penalty.
pub(super) struct Descent<'a, 'p> {
    problem: Problem<'a>,
    longest_row: f64,
    preconditioner: Preconditioner,
    progress: &'p dyn Progress,
    state: State<Curvature>,
    /// How many iterations led there, and after how many the centres are found next.
    iterations: usize,
    next_centres: usize,
}

impl<'a, 'p> Descent<'a, 'p> {
    /// At zero.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn new(problem: Problem<'a>, progress: &'p dyn Progress) -> Result<Self> {
        let (longest_row, squares) = problem.scaler.sizes(problem.threads, problem.x);
        let preconditioner = Preconditioner::new(&problem, squares);
        let state = State::new(vec![0.0; problem.parameters()], plain(problem, progress))?;
        let next_centres = FIRST_CENTRES;
        Ok(Self { problem, longest_row, preconditioner, progress, state, iterations: 0, next_centres })
    }

    /// Where it is.
    pub(super) fn theta(&self) -> &[f64] {
        &self.state.at.x
    }

    /// The penalty.
    pub(super) fn alpha(&self) -> f64 {
        self.problem.alpha
    }

    /// The objective there.
    pub(super) fn value(&self) -> f64 {
        self.state.at.value
    }

    /// The solver's own estimate of the gap there, absolute.
    pub(super) fn gap(&self) -> f64 {
        gap(&self.state.at, self.longest_row, self.problem.alpha)
    }

    /// Goes on with another penalty, from the same place.
    pub(super) fn set_alpha(&mut self, alpha: f64) {
        self.state.curve(alpha - self.problem.alpha, self.problem.parameters() - self.problem.outputs);
        self.problem.alpha = alpha;
        self.preconditioner.set_alpha(alpha);
    }

    /// Goes to θ if the objective is less than here.
    pub(super) fn try_at(&mut self, theta: Vec<f64>) -> Result<()> {
        let Descent { problem, progress, .. } = *self;
        self.state.jump(theta, plain(problem, progress), |there, here| there.value < here.value)
    }

    /// Goes to where the certificate finds the gap within `tolerance`, relative: in f32, and where that is not borne out, on in
    /// f64. Returns what the certificate says, and the number of iterations.
    pub(super) fn certified(&mut self, tolerance: f64, max_iterations: usize) -> Result<(Optimality, usize)> {
        // The f32 gradient of a converged point is off by its rounding: aim lower than the f64 certificate asks.
        let mut iterations = self.run::<f32>(|gap, value| gap <= 0.5 * tolerance * value, max_iterations)?;
        let mut found = judged(&self.problem, self.theta());
        if found.gap > tolerance && iterations < max_iterations {
            let problem = self.problem;
            let here = self.theta().to_vec();
            let evaluate =
                |theta: &[f64], gradient: &mut [f64]| Ok(problem.evaluate::<f64>(theta, gradient, Besides::Curvature));
            self.state.jump(here, evaluate, |_, _| true)?;
            let near = |gap, value| gap <= 0.99 * tolerance * value;
            iterations += self.run::<f64>(near, max_iterations - iterations)?;
            found = judged(&self.problem, self.theta());
        }
        Ok((found, iterations))
    }

    /// Descends until `near` holds of the gap and the value. Returns the number of iterations.
    pub(super) fn run<F: Real>(&mut self, near: impl Fn(f64, f64) -> bool, max_iterations: usize) -> Result<usize> {
        let Descent { problem, longest_row, progress, iterations: before, .. } = *self;
        let Descent { preconditioner, state, .. } = self;
        let (total, next_centres) = (Cell::new(before), Cell::new(self.next_centres));
        let mut patience = Patience::default();
        let evaluate = |theta: &[f64], gradient: &mut [f64]| {
            uninterrupted(progress)?;
            let besides = if total.get() + 1 >= next_centres.get() { Besides::Centres } else { Besides::Curvature };
            Ok(problem.evaluate::<F>(theta, gradient, besides))
        };
        let done = |at: &Point<Curvature>, iteration: usize| {
            if iteration > 0 {
                progress.advance(1);
            }
            total.set(before + iteration);
            if at.extra.centres.is_some() {
                next_centres.set(next_centres.get().max(LATER_CENTRES * total.get()));
            }
            let gap = gap(at, longest_row, problem.alpha);
            Ok(near(gap, at.value) || patience.is_over(gap))
        };
        let precondition = |at: &Point<Curvature>, vector: &mut [f64]| preconditioner.apply(vector, &at.extra);
        let (iterations, _) = lbfgs::minimize(state, max_iterations, F::NOISE, evaluate, done, precondition)?;
        (self.iterations, self.next_centres) = (total.get(), next_centres.get());
        Ok(iterations)
    }
}

/// Evaluates in single precision, until the user wishes to stop.
fn plain(problem: Problem, progress: &dyn Progress) -> impl Fn(&[f64], &mut [f64]) -> Result<(f64, Curvature)> {
    move |theta, gradient| {
        uninterrupted(progress)?;
        Ok(problem.evaluate::<f32>(theta, gradient, Besides::Curvature))
    }
}

fn uninterrupted(progress: &dyn Progress) -> Result<()> {
    if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
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
