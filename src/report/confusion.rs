//! Who is taken for whom.

use maud::{Markup, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::chart::{chart, name, shorten, text};
use super::ink::{GRID, REVERSE, RIGHT, TEXT, WRONG};
use crate::error::Result;
use crate::eval::Report;

/// More classes make no matrix that can be read.
const MOST_CLASSES: usize = 30;
const MOST_PAIRS: usize = 40;

pub(super) fn confusion(report: &Report) -> Result<Markup> {
    let classes = report.labels.len();
    let mut pairs: Vec<(f64, usize, usize)> = Vec::new();
    for (truth, row) in report.confusion.iter().enumerate() {
        let wrong = row.iter().enumerate().filter(|&(predicted, &count)| predicted != truth && count > 0.0);
        pairs.extend(wrong.map(|(predicted, &count)| (count, truth, predicted)));
    }
    // Equal pairs stay in the order of their classes.
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let shown = if classes <= MOST_CLASSES { 10 } else { MOST_PAIRS };
    Ok(html! {
        section #confusion {
            h2 { "Confusion" }
            @if classes <= MOST_CLASSES {
                p .note { "Rows are true classes, columns predicted ones; the shade is the share of the row." }
                (matrix(report)?)
            }
            @if pairs.is_empty() { p { "No row is misclassified." } }
            @else {
                h3 { "Most confused pairs" }
                @if pairs.len() > shown { p .note { "The first " (shown) " of " (pairs.len()) "." } }
                table {
                    thead { tr { th { "true class" } th { "taken for" } th .n { "rows" } th .n { "of the class" } } }
                    tbody {
                        @for &(count, truth, predicted) in pairs.iter().take(shown) {
                            tr {
                                td { (name(&report.labels[truth])) }
                                td { (name(&report.labels[predicted])) }
                                td .n { (count) }
                                td .n { (format!("{:.1} %", 100.0 * share(count, &report.confusion[truth]))) }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn share(count: f64, row: &[f64]) -> f64 {
    let all: f64 = row.iter().sum();
    if all > 0.0 { count / all } else { 0.0 }
}

fn matrix(report: &Report) -> Result<Markup> {
    let classes = report.labels.len();
    let (left, top) = (170, 130);
    let cell = (560 / classes.max(1) as i32).clamp(18, 64);
    let side = cell * classes as i32;
    let font = (cell / 3).clamp(9, 14) as u32;
    let size = ((left + side + 60) as u32, (top + side + 10) as u32);
    chart(size, "Confusion matrix", |area| {
        let names = text(TEXT, 12, HPos::Right, VPos::Center);
        let upright = text(TEXT, 12, HPos::Left, VPos::Center).transform(FontTransform::Rotate270);
        for (i, (label, row)) in report.labels.iter().zip(&report.confusion).enumerate() {
            let start = cell * i as i32;
            let middle = start + cell / 2;
            area.draw(&Text::new(shorten(label, 24), (left - 8, top + middle), names.clone()))?;
            area.draw(&Text::new(shorten(label, 18), (left + middle, top - 8), upright.clone()))?;
            for (j, &count) in row.iter().enumerate() {
                let x = left + cell * j as i32;
                let corners = [(x, top + start), (x + cell, top + start + cell)];
                let share = share(count, row);
                let ink = if i == j { RIGHT } else { WRONG };
                if count > 0.0 {
                    area.draw(&Rectangle::new(corners, ink.color().mix(0.08 + 0.92 * share).filled()))?;
                    let ink = if share > 0.55 { REVERSE } else { TEXT };
                    let style = text(ink, font, HPos::Center, VPos::Center);
                    area.draw(&Text::new(count.to_string(), (x + cell / 2, top + middle), style))?;
                }
                area.draw(&Rectangle::new(corners, GRID.color().stroke_width(1)))?;
            }
        }
        Ok(())
    })
}
