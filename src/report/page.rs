//! The page as a whole.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::chart::shorten;
use super::{EmbeddingMap, Figure, Preview};
use super::{classes, confusion, curve, headline, ink, map, mistakes, provenance, reliability, training};
use crate::error::{Error, Result};
use crate::eval::{Interval, Report};
use crate::tune::Epoch;

/// All that a page shows.
#[derive(Debug, Clone)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// The command that makes the page again.
    pub command: String,
    /// The evaluation.
    pub report: Report,
    /// What sums it up, those that matter most first.
    pub figures: Vec<Figure>,
    /// What is known of the model and the features, by name.
    pub facts: Vec<(String, String)>,
    /// Accuracy by the number of labelled rows, ascending; empty for no learning curve.
    pub curve: Vec<CurvePoint>,
    /// Of a model that was fine-tuned the state before, then each epoch; empty for another.
    pub training: Vec<Epoch>,
    /// The rows that were evaluated, as many as the report's `n`.
    pub rows: Vec<Row>,
    /// Pictures and texts of some rows, by index.
    pub previews: HashMap<usize, Preview>,
    /// Where the rows lie, its indices those of `rows`.
    pub map: Option<EmbeddingMap>,
}

/// One evaluated row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Index of its true class.
    pub label: usize,
    /// Index of the likeliest class.
    pub predicted: usize,
    /// Probability of the predicted class, 0..=1.
    pub confidence: f32,
    /// Probability of the true class, 0..=1.
    pub label_probability: f32,
}

/// A point of the learning curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// Labelled rows that were trained on.
    pub rows: usize,
    /// Accuracy, 0..=1.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
}

const SCRIPT: &str = include_str!("page.js");

/// The page as HTML. Names, ids and texts are escaped; it loads nothing and its policy lets no other script run.
///
/// # Errors
/// [`Error::Data`] when the rows are not as many as the report's or of classes that it does not have, or a chart cannot
/// be drawn.
pub fn render(page: &Page) -> Result<String> {
    check(page)?;
    Ok(shell(
        &page.title,
        html! {
            (headline::headline(&page.report, &page.figures))
            (confusion::confusion(&page.report)?)
            (classes::classes(&page.report)?)
            (reliability::reliability(&page.report)?)
            @if let Some(curve) = curve::curve(&page.curve)? { (curve) }
            @if let Some(training) = training::training(&page.training)? { (training) }
        @if let Some(map) = &page.map { (map::map(page, map)?) }
            (mistakes::mistakes(page))
            (provenance::provenance(&page.command, &page.facts))
        },
    ))
}

/// A page with these sections.
pub(super) fn shell(title: &str, sections: Markup) -> String {
    let digest = BASE64_STANDARD.encode(Sha256::digest(SCRIPT));
    let policy = format!("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'");
    let title = shorten(title, 200);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(concat!("engraft ", env!("CARGO_PKG_VERSION")));
                title { (title) }
                style { (PreEscaped(ink::style_sheet())) (PreEscaped(include_str!("page.css"))) }
            }
            body {
                main {
                    h1 dir="auto" { (title) }
                    (sections)
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

fn check(page: &Page) -> Result<()> {
    let (n, classes) = (page.report.n, page.report.labels.len());
    if page.rows.len() != n {
        return Err(Error::Data(format!("a report on {n} rows cannot show {}", page.rows.len())));
    }
    if let Some(i) = page.rows.iter().position(|row| row.label.max(row.predicted) >= classes) {
        return Err(Error::Data(format!("row {i} ({}) is of none of the {classes} classes", page.rows[i].id)));
    }
    match page.map.as_ref().and_then(|map| map.rows.iter().find(|&&row| row >= n)) {
        Some(row) => Err(Error::Data(format!("the map shows row {row} of {n}"))),
        None => Ok(()),
    }
}
