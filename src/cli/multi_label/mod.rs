//! Rows that may have any number of labels: how they are written, and what the verbs do with them.

mod eval;
mod flags;
mod train;

use std::collections::BTreeSet;
use std::path::Path;

use ndarray::Array2;

pub(super) use eval::{evaluate, text};

use crate::error::{Error, Result};
use crate::features::FeatureSet;
use crate::head::{HeadFile, Link};

/// What the separator is attached to a head as.
const SEPARATOR: &str = "label_separator";

/// The labels in a cell. A cell of separators alone has none.
fn labels<'a>(cell: &'a str, separator: &'a str) -> impl Iterator<Item = &'a str> {
    cell.split(separator).map(str::trim).filter(|label| !label.is_empty())
}

/// The labels that occur, sorted, each once.
fn names(features: &FeatureSet, separator: &str) -> Vec<String> {
    let all: BTreeSet<&str> = features.labels.iter().flatten().flat_map(|cell| labels(cell, separator)).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// Which of the labels `names` each row has, n×K; others are passed over.
fn targets(features: &FeatureSet, names: &[String], separator: &str) -> Array2<bool> {
    let places: std::collections::HashMap<&str, usize> =
        names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
    let mut targets = Array2::from_elem((features.len(), names.len()), false);
    for (mut row, cell) in targets.rows_mut().into_iter().zip(&features.labels) {
        for &place in cell.iter().flat_map(|cell| labels(cell, separator)).filter_map(|label| places.get(label)) {
            row[place] = true;
        }
    }
    targets
}

/// What separates the labels of a cell, as the head was trained.
fn separator(head: &HeadFile) -> Result<String> {
    let none = || Error::Data("the head does not say what separates the labels of a row".to_owned());
    head.attached(SEPARATOR)?.ok_or_else(none)
}

/// Refuses a head whose rows may have any number of labels where one class a row is asked for.
pub(super) fn one_class((path, head): (&Path, &HeadFile), what: &str) -> Result<()> {
    match head.link {
        Link::Softmax => Ok(()),
        Link::Sigmoid => Err(Error::Usage(format!(
            "{what} is for heads that tell one class a row; {}, of train --label-separator, tells any number of labels",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn features(cells: &[Option<&str>]) -> FeatureSet {
        FeatureSet {
            ids: (0..cells.len()).map(|row| row.to_string()).collect(),
            labels: cells.iter().map(|cell| cell.map(str::to_owned)).collect(),
            contents: vec![None; cells.len()],
            kept: Default::default(),
            matrix: Array2::zeros((cells.len(), 1)),
            provenance: None,
        }
    }

    #[test]
    fn cells_are_split_trimmed_and_may_have_no_label() {
        let set = features(&[Some("b; a"), Some(";"), Some("a;;a;"), Some("c"), None]);
        let found = names(&set, ";");
        assert_eq!(found, ["a", "b", "c"]);
        let none = [false; 3];
        let want = [[true, true, false], none, [true, false, false], [false, false, true], none];
        assert_eq!(targets(&set, &found, ";"), Array2::from(want.to_vec()));
        assert_eq!(targets(&set, &["c".to_owned()], ";"), array![[false], [false], [false], [true], [false]]);
        assert_eq!(names(&set, "||"), [";", "a;;a;", "b; a", "c"]);
    }
}
