//! What more labels brought.

use maud::{Markup, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::chart::{chart, text};
use super::ink::{GRID, RIGHT, TEXT};
use super::page::CurvePoint;
use crate::error::Result;

pub(super) fn curve(points: &[CurvePoint]) -> Result<Option<Markup>> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Ok(None) };
    let from = first.rows.max(1) as f64 / 1.3;
    let to = last.rows.max(1) as f64 * 1.3;
    let drawn = chart((680, 380), "Learning curve", |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d((from..to).log_scale(), 0.0..1.0)?;
        let style = text(TEXT, 12, HPos::Center, VPos::Top);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.color())
            .axis_style(TEXT.color())
            .label_style(style.clone())
            .x_desc("labelled rows")
            .y_desc("accuracy")
            .axis_desc_style(style)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .draw()?;
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
