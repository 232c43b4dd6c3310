//! SVG by plotters.

use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ink::Ink;
use crate::error::{Error, Result};

/// Where charts are drawn.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A chart of this size in pixels. `label` says what it shows to those who do not see it.
///
/// # Errors
/// [`Error::Data`] when plotters refuses.
pub(super) fn chart(
    size: (u32, u32),
    label: &str,
    draw: impl FnOnce(&Area<'_>) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<Markup> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)
            .and_then(|()| Ok(area.present()?))
            .map_err(|e| Error::Data(format!("cannot draw the chart ({label}): {e}")))?;
    }
    Ok(html! { div .chart role="img" aria-label=(label) { (PreEscaped(svg)) } })
}

/// Text of `size` pixels in `ink`, its anchor at the given sides.
pub(super) fn text(ink: Ink, size: u32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&ink.color()).pos(Pos::new(horizontal, vertical))
}

/// A name of at most about `most` letters' width, its end left out.
pub(super) fn shorten(name: &str, most: usize) -> String {
    // East Asian letters and emoji are about twice as wide.
    let width = |c: char| if c >= '\u{1100}' { 2 } else { 1 };
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if name.chars().map(width).sum::<usize>() <= most {
        return name;
    }
    let mut left = most.saturating_sub(1);
    let kept = name.chars().take_while(|&c| {
        let fits = width(c) <= left;
        left = left.saturating_sub(width(c));
        fits
    });
    kept.chain(['…']).collect()
}
