//! The worst mistakes.

use maud::{Markup, html};

use super::page::{Page, Preview, Row};

/// Mistakes that a page shows.
pub const MOST_MISTAKES: usize = 48;

/// The misclassified rows, those whose true class was given the least probability first; at most [`MOST_MISTAKES`].
pub fn worst(rows: &[Row]) -> Vec<usize> {
    let mut wrong: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].label != rows[i].predicted).collect();
    wrong.sort_by(|&a, &b| rows[a].label_probability.total_cmp(&rows[b].label_probability).then(a.cmp(&b)));
    wrong.truncate(MOST_MISTAKES);
    wrong
}

pub(super) fn mistakes(page: &Page) -> Markup {
    let worst = worst(&page.rows);
    let all = page.rows.iter().filter(|row| row.label != row.predicted).count();
    let name = |class: usize| page.report.labels.get(class).map_or("?", String::as_str);
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
                                Some(Preview::Picture(uri)) => img src=(uri) alt=(row.id) loading="lazy";,
                                Some(Preview::Text(text)) => blockquote { (text) },
                                None => {},
                            }
                            figcaption {
                                span .wrong { (name(row.predicted)) " " (percent(row.confidence)) }
                                span .right { (name(row.label)) " " (percent(row.label_probability)) }
                                span .id { (row.id) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn percent(p: f32) -> String {
    format!("{:.1} %", 100.0 * p)
}
