//! How far the probabilities can be believed.

use maud::{Markup, html};
use plotters::prelude::*;

use super::chart::{chart, plane};
use super::ink::{RIGHT, TEXT};
use crate::error::Result;
use crate::eval::Report;

pub(super) fn reliability(report: &Report) -> Result<Markup> {
    let bins = || report.reliability.iter().filter_map(|b| Some((b, b.confidence?, b.accuracy?)));
    let most = report.reliability.iter().map(|b| b.count).fold(1.0, f64::max);
    let drawn = chart((520, 480), "Reliability diagram", |area| {
        let names = ["mean probability of the predicted class", "share that is right"];
        let mut chart = plane(area, (0.0..1.0, 0.0..1.0), names, ([6, 6], 1))?;
        // How many rows a bin has: a strip at the foot, a fifth of the height at most.
        chart.draw_series(report.reliability.iter().map(|b| {
            let corners = [(b.lower + 0.004, 0.0), (b.upper - 0.004, 0.2 * b.count / most)];
            Rectangle::new(corners, RIGHT.color().mix(0.25).filled())
        }))?;
        chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 1.0)], TEXT.color().mix(0.5))])?;
        chart.draw_series(LineSeries::new(bins().map(|(_, x, y)| (x, y)), RIGHT.color().stroke_width(2)))?;
        chart.draw_series(bins().map(|(_, x, y)| Circle::new((x, y), 4, RIGHT.color().filled())))?;
        Ok(())
    })?;
    Ok(html! {
        section #reliability {
            h2 { "Reliability" }
            p .note {
                "On the diagonal a probability of 80 % is right in 80 % of the rows; below it, it promises too much. The bars "
                "at the foot are the rows of each bin. Expected calibration error " (format!("{:.3}", report.ece)) "."
            }
            (drawn)
        }
    })
}
