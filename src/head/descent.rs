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

/// How near a descent is to the optimum; objectives are absolute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nearness {
    pub(super) value: f64,
    /// The bound of [`Certificate::gap`](super::Certificate), as the solver's own gradient has it.
    pub(super) bound: f64,
    /// What the Hessian that the search remembers says of the gap. Infinite where it rests on a diagonal alone, which knows too
    /// little of the directions that were never gone.
    pub(super) estimate: f64,
    /// Iterations with this penalty.
    pub(super) iterations: usize,
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
        uninterrupted(progress)?;
        let evaluate =
            |theta: &[f64], gradient: &mut [f64]| Ok(problem.evaluate::<f32>(theta, gradient, Besides::Curvature));
        let state = State::new(vec![0.0; problem.parameters()], evaluate)?;
        let next_centres = FIRST_CENTRES;
        Ok(Self { problem, longest_row, preconditioner, progress, state, iterations: 0, next_centres })
    }

    /// Where it is.
    pub(super) fn theta(&self) -> &[f64] {
        &self.state.at.x
    }

    /// The objective there.
    pub(super) fn value(&self) -> f64 {
        self.state.at.value
    }

    /// Goes on with another penalty, from the same place.
    pub(super) fn set_alpha(&mut self, alpha: f64) {
        self.state.curve(alpha - self.problem.alpha, self.problem.parameters() - self.problem.outputs);
        self.problem.alpha = alpha;
        self.preconditioner.set_alpha(alpha);
    }

    /// Goes to where the certificate finds the gap within `tolerance`, relative: in f32, and where that is not borne out, on in
    /// f64. Returns what the certificate says, and the number of iterations.
    pub(super) fn certified(&mut self, tolerance: f64, max_iterations: usize) -> Result<(Optimality, usize)> {
        // The f32 gradient of a converged point is off by its rounding: aim lower than the f64 certificate asks.
        let within = |share: f64| move |at: Nearness| at.bound <= share * tolerance * at.value;
        let mut iterations = self.run::<f32>(within(0.5), max_iterations)?.iterations;
        let mut found = judged(&self.problem, self.theta());
        if found.gap > tolerance && iterations < max_iterations {
            let problem = self.problem;
            self.state.renew(|theta, gradient| Ok(problem.evaluate::<f64>(theta, gradient, Besides::Curvature)))?;
            iterations += self.run::<f64>(within(0.99), max_iterations - iterations)?.iterations;
            found = judged(&self.problem, self.theta());
        }
        Ok((found, iterations))
    }

    /// Descends until `near` holds. Returns where that was.
    pub(super) fn run<F: Real>(&mut self, near: impl Fn(Nearness) -> bool, max_iterations: usize) -> Result<Nearness> {
        let Descent { problem, longest_row, progress, iterations: before, .. } = *self;
        let Descent { preconditioner, state, .. } = self;
        let (total, next_centres) = (Cell::new(before), Cell::new(self.next_centres));
        let mut patience = Patience::default();
        let evaluate = |theta: &[f64], gradient: &mut [f64]| {
            uninterrupted(progress)?;
            let besides = if total.get() + 1 >= next_centres.get() { Besides::Centres } else { Besides::Curvature };
            Ok(problem.evaluate::<F>(theta, gradient, besides))
        };
        let knows = preconditioner.knows_all_directions();
        let mut reached =
            Nearness { value: f64::INFINITY, bound: f64::INFINITY, estimate: f64::INFINITY, iterations: 0 };
        let done = |at: &Point<Curvature>, iteration: usize, decrement: f64| {
            if iteration > 0 {
                progress.advance(1);
            }
            total.set(before + iteration);
            if at.extra.centres.is_some() {
                next_centres.set(next_centres.get().max(LATER_CENTRES * total.get()));
            }
            let bound = gap(at, longest_row, problem.alpha);
            let estimate = if knows { decrement } else { f64::INFINITY };
            reached = Nearness { value: at.value, bound, estimate, iterations: iteration };
            Ok(near(reached) || patience.is_over(bound))
        };
        let precondition = |at: &Point<Curvature>, vector: &mut [f64]| preconditioner.apply(vector, &at.extra);
        lbfgs::minimize(state, max_iterations, F::NOISE, evaluate, done, precondition)?;
        (self.iterations, self.next_centres) = (total.get(), next_centres.get());
        Ok(reached)
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
