//! Weights averaged over the steps of training.

use rayon::prelude::*;

use super::broadcast::PIECE;
use super::program::{Leaf, Program};

/// An exponential moving average of a program's weights (Polyak & Juditsky 1992; as networks are averaged, Izmailov et al. 2018): single
/// steps of a network that learns from few rows go far astray, and their mean does not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Average {
    /// Of each leaf; none of an input.
    weights: Vec<Vec<f32>>,
    /// What the newest weights count for at least.
    share: f64,
}

impl Average {
    /// Begins with the weights as they are, and remembers about so many steps.
    pub(super) fn new(program: &Program<f32>, steps: f64) -> Self {
        Self { weights: values(program), share: 1.0 / steps.max(1.0) }
    }

    pub(super) fn weights(&self) -> &[Vec<f32>] {
        &self.weights
    }

    /// Goes on from where another was.
    pub(super) fn restore(&mut self, weights: Vec<Vec<f32>>) {
        self.weights = weights;
    }

    /// Counts in the weights, each of which has taken so many steps: at first all alike, those of the beginning too.
    pub(super) fn take(&mut self, program: &Program<f32>, steps: impl Iterator<Item = i32>) {
        for ((average, leaf), steps) in self.weights.iter_mut().zip(program.leaves()).zip(steps) {
            let Some(newest) = leaf.values() else { continue };
            let share = self.share.max(1.0 / (f64::from(steps) + 1.0)) as f32;
            let pieces = average.par_chunks_mut(PIECE).zip(newest.values().par_chunks(PIECE));
            pieces.for_each(|(average, newest)| {
                average.iter_mut().zip(newest).for_each(|(a, w)| *a = (1.0 - share) * *a + share * w)
            });
        }
    }

    /// Exchanges the average and the weights of the program.
    pub(super) fn exchange(&mut self, program: &mut Program<f32>) {
        for (average, leaf) in self.weights.iter_mut().zip(program.leaves_mut()) {
            if let Some(values) = leaf.values_mut() {
                values.values_mut().swap_with_slice(average);
            }
        }
    }
}

/// The weights of each leaf; none of an input.
pub(super) fn values(program: &Program<f32>) -> Vec<Vec<f32>> {
    let of = |leaf: &Leaf<f32>| leaf.values().map_or_else(Vec::new, |values| values.values().to_vec());
    program.leaves().iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::onnx::{GraphBuilder, view};

    #[test]
    fn it_is_the_mean_at_first_and_forgets_later() {
        let mut graph = GraphBuilder::new("g");
        graph.tensor_f32("w", &[1, 1], &[1.0]);
        graph.node("MatMul", &["x", "w"], "y", vec![]);
        let mut program = Program::compile(&view(&graph.finish()), &["x"], &["y"], &["w"], "m").unwrap();
        let mut average = Average::new(&program, 4.0);
        let mut want = 1.0;
        for (step, weight) in [4.0_f32, 7.0, 2.0, 6.0, -1.0].into_iter().enumerate() {
            program.leaves_mut()[0].values_mut().unwrap().values_mut()[0] = weight;
            average.take(&program, [step as i32 + 1].into_iter());
            want += (weight - want) * (1.0 / (step as f32 + 2.0)).max(0.25);
            if step == 2 {
                assert_close([average.weights()[0][0]], [3.5], Tolerance::Approximate);
            }
        }
        assert_close([average.weights()[0][0]], [want], Tolerance::Approximate);
        average.exchange(&mut program);
        assert_eq!((values(&program)[0][0], average.weights()[0][0]), (want, -1.0));
        let mut none = Average::new(&program, 0.0);
        program.leaves_mut()[0].values_mut().unwrap().values_mut()[0] = 1e-9;
        none.take(&program, [1].into_iter());
        assert_eq!(none.weights()[0], [1e-9]);
    }
}
