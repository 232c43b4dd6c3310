//! Points on a plane, and the choice between two planes of the same points.

use maud::{Markup, html};
use ndarray::Array2;
use plotters::prelude::*;

use super::chart::{chart, name};
use super::ink::{CLASSES, Ink};
use crate::error::Result;

const SIDE: (u32, u32) = (760, 560);
/// Points from which on they are drawn smaller.
const MANY: usize = 800;

/// How a point looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dot {
    pub(super) ink: Ink,
    /// A ring, not a disc.
    pub(super) ring: bool,
}

/// Where points lie on the chart.
pub(super) fn pixels(at: &Array2<f64>) -> Vec<(i32, i32)> {
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

/// The points as a chart; rings last, so that none is hidden.
pub(super) fn plane(at: &[(i32, i32)], dots: &[Dot]) -> Result<Markup> {
    let radius = if dots.len() > MANY { 3 } else { 4 };
    chart(SIDE, "Map of the embeddings", |area| {
        for rings in [false, true] {
            for (Dot { ink, ring }, &at) in dots.iter().zip(at).filter(|(dot, _)| dot.ring == rings) {
                let style = if *ring { ink.color().stroke_width(2) } else { ink.color().mix(0.75).filled() };
                area.draw(&Circle::new(at, radius + i32::from(*ring), style))?;
            }
        }
        Ok(())
    })
}

/// What the colours of the first classes mean.
pub(super) fn legend<'a>(labels: impl Iterator<Item = &'a str>) -> Markup {
    html! {
        p .legend {
            @for (label, ink) in labels.zip(CLASSES) { span { i style={ "background:" (ink.variable()) } {} (name(label)) } }
        }
    }
}

/// The switch between t-SNE and PCA for all planes of the section `map`.
pub(super) fn choice() -> Markup {
    html! {
        p .choice {
            label { input type="radio" name="map" value="tsne" id="as-tsne" checked; " t-SNE" }
            label { input type="radio" name="map" value="pca" id="as-pca"; " PCA" }
        }
    }
}

/// Both planes of the same points, of which one is shown.
pub(super) fn planes(tsne: Option<&Markup>, pca: &Markup) -> Markup {
    html! {
        @if let Some(drawn) = tsne { div .plane data-map="tsne" { (drawn) } }
        div .plane data-map="pca" { (pca) }
    }
}
