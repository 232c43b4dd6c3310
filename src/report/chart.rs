//! SVG by plotters.

use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ink::{GRID, Ink, TEXT};
use crate::error::{Error, Result};

/// Where charts are drawn.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// What curves are drawn on.
type Plane<'a, 'b, X, Y> = ChartContext<
    'a,
    SVGBackend<'b>,
    Cartesian2d<<X as AsRangedCoord>::CoordDescType, <Y as AsRangedCoord>::CoordDescType>,
>;

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

/// A plane of these ranges, its axes drawn and named, with about so many `ticks` on each and numbers of so many `decimals` on the first.
pub(super) fn plane<'a, 'b, X, Y>(
    area: &'a Area<'b>,
    (x, y): (X, Y),
    [x_name, y_name]: [&str; 2],
    ([x_ticks, y_ticks], decimals): ([usize; 2], usize),
) -> Result<Plane<'a, 'b, X, Y>, Box<dyn std::error::Error>>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut plane = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(x, y)?;
    let style = text(TEXT, 12, HPos::Center, VPos::Top);
    plane
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.color())
        .axis_style(TEXT.color())
        .label_style(style.clone())
        .axis_desc_style(style)
        .x_desc(x_name)
        .y_desc(y_name)
        .x_labels(x_ticks)
        .y_labels(y_ticks)
        .x_label_formatter(&|x| format!("{x:.decimals$}"))
        .draw()?;
    Ok(plane)
}

/// Text of `size` pixels in `ink`, its anchor at the given sides.
pub(super) fn text(ink: Ink, size: u32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&ink.color()).pos(Pos::new(horizontal, vertical))
}

/// A text of at most about `most` letters' width, its end left out. What would break the line or turn the reading direction
/// of what stands beside it is replaced.
pub(super) fn shorten(text: &str, most: usize) -> String {
    // East Asian letters and emoji are about twice as wide.
    let width = |c: char| if c >= '\u{1100}' { 2 } else { 1 };
    let mut kept = String::new();
    let (mut used, mut fits) = (0, 0);
    for c in text.chars() {
        let c = match c {
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
            c if c.is_control() => ' ',
            c => c,
        };
        used += width(c);
        if used > most {
            kept.truncate(fits);
            kept.push('…');
            return kept;
        }
        kept.push(c);
        if used < most {
            fits = kept.len();
        }
    }
    kept
}

/// A class or an id within a line: of bounded length, in its own reading direction.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (shorten(text, 120)) } }
}

/// A probability, on one line with its sign.
pub(super) fn percent(p: f32) -> String {
    format!("{:.1}\u{a0}%", 100.0 * p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_their_width_and_cannot_turn_the_line() {
        assert_eq!(shorten("abcde", 5), "abcde");
        assert_eq!(shorten("abcdef", 5), "abcd…");
        assert_eq!(shorten("犬犬犬", 5), "犬犬…");
        assert_eq!(shorten("a\nb\u{202e}c\u{2066}", 9), "a b\u{fffd}c\u{fffd}");
        assert_eq!(shorten("", 3), "");
        assert_eq!(shorten(&"x".repeat(10_000), 50).chars().count(), 50);
    }

    #[test]
    fn texts_in_charts_are_escaped() {
        let drawn = chart((100, 100), "a \"b\" <c>", |area| {
            Ok(area.draw(&Text::new(
                "<script>'\"&",
                (0, 0),
                text(super::super::ink::TEXT, 12, HPos::Left, VPos::Top),
            ))?)
        });
        let drawn = drawn.unwrap().into_string();
        assert!(!drawn.contains("<script") && drawn.contains("&lt;script&gt;"), "{drawn}");
        assert!(drawn.contains("&quot;b&quot; &lt;c&gt;"), "{drawn}");
    }
}
