//! How far the probabilities can be believed.

use maud::{Markup, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::chart::{chart, text};
use super::ink::{GRID, RIGHT, TEXT};
use crate::error::Result;
use crate::eval::Report;

pub(super) fn reliability(report: &Report) -> Result<Markup> {
    let bins = || report.reliability.iter().filter_map(|b| Some((b, b.confidence?, b.accuracy?)));
    let most = report.reliability.iter().map(|b| b.count).fold(1.0, f64::max);
    let drawn = chart((520, 480), "Reliability diagram", |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
        let style = text(TEXT, 12, HPos::Center, VPos::Top);
        chart
            .configure_mesh()
            .x_labels(6)
            .y_labels(6)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.color())
            .axis_style(TEXT.color())
            .label_style(style.clone())
            .x_desc("mean probability of the predicted class")
            .y_desc("share that is right")
            .axis_desc_style(style)
            .draw()?;
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
