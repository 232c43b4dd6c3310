//! The embeddings on a plane, with what each point is under the pointer.

use maud::{Markup, PreEscaped, html};
use serde_json::json;

use super::EmbeddingMap;
use super::Preview;
use super::chart::{percent, shorten};
use super::ink::{CLASSES, RIGHT, WRONG};
use super::page::Page;
use super::plane::{Dot, choice, legend, pixels, plane, planes};
use crate::error::Result;

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
            @if few { (legend(page.report.labels.iter().map(String::as_str))) }
            @if drawn_tsne.is_some() { (choice()) }
            (planes(drawn_tsne.as_ref(), &drawn_pca))
            div #tip hidden {}
            script type="application/json" id="points" { (PreEscaped(data)) }
        }
    })
}

/// The points of an evaluation.
fn points(page: &Page, map: &EmbeddingMap, at: &[(i32, i32)], few: bool) -> Result<Markup> {
    let dots = map.rows.iter().filter_map(|&row| page.rows.get(row)).map(|row| {
        let wrong = row.label != row.predicted;
        let ink = match few {
            true => CLASSES[row.label % CLASSES.len()],
            false if wrong => WRONG,
            false => RIGHT,
        };
        Dot { ink, ring: wrong }
    });
    plane(at, &dots.collect::<Vec<_>>())
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
