//! What more labels brought: heads of the model's kind, fitted to growing parts of what was trained on.

use std::path::PathBuf;

use super::super::classifier::check_same_backbone;
use super::super::curve::points as measure;
use super::super::fit::HeadArgs;
use super::{Context, Evaluation};
use crate::curate::{Known, Shots};
use crate::error::{Error, Result};
use crate::features::FeatureSet;
use crate::progress::Progress;
use crate::report::CurvePoint;

/// Draws of each size: enough for an interval, and a page that is made soon.
const DRAWS: usize = 5;

/// Accuracies on the evaluated rows of heads that were fitted to 1, 2, 4, … rows of each class, and to all.
pub(super) fn points(
    context: &Context,
    evaluation: &Evaluation,
    (inputs, train): (&[PathBuf], FeatureSet),
) -> Result<Vec<CurvePoint>> {
    let Evaluation { model, head, features, judged, .. } = *evaluation;
    check_same_backbone(context, (model, head), (inputs, &train))?;
    let seen: std::collections::HashSet<&String> = train.contents.iter().flatten().collect();
    let shared = features.contents.iter().flatten().filter(|content| seen.contains(content)).count();
    if shared > 0 {
        context.console.note(&format!(
            "warning: {shared} of the rows to evaluate are among those of --curve: the learning curve is too good"
        ));
    }
    let rows = train.rows_labelled(&head.labels);
    let train = train.into_rows(&rows);
    let labels = train.class_indices(&head.labels)?;
    if let Some(class) = (0..head.labels.len()).find(|class| !labels.contains(class)) {
        return Err(Error::Data(format!("--curve has no row of the class {}", head.labels[class])));
    }
    let known = Known { x: train.matrix.view(), labels: &labels, groups: None };
    let sizes: Vec<usize> = (0..usize::BITS).map(|k| 1 << k).take_while(|&size| size < labels.len()).collect();
    let shots = Shots { sizes: &sizes, draws: DRAWS, seed: context.seed };
    let others = (features.matrix.view(), &judged.truth[..]);
    let measured = measure(context, &HeadArgs::of(head.kind), known, others, shots)?;
    let point = |p: &crate::curate::ShotPoint| CurvePoint {
        rows: p.rows,
        accuracy: p.measured.accuracy,
        interval: Some(p.measured.accuracy_interval),
    };
    Ok(measured.iter().map(point).collect())
}
