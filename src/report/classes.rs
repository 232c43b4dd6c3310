//! Scores of each class.

use maud::{Markup, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::chart::{chart, name, shorten, text};
use super::ink::{GRID, RIGHT, TEXT};
use crate::error::Result;
use crate::eval::{ClassReport, Report};

/// Bars that are drawn; all classes are in the table.
const MOST_BARS: usize = 40;
/// As many as are unfolded at once.
const MOST_OPEN: usize = 15;

pub(super) fn classes(report: &Report) -> Result<Markup> {
    let mut order: Vec<&ClassReport> = report.per_class.iter().collect();
    order.sort_by(|a, b| a.f1.total_cmp(&b.f1));
    Ok(html! {
        section #classes {
            h2 { "Classes" }
            p .note {
                "F1 of each class, the worst first"
                @if order.len() > MOST_BARS { "; the " (MOST_BARS) " worst of " (order.len()) }
                "."
            }
            (bars(&order[..order.len().min(MOST_BARS)])?)
            details open[order.len() <= MOST_OPEN] {
                summary { "All " (order.len()) " classes" }
                table {
                    thead { tr { th { "class" } th .n { "precision" } th .n { "recall" } th .n { "F1" } th .n { "rows" } } }
                    tbody {
                        @for class in &report.per_class {
                            tr {
                                td { (name(&class.label)) }
                                @for score in [class.precision, class.recall, class.f1] { td .n { (format!("{score:.3}")) } }
                                td .n { (class.support) }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn bars(classes: &[&ClassReport]) -> Result<Markup> {
    const LEFT: i32 = 190;
    const WIDTH: i32 = 460;
    const ROW: i32 = 24;
    let height = ROW * classes.len() as i32;
    chart(((LEFT + WIDTH + 60) as u32, (height + 24) as u32), "F1 of each class", |area| {
        for quarter in 0..=4 {
            let x = LEFT + WIDTH * quarter / 4;
            area.draw(&PathElement::new([(x, 0), (x, height)], GRID.color()))?;
            let style = text(TEXT, 11, HPos::Center, VPos::Top);
            area.draw(&Text::new(format!("{:.2}", f64::from(quarter) / 4.0), (x, height + 6), style))?;
        }
        for (i, class) in classes.iter().enumerate() {
            let (top, end) = (ROW * i as i32 + 4, LEFT + (f64::from(WIDTH) * class.f1).round() as i32);
            let middle = top + 8;
            let style = text(TEXT, 13, HPos::Right, VPos::Center);
            area.draw(&Text::new(shorten(&class.label, 26), (LEFT - 8, middle), style))?;
            area.draw(&Rectangle::new([(LEFT, top), (end, top + 16)], RIGHT.color().filled()))?;
            let value = text(TEXT, 12, HPos::Left, VPos::Center);
            area.draw(&Text::new(format!("{:.3}", class.f1), (end + 6, middle), value))?;
        }
        Ok(())
    })
}
