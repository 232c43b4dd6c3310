//! The worst mistakes.

use std::collections::HashSet;

use maud::{Markup, html};

use super::chart::{name, percent, shorten};
use super::page::{Page, Row};
use super::{EmbeddingMap, Preview};

/// Mistakes that a page shows.
pub const MOST_MISTAKES: usize = 48;

/// Rows whose samples a page shows: at 3 kB a picture, some megabytes.
pub const MOST_PREVIEWS: usize = 800;

/// The misclassified rows, those whose true class was given the least probability first; at most [`MOST_MISTAKES`].
pub fn worst(rows: &[Row]) -> Vec<usize> {
    let mut wrong: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].label != rows[i].predicted).collect();
    wrong.sort_by(|&a, &b| rows[a].label_probability.total_cmp(&rows[b].label_probability).then(a.cmp(&b)));
    wrong.truncate(MOST_MISTAKES);
    wrong
}

/// The rows whose samples a page shows, at most [`MOST_PREVIEWS`]: the worst mistakes, the other mistakes on the map, and
/// as many of its other points as there is room for, evenly.
pub fn wanted(rows: &[Row], map: &EmbeddingMap) -> Vec<usize> {
    let mut wanted = worst(rows);
    let (right, wrong): (Vec<usize>, Vec<usize>) =
        map.rows.iter().filter(|&&row| row < rows.len()).partition(|&&row| rows[row].label == rows[row].predicted);
    let seen: HashSet<usize> = wanted.iter().copied().collect();
    wanted.extend(wrong.into_iter().filter(|row| !seen.contains(row)));
    wanted.truncate(MOST_PREVIEWS);
    let room = (MOST_PREVIEWS - wanted.len()).min(right.len());
    wanted.extend((0..room).map(|i| right[i * right.len() / room]));
    wanted
}

pub(super) fn mistakes(page: &Page) -> Markup {
    let worst = worst(&page.rows);
    let all = page.rows.iter().filter(|row| row.label != row.predicted).count();
    let class = |class: usize| page.report.labels.get(class).map(|label| name(label));
    html! {
        section #mistakes {
            h2 { "Worst mistakes" }
            @if all == 0 { p { "There are none." } }
            @else {
                p .note {
                    "Misclassified rows, the least probability for the true class first"
                    @if all > worst.len() { "; " (worst.len()) " of " (all) }
                    "."
                }
                div .gallery {
                    @for &i in &worst {
                        @let row = &page.rows[i];
                        figure {
                            @match page.previews.get(&i) {
                                Some(Preview::Picture(uri)) => img src=(uri) alt=(shorten(&row.id, 120)) loading="lazy";,
                                Some(Preview::Text(text)) => blockquote dir="auto" { (text) },
                                None => {},
                            }
                            figcaption {
                                span .wrong { (class(row.predicted).unwrap_or_default()) " " (percent(row.confidence)) }
                                span .right { (class(row.label).unwrap_or_default()) " " (percent(row.label_probability)) }
                                span .id { (name(&row.id)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn row(i: usize, wrong: bool) -> Row {
        let label_probability = if wrong { 0.4 - i as f32 * 1e-5 } else { 0.9 };
        Row { id: i.to_string(), label: 0, predicted: usize::from(wrong), confidence: 0.9, label_probability }
    }

    fn map(rows: Vec<usize>) -> EmbeddingMap {
        let pca = Array2::zeros((rows.len(), 2));
        EmbeddingMap { of: rows.len(), rows, pca, explained: 1.0, tsne: None }
    }

    #[test]
    fn the_surest_mistakes_come_first() {
        let rows: Vec<Row> = (0..200).map(|i| row(i, i % 2 == 1)).collect();
        let worst = worst(&rows);
        assert_eq!((worst.len(), worst[0], worst[47]), (MOST_MISTAKES, 199, 105));
        assert!(super::worst(&[row(0, false)]).is_empty());
    }

    #[test]
    fn samples_are_wanted_once_and_in_bounds() {
        let rows: Vec<Row> = (0..5000).map(|i| row(i, i % 10 == 1)).collect();
        let wanted = wanted(&rows, &map((0..5000).step_by(3).collect()));
        assert_eq!(wanted.len(), MOST_PREVIEWS);
        assert_eq!(wanted.iter().collect::<HashSet<_>>().len(), MOST_PREVIEWS);
        assert_eq!(wanted[..MOST_MISTAKES], super::worst(&rows));
        assert!(wanted.iter().filter(|&&i| rows[i].label == rows[i].predicted).any(|&i| i > 4500));
        assert_eq!(super::wanted(&rows[..3], &map(vec![0, 1, 2])), [1, 0, 2]);
        assert!(super::wanted(&[], &map(vec![])).is_empty());
    }
}
