//! The figures, the accuracy before all.

use maud::{Markup, html};

use super::Figure;
use crate::eval::Report;

pub(super) fn headline(report: &Report, figures: &[Figure]) -> Markup {
    let [low, high] = report.accuracy_interval.map(|x| 100.0 * x);
    html! {
        section #headline {
            p .hero { strong { (format!("{:.1} %", 100.0 * report.accuracy)) } " accuracy" }
            p { "95 % interval " (format!("{low:.1} to {high:.1} %")) ", on " (report.n) " rows of " (report.labels.len()) " classes" }
            table {
                thead { tr { th { "figure" } th .n { "value" } th .n { "95 % interval" } } }
                tbody {
                    @for figure in figures {
                        tr {
                            td { (figure.name) }
                            td .n { (format!("{:.4}", figure.value)) }
                            td .n { @if let Some([low, high]) = figure.interval { (format!("{low:.4} – {high:.4}")) } }
                        }
                    }
                }
            }
        }
    }
}
