//! L-BFGS for smooth convex functions whose values carry rounding noise.
//!
//! Two-loop recursion: Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4. Acceptance of a step: the Wolfe
//! conditions or, near the optimum, the approximate Wolfe conditions of Hager & Zhang (SIAM J. Optim. 16, 2005), which
//! judge by slopes. Near the optimum values differ by less than their rounding, slopes still have digits.

use std::collections::VecDeque;

use crate::error::Result;

/// Pairs of steps and gradient changes that are remembered.
const MEMORY: usize = 20;
/// Sufficient decrease and curvature of the Wolfe conditions.
const DECREASE: f64 = 0.1;
const CURVATURE: f64 = 0.9;
/// Evaluations of one line search.
const TRIALS: usize = 30;

/// A point with its value and gradient, and what else `evaluate` found out there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point<E> {
    pub(crate) x: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
    pub(crate) extra: E,
}

/// Why the minimiser returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The caller's criterion holds.
    Done,
    /// No step improves any more: rounding noise is reached.
    Stalled,
    /// The iterations are used up.
    Iterations,
}

/// Where a search is, and what it remembers of how it came there.
pub(crate) struct State<E> {
    pub(crate) at: Point<E>,
    memory: Memory,
}

impl<E> State<E> {
    /// At `start`, without a past.
    ///
    /// # Errors
    /// Those of `evaluate`.
    pub(crate) fn new(start: Vec<f64>, evaluate: impl FnOnce(&[f64], &mut [f64]) -> Result<(f64, E)>) -> Result<Self> {
        let mut gradient = vec![0.0; start.len()];
        let (value, extra) = evaluate(&start, &mut gradient)?;
        Ok(Self { at: Point { x: start, value, gradient, extra }, memory: Memory::default() })
    }

    /// Evaluates the same place otherwise, keeping what is remembered.
    ///
    /// # Errors
    /// Those of `evaluate`.
    pub(crate) fn renew(&mut self, evaluate: impl FnOnce(&[f64], &mut [f64]) -> Result<(f64, E)>) -> Result<()> {
        let Point { x, value, gradient, extra } = &mut self.at;
        (*value, *extra) = evaluate(x, gradient)?;
        Ok(())
    }

    /// The same place for the function plus `(change/2)·‖x‖²`, x being the first `count` entries: nothing need be evaluated.
    pub(crate) fn curve(&mut self, change: f64, count: usize) {
        let Point { x, value, gradient, .. } = &mut self.at;
        *value += 0.5 * change * dot(&x[..count], &x[..count]);
        add_scaled(&mut gradient[..count], change, &x[..count]);
        let pairs = std::mem::take(&mut self.memory.pairs);
        for Pair { s, mut y, .. } in pairs {
            y.iter_mut().zip(&s).take(count).for_each(|(y, s)| *y = (f64::from(*y) + change * f64::from(*s)) as f32);
            self.memory.keep(s, y);
        }
    }
}

/// Minimises `evaluate` from where `state` is. `evaluate` gives the value and an extra of the caller's choice, and writes the
/// gradient; values within `noise` (relative) count as equal; `precondition` divides a vector by a rough Hessian at the iterate. `done`
/// ends the search: it sees each iterate with its number, the start being 0, and half the Newton decrement there, `gᵀH⁻¹g/2` by the
/// Hessian H that is remembered, which is how far a parabola would be above its minimum.
///
/// Returns the number of iterations, and why it stopped.
///
/// # Errors
/// Those of `evaluate` and `done`; the state is then the last iterate.
pub(crate) fn minimize<E>(
    state: &mut State<E>,
    max_iterations: usize,
    noise: f64,
    mut evaluate: impl FnMut(&[f64], &mut [f64]) -> Result<(f64, E)>,
    mut done: impl FnMut(&Point<E>, usize, f64) -> Result<bool>,
    mut precondition: impl FnMut(&Point<E>, &mut [f64]),
) -> Result<(usize, Stop)> {
    let State { at, memory } = state;
    let mut iterations = 0;
    let mut first_step = 1.0;
    loop {
        let mut direction = memory.direction(&at.gradient, |v| precondition(at, v));
        if dot(&direction, &at.gradient) >= 0.0 {
            *memory = Memory::default();
            direction = memory.direction(&at.gradient, |v| precondition(at, v));
        }
        if done(at, iterations, -0.5 * dot(&direction, &at.gradient))? {
            return Ok((iterations, Stop::Done));
        }
        if iterations == max_iterations {
            return Ok((iterations, Stop::Iterations));
        }
        let (next, step) = match line_search(at, &direction, first_step, noise, &mut evaluate)? {
            Some(found) => found,
            // The memory may hold noise: steepest descent gets the last word.
            None if !memory.pairs.is_empty() => {
                *memory = Memory::default();
                first_step = 1.0;
                continue;
            }
            None => return Ok((iterations, Stop::Stalled)),
        };
        memory.push(at, &next);
        // Far from the optimum exponential walls shorten many steps in a row: do not run into each of them anew.
        first_step = (2.0 * step).min(1.0);
        *at = next;
        iterations += 1;
    }
}

/// A step and the change of the gradient along it, in single precision: they only shape the inverse Hessian, and twenty pairs are
/// the most of what the search holds.
struct Pair {
    s: Vec<f32>,
    y: Vec<f32>,
    /// `1/(s·y)` of these very numbers.
    rho: f64,
}

#[derive(Default)]
struct Memory {
    /// Oldest first.
    pairs: VecDeque<Pair>,
}

impl Memory {
    fn push<E>(&mut self, from: &Point<E>, to: &Point<E>) {
        let change = |to: &[f64], from: &[f64]| to.iter().zip(from).map(|(a, b)| (a - b) as f32).collect();
        self.keep(change(&to.x, &from.x), change(&to.gradient, &from.gradient));
    }

    fn keep(&mut self, s: Vec<f32>, y: Vec<f32>) {
        let sy = dot(&s, &y);
        // Noise can hide the curvature; such a pair would make the inverse Hessian indefinite.
        if sy.is_finite() && sy > f64::EPSILON * dot(&y, &y).sqrt() * dot(&s, &s).sqrt() {
            if self.pairs.len() == MEMORY {
                self.pairs.pop_front();
            }
            self.pairs.push_back(Pair { s, y, rho: 1.0 / sy });
        }
    }

    /// `−H·gradient` with the inverse Hessian that the pairs imply, starting from a multiple of `precondition`.
    fn direction(&self, gradient: &[f64], mut precondition: impl FnMut(&mut [f64])) -> Vec<f64> {
        let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for Pair { s, y, rho } in self.pairs.iter().rev() {
            let alpha = rho * dot(s, &q);
            add_scaled(&mut q, -alpha, y);
            alphas.push(alpha);
        }
        precondition(&mut q);
        if let Some(Pair { y, rho, .. }) = self.pairs.back() {
            // The multiple that makes the latest pair fit: γ = s·y / y·P·y.
            let mut divided: Vec<f64> = y.iter().copied().map(f64::from).collect();
            precondition(&mut divided);
            let gamma = 1.0 / (rho * dot(y, &divided));
            q.iter_mut().for_each(|v| *v *= gamma);
        }
        for (Pair { s, y, rho }, alpha) in self.pairs.iter().zip(alphas.into_iter().rev()) {
            let beta = rho * dot(y, &q);
            add_scaled(&mut q, alpha - beta, s);
        }
        q
    }
}

/// A point along `direction`, and its step, that satisfies the (approximate) Wolfe conditions, or `None` if rounding hides it.
fn line_search<E>(
    from: &Point<E>,
    direction: &[f64],
    first_step: f64,
    noise: f64,
    evaluate: &mut impl FnMut(&[f64], &mut [f64]) -> Result<(f64, E)>,
) -> Result<Option<(Point<E>, f64)>> {
    let slope = dot(&from.gradient, direction);
    if slope >= 0.0 || !slope.is_finite() {
        return Ok(None);
    }
    let equal = from.value + noise * from.value.abs();
    let mut x = vec![0.0; from.x.len()];
    let mut gradient = vec![0.0; from.x.len()];
    // The minimum lies between `low` and `high`; each is a step and the slope there.
    let (mut low, mut high) = ((0.0, slope), None::<(f64, f64)>);
    let mut step = first_step;
    for _ in 0..TRIALS {
        for ((x, x0), d) in x.iter_mut().zip(&from.x).zip(direction) {
            *x = x0 + step * d;
        }
        let (value, extra) = evaluate(&x, &mut gradient)?;
        let there = dot(&gradient, direction);
        let finite = value.is_finite() && there.is_finite();
        let wolfe = value <= from.value + DECREASE * step * slope;
        let approximate = value <= equal && there <= (2.0 * DECREASE - 1.0) * slope;
        if finite && there >= CURVATURE * slope && (wolfe || approximate) {
            return Ok(Some((Point { x, value, gradient, extra }, step)));
        }
        if !finite || there >= 0.0 || value > equal {
            high = Some((step, if finite { there } else { f64::INFINITY }));
        } else {
            low = (step, there);
        }
        step = match high {
            None => secant(low, (0.0, slope)).clamp(2.0 * step, 10.0 * step),
            Some(high) => {
                let width = high.0 - low.0;
                if width <= 1e-10 * high.0 {
                    break;
                }
                // Slopes on exponential walls say little of where they end: having overshot, at least halve.
                let most = if step == high.0 { 0.5 } else { 0.9 };
                let guess = if high.1 >= 0.0 { secant(low, high) } else { f64::NAN };
                let inside = guess.clamp(low.0 + 0.1 * width, low.0 + most * width);
                if inside.is_finite() { inside } else { low.0 + 0.5 * width }
            }
        };
    }
    Ok(None)
}

/// Where the line through two slopes crosses zero.
fn secant(a: (f64, f64), b: (f64, f64)) -> f64 {
    let crossing = (a.0 * b.1 - b.0 * a.1) / (b.1 - a.1);
    // Slopes that do not rise have no crossing ahead.
    if b.1 == a.1 || crossing < a.0.min(b.0) { f64::INFINITY } else { crossing }
}

/// In f64, eight running sums at a time, so that the compiler may use vectors.
fn dot<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    let mut sums = [0.0; 8];
    let (chunks_a, rest_a) = a.as_chunks::<8>();
    let (chunks_b, rest_b) = b.as_chunks::<8>();
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a.into() * b.into();
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(&a, &b)| a.into() * b.into()).sum();
    sums.iter().sum::<f64>() + rest
}

fn add_scaled<T: Copy + Into<f64>>(to: &mut [f64], scale: f64, from: &[T]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += scale * from.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// `1 + Σ ln cosh(a_i (x_i − i))` with curvatures from 1 to 1e4: convex, flat far out.
    fn valley(x: &[f64], gradient: &mut [f64]) -> Result<(f64, ())> {
        let mut value = 1.0;
        for (i, (x, g)) in x.iter().zip(gradient).enumerate() {
            let a = 10.0_f64.powf(i as f64 / 4.5);
            let z = a * (x - i as f64);
            value += z.abs() + (-2.0 * z.abs()).exp().ln_1p() - 2.0_f64.ln();
            *g = a * z.tanh();
        }
        Ok((value, ()))
    }

    /// Minimises from `start`; returns the last point besides.
    fn from(
        start: Vec<f64>,
        max_iterations: usize,
        noise: f64,
        mut evaluate: impl FnMut(&[f64], &mut [f64]) -> Result<(f64, ())>,
        done: impl FnMut(&Point<()>, usize, f64) -> Result<bool>,
    ) -> (Point<()>, usize, Stop) {
        let mut state = State::new(start, &mut evaluate).unwrap();
        let (iterations, stop) = minimize(&mut state, max_iterations, noise, evaluate, done, |_, _| ()).unwrap();
        (state.at, iterations, stop)
    }

    #[test]
    fn finds_the_minimum() {
        let small = |at: &Point<()>, _: usize, _: f64| Ok(dot(&at.gradient, &at.gradient).sqrt() < 1e-6);
        let (at, iterations, stop) = from(vec![0.0; 10], 500, 1e-13, valley, small);
        assert_eq!(stop, Stop::Done, "{iterations} iterations, {at:?}");
        assert_close(at.x, (0..10).map(f64::from), Tolerance::Within(1e-6));
    }

    #[test]
    fn more_curvature_is_added_without_an_evaluation() {
        let bowl = |x: &[f64], gradient: &mut [f64]| {
            let (value, ()) = valley(x, gradient)?;
            add_scaled(&mut gradient[..4], 3.0, &x[..4]);
            Ok((value + 1.5 * dot(&x[..4], &x[..4]), ()))
        };
        let small = |at: &Point<()>, _: usize, _: f64| Ok(dot(&at.gradient, &at.gradient).sqrt() < 1e-6);
        let mut state = State::new(vec![0.0; 10], valley).unwrap();
        minimize(&mut state, 30, 1e-13, valley, |_, _, _| Ok(false), |_, _| ()).unwrap();
        state.curve(3.0, 4);
        let fresh = State::new(state.at.x.clone(), bowl).unwrap();
        assert_close([state.at.value], [fresh.at.value], Tolerance::Close);
        assert_close(state.at.gradient.iter().copied(), fresh.at.gradient, Tolerance::Close);
        assert!(!state.memory.pairs.is_empty());
        let (warm, stop) = minimize(&mut state, 500, 1e-13, bowl, small, |_, _| ()).unwrap();
        let (at, cold, _) = from(vec![0.0; 10], 500, 1e-13, bowl, small);
        assert!(stop == Stop::Done && warm < cold, "{stop:?} in {warm}, from zero in {cold}");
        assert_close(state.at.x, at.x, Tolerance::Within(1e-5));
    }

    #[test]
    fn noise_ends_the_search() {
        let mut rng = fastrand::Rng::with_seed(3);
        let noisy = |x: &[f64], gradient: &mut [f64]| {
            let (value, ()) = valley(x, gradient)?;
            gradient.iter_mut().for_each(|g| *g += 1e-3 * (rng.f64() - 0.5));
            Ok((value * (1.0 + 1e-7 * rng.f64()), ()))
        };
        let (at, iterations, stop) = from(vec![0.0; 10], 2000, 1e-6, noisy, |_, _, _| Ok(false));
        assert!(stop != Stop::Done && iterations <= 2000);
        assert!(at.value < 1.0 + 1e-4, "{stop:?} at {}", at.value);
    }

    #[test]
    fn a_stationary_start_stalls_at_once() {
        let flat = |_: &[f64], gradient: &mut [f64]| {
            gradient.fill(0.0);
            Ok((1.0, ()))
        };
        let (_, iterations, stop) = from(vec![1.0; 3], 100, 1e-13, flat, |_, _, _| Ok(false));
        assert_eq!((iterations, stop), (0, Stop::Stalled));
    }

    /// The six functions of Moré & Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20
    /// (1994), section 5, with their slopes.
    fn more_thuente(number: usize, a: f64) -> (f64, f64) {
        let two_roots = |b1: f64, b2: f64| {
            let gamma = |b: f64| b.hypot(1.0) - b;
            let (left, right) = ((1.0 - a).hypot(b2), a.hypot(b1));
            (gamma(b1) * left + gamma(b2) * right, gamma(b1) * (a - 1.0) / left + gamma(b2) * a / right)
        };
        match number {
            1 => (-a / (a * a + 2.0), (a * a - 2.0) / (a * a + 2.0).powi(2)),
            2 => {
                let z = a + 0.004;
                (z.powi(5) - 2.0 * z.powi(4), 5.0 * z.powi(4) - 8.0 * z.powi(3))
            }
            3 => {
                let (b, l) = (0.01, 39.0 * std::f64::consts::PI);
                let (value, slope) = match a {
                    a if a <= 1.0 - b => (1.0 - a, -1.0),
                    a if a >= 1.0 + b => (a - 1.0, 1.0),
                    a => ((a - 1.0).powi(2) / (2.0 * b) + 0.5 * b, (a - 1.0) / b),
                };
                (value + 2.0 * (1.0 - b) / l * (0.5 * l * a).sin(), slope + (1.0 - b) * (0.5 * l * a).cos())
            }
            4 => two_roots(0.001, 0.001),
            5 => two_roots(0.01, 0.001),
            _ => two_roots(0.001, 0.01),
        }
    }

    #[test]
    fn steps_hold_the_wolfe_conditions_on_the_functions_of_more_and_thuente() {
        for number in 1..=6 {
            let (value, slope) = more_thuente(number, 0.0);
            let from = Point { x: vec![0.0], value, gradient: vec![slope], extra: () };
            for first in [1e-3, 1e-1, 1e1, 1e3] {
                let mut trials = 0;
                let mut evaluate = |x: &[f64], gradient: &mut [f64]| {
                    trials += 1;
                    let (value, slope) = more_thuente(number, x[0]);
                    gradient[0] = slope;
                    Ok((value, ()))
                };
                let found = line_search(&from, &[1.0], first, 0.0, &mut evaluate).unwrap();
                let (at, step) = found.unwrap_or_else(|| panic!("no step on function {number} from {first}"));
                assert_eq!(at.x[0], step);
                let wolfe = at.value <= value + DECREASE * step * slope;
                let approximate = at.value <= value && at.gradient[0] <= (2.0 * DECREASE - 1.0) * slope;
                assert!(wolfe || approximate, "function {number} from {first}: step {step}");
                assert!(at.gradient[0] >= CURVATURE * slope, "function {number} from {first}: step {step}");
                assert!(trials <= 15, "function {number} from {first}: {trials} trials");
            }
        }
    }
}
