//! The steps of training: AdamW with rates of its own for each weight, clipped gradients, and a pull to where it started.

use rayon::prelude::*;

use super::array::Array;
use super::broadcast::PIECE;
use super::program::{Leaf, Program};
use super::roles::Role;
use crate::head::{AdamW, Moments};

/// How one weight is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// What the learning rate of the moment is multiplied with.
    pub rate: f64,
    /// The share of itself, times the rate, that a weight loses with each step.
    pub weight_decay: f64,
    /// How strongly it is pulled to where it started: `strength · (w − w₀)` is added to its gradient, that of
    /// `strength/2 · ‖w − w₀‖²` (L2-SP; Li, Grandvalet & Davoine 2018).
    pub pull: f64,
    /// Epochs in which it stays as it is before it is trained too (gradual unfreezing; Howard & Ruder 2018).
    pub frozen_epochs: usize,
}

impl Pace {
    /// Decay for matrices and filters alone, as [`Role::decays`] has it; trained from the first epoch on.
    pub fn of(role: Role, weight_decay: f64, pull: f64) -> Self {
        Self { rate: 1.0, weight_decay: if role.decays() { weight_decay } else { 0.0 }, pull, frozen_epochs: 0 }
    }
}

/// AdamW over the leaves of a program.
#[derive(Debug, Clone)]
pub struct Optimiser {
    paces: Vec<Pace>,
    steps_an_epoch: i32,
    /// Where each weight started, if it is pulled there.
    starts: Vec<Option<Array<f32>>>,
    moments: Vec<Vec<Moments>>,
    steps: i32,
}

impl Optimiser {
    /// With one pace for each leaf of `program`, in their order. What has none, or is an input, stays as it is. Of an epoch it is
    /// only known how many steps it has.
    pub fn new(program: &Program<f32>, paces: Vec<Pace>, steps_an_epoch: usize) -> Self {
        let start = |(leaf, pace): (&Leaf<f32>, &Pace)| leaf.values().filter(|_| pace.pull != 0.0).cloned();
        let moments =
            |leaf: &Leaf<f32>| vec![Moments::default(); leaf.values().map_or(0, |values| values.values().len())];
        Self {
            starts: program.leaves().iter().zip(&paces).map(start).collect(),
            moments: program.leaves().iter().map(moments).collect(),
            paces,
            steps_an_epoch: i32::try_from(steps_an_epoch).unwrap_or(i32::MAX),
            steps: 0,
        }
    }

    /// How many steps were taken.
    pub fn steps(&self) -> i32 {
        self.steps
    }

    /// How many steps each weight has taken: fewer than all where it began later.
    pub(super) fn steps_of_each(&self) -> impl Iterator<Item = i32> {
        self.paces.iter().map(|pace| self.own_steps(pace, self.steps).unwrap_or(0))
    }

    pub(super) fn moments(&self) -> &[Vec<Moments>] {
        &self.moments
    }

    /// Goes on from where another was.
    pub(super) fn restore(&mut self, moments: Vec<Vec<Moments>>, steps: i32) {
        (self.moments, self.steps) = (moments, steps);
    }

    /// The pace of each leaf, to be changed: a rate of 0 freezes one.
    pub fn paces_mut(&mut self) -> &mut [Pace] {
        &mut self.paces
    }

    /// How many steps a weight has taken when all have taken so many; none of one that is frozen.
    fn own_steps(&self, pace: &Pace, steps: i32) -> Option<i32> {
        let frozen = i32::try_from(pace.frozen_epochs).unwrap_or(i32::MAX).saturating_mul(self.steps_an_epoch);
        Some(steps - frozen).filter(|&own| own > 0 && pace.rate != 0.0)
    }

    /// Makes the gradients zero of what the next step leaves as it is, so that they count for nothing where all are cut together.
    pub fn withhold(&self, gradients: &mut [Array<f32>]) {
        for (gradient, pace) in gradients.iter_mut().zip(&self.paces) {
            if self.own_steps(pace, self.steps + 1).is_none() {
                gradient.values_mut().fill(0.0);
            }
        }
    }

    /// One step of size `rate` against the gradients, which are those of [`Program::backward`].
    pub fn step(&mut self, program: &mut Program<f32>, gradients: &[Array<f32>], rate: f64) {
        self.steps += 1;
        let own: Vec<Option<i32>> = self.paces.iter().map(|pace| self.own_steps(pace, self.steps)).collect();
        let leaves = program.leaves_mut().iter_mut().zip(gradients);
        for (((leaf, gradient), (pace, own)), (moments, start)) in
            leaves.zip(self.paces.iter().zip(own)).zip(self.moments.iter_mut().zip(&self.starts))
        {
            let (Some(values), Some(own)) = (leaf.values_mut(), own) else { continue };
            let step = AdamW::step(own, rate * pace.rate);
            let values = values.values_mut().par_chunks_mut(PIECE).zip(gradient.values().par_chunks(PIECE));
            values.zip(moments.par_chunks_mut(PIECE)).enumerate().for_each(
                |(piece, ((values, gradients), moments))| {
                    let start = start.as_ref().map(|start| &start.values()[piece * PIECE..]);
                    for (i, ((value, gradient), moments)) in values.iter_mut().zip(gradients).zip(moments).enumerate() {
                        let away = start.map_or(0.0, |start| *value - start[i]);
                        *value = step.moved(*value, *gradient + pace.pull as f32 * away, moments, pace.weight_decay);
                    }
                },
            );
        }
    }
}

/// Scales gradients so that they are no longer than `limit` together, and returns how long they were, as PyTorch's `clip_grad_norm_`
/// does.
pub fn clip(gradients: &mut [Array<f32>], limit: f64) -> f64 {
    let square = |gradient: &Array<f32>| gradient.values().iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let length = gradients.iter().map(square).sum::<f64>().sqrt();
    let factor = limit / (length + 1e-6);
    if factor < 1.0 {
        for gradient in gradients {
            gradient.values_mut().iter_mut().for_each(|g| *g *= factor as f32);
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::onnx::{GraphBuilder, view};

    /// `y = x·w` with `w` = 1, −2.
    fn program() -> Program<f32> {
        let mut graph = GraphBuilder::new("g");
        graph.tensor_f32("w", &[2, 1], &[1.0, -2.0]);
        graph.node("MatMul", &["x", "w"], "y", vec![]);
        Program::compile(&view(&graph.finish()), &["x"], &["y"], &["w"], "m").unwrap()
    }

    fn weights(program: &Program<f32>) -> Vec<f32> {
        program.leaves()[0].values().unwrap().values().to_vec()
    }

    fn pace(rate: f64, weight_decay: f64, pull: f64) -> Vec<Pace> {
        vec![Pace { rate, weight_decay, pull, frozen_epochs: 0 }]
    }

    #[test]
    fn a_steady_gradient_moves_by_the_rate() {
        let mut program = program();
        let mut optimiser = Optimiser::new(&program, pace(0.5, 0.1, 0.0), 1);
        let gradients = [Array::new(vec![2, 1], vec![3.0, -0.01]).unwrap()];
        let mut want = [1.0_f64, -2.0];
        for _ in 0..5 {
            optimiser.step(&mut program, &gradients, 0.02);
            // Both moments, corrected, are the gradient and its square at every step.
            want = [want[0] * 0.999 - 0.01, want[1] * 0.999 + 0.01];
        }
        assert_close(weights(&program), want, Tolerance::Within(1e-6));
        optimiser.paces_mut()[0].rate = 0.0;
        optimiser.step(&mut program, &gradients, 0.02);
        assert_close(weights(&program), want, Tolerance::Within(1e-6));
    }

    #[test]
    fn what_was_moved_away_is_pulled_back() {
        let mut program = program();
        let mut optimiser = Optimiser::new(&program, pace(1.0, 0.0, 0.3), 1);
        program.leaves_mut()[0].values_mut().unwrap().values_mut()[0] = 1.5;
        let none = [Array::new(vec![2, 1], vec![0.0, 0.0]).unwrap()];
        optimiser.step(&mut program, &none, 0.01);
        assert_close(weights(&program), [1.49_f32, -2.0], Tolerance::Within(1e-6));
    }

    #[test]
    fn what_is_frozen_begins_later_as_if_it_were_the_first_step() {
        let mut program = program();
        let late = vec![Pace { frozen_epochs: 2, ..pace(1.0, 0.5, 0.0)[0] }];
        let mut optimiser = Optimiser::new(&program, late, 3);
        let gradients = || [Array::new(vec![2, 1], vec![3.0, -0.01]).unwrap()];
        for _ in 0..6 {
            let mut withheld = gradients();
            optimiser.withhold(&mut withheld);
            assert_eq!(withheld[0].values(), [0.0, 0.0]);
            optimiser.step(&mut program, &gradients(), 0.02);
        }
        assert_eq!(weights(&program), [1.0, -2.0]);
        let mut wanted = gradients();
        optimiser.withhold(&mut wanted);
        assert_eq!(wanted, gradients());
        optimiser.step(&mut program, &wanted, 0.02);
        assert_close(weights(&program), [0.99 - 0.02, -1.98 + 0.02_f32], Tolerance::Within(1e-6));
    }

    #[test]
    fn long_gradients_are_cut_together() {
        let mut gradients = [Array::list(vec![3.0_f32]), Array::list(vec![0.0, 4.0])];
        assert_close([clip(&mut gradients, 10.0)], [5.0], Tolerance::Close);
        assert_eq!(gradients[1].values(), [0.0, 4.0]);
        assert_close([clip(&mut gradients, 1.0)], [5.0], Tolerance::Close);
        assert_close([gradients[0].values()[0], gradients[1].values()[1]], [0.6_f32, 0.8], Tolerance::Approximate);
    }
}
