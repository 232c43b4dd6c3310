//! An adaptation to another domain, as a page of its own.

use maud::{Markup, html};

use super::EmbeddingMap;
use super::chart::shorten;
use super::ink::CLASSES;
use super::page::shell;
use super::plane::{Dot, choice, legend, pixels, plane, planes};
use super::provenance;
use crate::error::{Error, Result};

/// All that the page of an adaptation shows.
#[derive(Debug, Clone)]
pub struct AdaptationPage {
    /// The heading.
    pub title: String,
    /// The command that makes the page again.
    pub command: String,
    /// What was done and what it brought, a sentence each; the first is the most important.
    pub outcome: Vec<String>,
    /// How far the domains are apart, a sentence each.
    pub shift: Vec<String>,
    /// How far each class is.
    pub classes: PageTable,
    /// What was tried; none where nothing else was.
    pub candidates: Option<PageTable>,
    /// Both domains before the adaptation.
    pub before: DomainMap,
    /// And after it; none for a method that leaves the features where they are.
    pub after: Option<DomainMap>,
    /// The names of the classes.
    pub labels: Vec<String>,
    /// What is known of the model and the features, by name.
    pub facts: Vec<(String, String)>,
}

/// A table of words and numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct PageTable {
    /// A word for each column. The first column holds names, the others numbers.
    pub header: Vec<&'static str>,
    /// As many cells a row.
    pub rows: Vec<Vec<String>>,
}

/// Rows of both domains on one plane.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainMap {
    /// Where they lie: the source's rows first.
    pub map: EmbeddingMap,
    /// How many are the source's.
    pub sources: usize,
    /// The class of each row of both: of the source's its label, of the target's what the head says.
    pub classes: Vec<usize>,
}

/// The page as HTML, as safe as that of an evaluation.
///
/// # Errors
/// [`Error::Data`] when a map shows a row that has no class, or a chart cannot be drawn.
pub fn render_adaptation(page: &AdaptationPage) -> Result<String> {
    let (first, rest) = page.outcome.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    Ok(shell(
        &page.title,
        html! {
            section #headline {
                p .hero { (first) }
                @for line in rest { p { (line) } }
            }
            section #shift {
                h2 { "How far the domains are apart" }
                @for line in &page.shift { p { (line) } }
                (table(&page.classes))
            }
            @if let Some(candidates) = &page.candidates {
                section #candidates {
                    h2 { "What was tried" }
                    (table(candidates))
                }
            }
            (maps(page)?)
            (provenance::provenance(&page.command, &page.facts))
        },
    ))
}

fn table(PageTable { header, rows }: &PageTable) -> Markup {
    let number = |column: usize| (column > 0).then_some("n");
    html! {
        div .chart {
            table .named {
                thead { tr { @for (column, word) in header.iter().enumerate() { th class=[number(column)] { (word) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() { td class=[number(column)] dir="auto" { (shorten(cell, 80)) } }
                        }
                    }
                }
            }
        }
    }
}

fn maps(page: &AdaptationPage) -> Result<Markup> {
    let few = page.labels.len() <= CLASSES.len();
    let shown = &page.before.map;
    // One switch for both.
    let tsne = [Some(&page.before), page.after.as_ref()].into_iter().flatten().all(|map| map.map.tsne.is_some());
    let before = domains(&page.before, few, tsne)?;
    let after = page.after.as_ref().map(|after| domains(after, few, tsne)).transpose()?;
    Ok(html! {
        section #map {
            h2 { "Both domains on one map" }
            p .note {
                (shown.rows.len())
                @if shown.rows.len() < shown.of { " rows, drawn at random from " (shown.of) } @else { " rows" }
                ": discs are source rows, rings target rows"
                @if few { ", coloured by label; of a target row what the head says." } @else { "." }
            }
            @if few { (legend(page.labels.iter().map(String::as_str))) }
            @else { (legend(["source", "target"].into_iter())) }
            @if tsne { (choice()) }
            h3 { "Before" }
            (before)
            h3 { "After" }
            @if let Some(after) = after { (after) }
            @else { p .note { "The features stay where they are: the method changes the head alone." } }
        }
    })
}

fn domains(DomainMap { map, sources, classes }: &DomainMap, few: bool, tsne: bool) -> Result<Markup> {
    let dot = |&row: &usize| {
        let class = classes.get(row).ok_or_else(|| Error::Data(format!("row {row} of the map has no class")))?;
        let ring = row >= *sources;
        let ink = if few { *class } else { usize::from(ring) };
        Ok(Dot { ink: CLASSES[ink % CLASSES.len()], ring })
    };
    let dots = map.rows.iter().map(dot).collect::<Result<Vec<Dot>>>()?;
    let tsne = map.tsne.as_ref().filter(|_| tsne).map(|at| plane(&pixels(at), &dots)).transpose()?;
    Ok(planes(tsne.as_ref(), &plane(&pixels(&map.pca), &dots)?))
}
