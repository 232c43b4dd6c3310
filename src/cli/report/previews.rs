//! Pictures and texts of the rows that a page shows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::super::inputs::{are_features, modality};
use super::{Context, Evaluation};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::report::{EmbeddingMap, Preview, Row, wanted};
use crate::source::{Entry, Sample, open_all};

/// The previews of the rows that matter most, by row, from `samples` or, where none are given, from the raw inputs
/// themselves. Empty where the evaluation is of features alone.
pub(super) fn previews(
    context: &Context,
    samples: &[PathBuf],
    evaluation: &Evaluation,
    rows: &[Row],
    map: &EmbeddingMap,
) -> Result<HashMap<usize, Preview>> {
    let inputs = if samples.is_empty() { evaluation.inputs } else { samples };
    if samples.is_empty() && inputs.iter().map(|input| are_features(input)).collect::<Result<Vec<_>>>()?.contains(&true)
    {
        return Ok(HashMap::new());
    }
    if inputs.iter().any(|input| input == Path::new("-")) {
        context.console.note("standard input cannot be read a second time: the report shows no samples");
        return Ok(HashMap::new());
    }
    let features = evaluation.features;
    let provenance = features.provenance.as_ref().or(evaluation.head.provenance.as_ref());
    let provenance = provenance.ok_or_else(|| {
        Error::Usage("neither the model nor the features say whether --samples are images or texts".into())
    })?;
    let source = open_all(inputs, &evaluation.source.options(modality(&provenance.preprocessing), &[]))?;
    let mut missing: HashMap<&str, usize> =
        wanted(rows, map).into_iter().map(|row| (features.ids[row].as_str(), row)).collect();
    let (all, mut previews, mut first) = (missing.len(), HashMap::new(), None);
    for listed in source.list {
        if missing.is_empty() {
            break;
        }
        if context.console.interrupted() {
            return Err(Error::Interrupted);
        }
        let Entry::Sample(Sample { id, content, .. }) = listed?.entry else { continue };
        let Some(row) = missing.remove(id.as_str()) else { continue };
        match Preview::of(&content, features.contents[row].as_deref()) {
            Ok(preview) => _ = previews.insert(row, preview),
            Err(error) => first = first.or(Some(format!("; the first, {id}: {error}"))),
        }
    }
    if previews.len() < all {
        let (shown, first) = (previews.len(), first.unwrap_or_default());
        context.console.note(&format!("warning: the report shows {shown} of {all} samples{first}"));
    }
    Ok(previews)
}
