//! How the learning rate goes: up in a line, then down along half a cosine.

use std::f64::consts::PI;

/// Warm-up, then a cosine (Loshchilov & Hutter 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Steps until the whole rate is reached.
    pub warm_up: usize,
    /// Steps in all; the rate after the last is 0.
    pub steps: usize,
}

impl Schedule {
    /// What the learning rate is multiplied with at `step`, counted from 0: `(step + 1)/(warm_up + 1)` at first, then
    /// `(1 + cos(π · (step − warm_up)/(steps − warm_up)))/2`.
    pub fn at(self, step: usize) -> f64 {
        if step < self.warm_up {
            return (step + 1) as f64 / (self.warm_up + 1) as f64;
        }
        let length = self.steps.saturating_sub(self.warm_up).max(1) as f64;
        0.5 * (1.0 + (PI * ((step - self.warm_up) as f64 / length).min(1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn it_rises_and_falls() {
        let schedule = Schedule { warm_up: 4, steps: 12 };
        let want = [0.2, 0.4, 0.6, 0.8, 1.0];
        assert_close((0..5).map(|step| schedule.at(step)), want, Tolerance::Close);
        assert_close([schedule.at(8), schedule.at(12), schedule.at(99)], [0.5, 0.0, 0.0], Tolerance::Close);
        assert_close([Schedule { warm_up: 0, steps: 0 }.at(0)], [1.0], Tolerance::Close);
    }
}
