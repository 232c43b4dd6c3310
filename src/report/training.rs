//! How a fine-tuning went.

use maud::{Markup, html};
use plotters::prelude::*;

use super::chart::{chart, plane};
use super::ink::{Ink, RIGHT, WRONG};
use crate::error::Result;
use crate::tune::Epoch;

/// A loss of an epoch.
type Of = fn(&Epoch) -> Option<f64>;

/// Loss by epoch, of a history of which the first is the state before.
pub(super) fn training(history: &[Epoch]) -> Result<Option<Markup>> {
    let Some(best) = (0..history.len()).min_by(|&a, &b| history[a].held_out_loss.total_cmp(&history[b].held_out_loss))
    else {
        return Ok(None);
    };
    let points = |of: Of| history.iter().enumerate().filter_map(move |(epoch, state)| Some((epoch as f64, of(state)?)));
    let lines: [(Of, Ink); 2] = [(|epoch| epoch.training_loss, WRONG), (|epoch| Some(epoch.held_out_loss), RIGHT)];
    let greatest = lines.iter().flat_map(|(of, _)| points(*of)).map(|(_, loss)| loss).fold(1e-9, f64::max);
    let drawn = chart((680, 380), "Loss by epoch", |area| {
        let last = history.len().max(2) - 1;
        let ranges = (0.0..last as f64, 0.0..1.05 * greatest);
        let mut chart = plane(area, ranges, ["epoch", "loss"], ([history.len().min(11), 10], 0))?;
        for (of, ink) in lines {
            chart.draw_series(LineSeries::new(points(of), ink.color().stroke_width(2)))?;
            chart.draw_series(points(of).map(|at| Circle::new(at, 3, ink.color().filled())))?;
        }
        let at = (best as f64, history[best].held_out_loss);
        chart.draw_series([Circle::new(at, 7, RIGHT.color().stroke_width(2))])?;
        Ok(())
    })?;
    let named = |ink: Ink, name: &str| html! { strong style=(format!("color:{}", ink.variable())) { (name) } };
    let Epoch { held_out_loss, temperature, held_out_accuracy, .. } = history[best];
    Ok(Some(html! { section #training {
       h2 { "Training" }
       p .note {
           "Mean cross-entropy of each epoch in " (named(WRONG, "training")) ", and on the " (named(RIGHT, "validation rows"))
           " after it, there of the averaged weights and of logits divided by the temperature, of 1 or more, at which it is least; epoch 0 is the probe. Least after epoch " (best) " (circled): loss "
           (format!("{held_out_loss:.4}")) " at a temperature of " (format!("{temperature:.2}")) ", accuracy " (format!("{:.1} %", 100.0 * held_out_accuracy)) "."
       }
       (drawn)
    } }))
}
