//! The embeddings on a plane, with what each point is under the pointer.

use maud::{Markup, PreEscaped, html};
use ndarray::Array2;
use plotters::prelude::*;
use serde_json::json;

use super::EmbeddingMap;
use super::Preview;
use super::chart::{chart, name, percent, shorten};
use super::ink::{CLASSES, RIGHT, WRONG};
use super::page::Page;
use crate::error::Result;

const SIDE: (u32, u32) = (760, 560);

pub(super) fn map(page: &Page, map: &EmbeddingMap) -> Result<Markup> {
    let few = page.report.labels.len() <= CLASSES.len();
    let pca = pixels(&map.pca);
    let tsne = map.tsne.as_ref().map(pixels);
    let drawn_pca = points(page, map, &pca, few)?;
    let drawn_tsne = tsne.as_ref().map(|at| points(page, map, at, few)).transpose()?;
    let data = data(page, map, &pca, tsne.as_deref());
    let shown = map.rows.iter().filter(|row| page.previews.contains_key(row)).count();
    Ok(html! {
        section #map {
            h2 { "Map of the embeddings" }
            p .note {
                (map.rows.len())
                @if map.rows.len() < map.of { " rows, drawn at random from " (map.of) }
                @else { " rows" }
                @if few { ", coloured by their true class; the misclassified are rings." }
                @else { ", blue where the prediction is right, red rings where it is wrong." }
                @if page.previews.is_empty() { "" }
                @else if shown < map.rows.len() { " " (shown) " of them show their sample under the pointer." }
                @else { " The sample shows under the pointer." }
                " PCA's two axes hold " (format!("{:.0} %", 100.0 * map.explained)) " of the variance; in t-SNE only nearness has a meaning."
            }
            @if few {
                p .legend {
                    @for (label, ink) in page.report.labels.iter().zip(CLASSES) {
                        span { i style={ "background:" (ink.variable()) } {} (name(label)) }
                    }
                }
            }
            @if drawn_tsne.is_some() {
                p .choice {
                    label { input type="radio" name="map" value="tsne" id="as-tsne" checked; " t-SNE" }
                    label { input type="radio" name="map" value="pca" id="as-pca"; " PCA" }
                }
            }
            @if let Some(drawn) = &drawn_tsne { div .plane data-map="tsne" { (drawn) } }
            div .plane data-map="pca" { (drawn_pca) }
            div #tip hidden {}
            script type="application/json" id="points" { (PreEscaped(data)) }
        }
    })
}

/// Where points lie on the chart.
fn pixels(at: &Array2<f64>) -> Vec<(i32, i32)> {
    const MARGIN: f64 = 14.0;
    let range = |k: usize| {
        let ends = at.column(k).iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        (ends.0, (ends.1 - ends.0).max(f64::MIN_POSITIVE))
    };
    let place = |value: f64, (low, width): (f64, f64), size: u32| {
        (MARGIN + (value - low) / width * (f64::from(size) - 2.0 * MARGIN)).round() as i32
    };
    let (x, y) = (range(0), range(1));
    at.outer_iter().map(|row| (place(row[0], x, SIDE.0), SIDE.1 as i32 - place(row[1], y, SIDE.1))).collect()
}

fn points(page: &Page, map: &EmbeddingMap, at: &[(i32, i32)], few: bool) -> Result<Markup> {
    let radius = if map.rows.len() > 800 { 3 } else { 4 };
    chart(SIDE, "Map of the embeddings", |area| {
        // The misclassified last, so that none is hidden.
        for wrong in [false, true] {
            for (&row, &at) in map.rows.iter().zip(at) {
                let Some(row) = page.rows.get(row).filter(|row| (row.label != row.predicted) == wrong) else {
                    continue;
                };
                let ink = match few {
                    true => CLASSES[row.label % CLASSES.len()],
                    false if wrong => WRONG,
                    false => RIGHT,
                };
                let style = if wrong { ink.color().stroke_width(2) } else { ink.color().mix(0.75).filled() };
                area.draw(&Circle::new(at, radius + i32::from(wrong), style))?;
            }
        }
        Ok(())
    })
}

/// What the script needs, as JSON that cannot end its element.
fn data(page: &Page, map: &EmbeddingMap, pca: &[(i32, i32)], tsne: Option<&[(i32, i32)]>) -> String {
    let points = map.rows.iter().filter_map(|&i| {
        let row = page.rows.get(i)?;
        let (picture, text) = match page.previews.get(&i) {
            Some(Preview::Picture(uri)) => (Some(uri.as_str()), None),
            Some(Preview::Text(text)) => (None, Some(shorten(text, 280))),
            None => (None, None),
        };
        Some(json!([shorten(&row.id, 160), row.label, row.predicted, percent(row.confidence), picture, text]))
    });
    let data = json!({
        "labels": page.report.labels.iter().map(|label| shorten(label, 80)).collect::<Vec<_>>(),
        "points": points.collect::<Vec<_>>(),
        "at": { "pca": pca, "tsne": tsne },
    });
    data.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}
