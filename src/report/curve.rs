//! What more labels brought.

use maud::{Markup, html};
use plotters::prelude::*;

use super::chart::{chart, plane};
use super::ink::RIGHT;
use super::page::CurvePoint;
use crate::error::Result;

pub(super) fn curve(points: &[CurvePoint]) -> Result<Option<Markup>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(None) };
    let from = first.rows.max(1) as f64 / 1.3;
    let to = last.rows.max(1) as f64 * 1.3;
    let drawn = chart((680, 380), "Learning curve", |area| {
        let ranges = ((from..to).log_scale(), 0.0..1.0);
        let mut chart = plane(area, ranges, ["labelled rows", "accuracy"], ([10, 10], 0))?;
        let at = |p: &CurvePoint| (p.rows.max(1) as f64, p.accuracy);
        let intervals = points.iter().filter_map(|p| p.interval.map(|[low, high]| (p.rows.max(1) as f64, low, high)));
        chart.draw_series(
            intervals.map(|(x, low, high)| PathElement::new([(x, low), (x, high)], RIGHT.color().stroke_width(2))),
        )?;
        chart.draw_series(LineSeries::new(points.iter().map(at), RIGHT.color().stroke_width(2)))?;
        chart.draw_series(points.iter().map(|p| Circle::new(at(p), 4, RIGHT.color().filled())))?;
        Ok(())
    })?;
    Ok(Some(html! { section #curve {
       h2 { "Learning curve" }
       p .note {
           "Heads of the model's kind with the default settings, fitted to so many rows of each class, drawn several times, and "
           "to all training rows, on the rows of this page; the bars are 95 % intervals."
       }
       (drawn)
    } }))
}
