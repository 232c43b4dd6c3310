//! What more labels brought: the probe of the defaults, fitted to growing parts of what was trained on.

use ndarray::Axis;

use super::super::fit::probe;
use super::super::predict::check_same_backbone;
use super::{Context, Evaluation};
use crate::error::{Error, Result};
use crate::eval::{FewShot, Options, Report};
use crate::features::FeatureSet;
use crate::head::Head;
use crate::progress::Progress;
use crate::report::CurvePoint;

/// Accuracies on the evaluated rows of probes that were fitted to 1, 2, 4, … rows of each class, and to all.
pub(super) fn points(context: &Context, evaluation: &Evaluation, train: &FeatureSet) -> Result<Vec<CurvePoint>> {
    let Evaluation { head, features, judged, .. } = *evaluation;
    check_same_backbone(head, train)?;
    let seen: std::collections::HashSet<&String> = train.contents.iter().flatten().collect();
    let shared = features.contents.iter().flatten().filter(|content| seen.contains(content)).count();
    if shared > 0 {
        context.console.note(&format!(
            "warning: {shared} of the rows to evaluate are among those of --curve: the learning curve is too good"
        ));
    }
    let known = |label: &Option<String>| label.as_ref().is_some_and(|label| head.labels.contains(label));
    let rows: Vec<usize> = (0..train.len()).filter(|&row| known(&train.labels[row])).collect();
    let train = train.select(&rows);
    let labels = train.class_indices(&head.labels)?;
    if let Some(class) = (0..head.labels.len()).find(|class| !labels.contains(class)) {
        return Err(Error::Data(format!("--curve has no row of the class {}", head.labels[class])));
    }
    let draws = FewShot::new(&labels, context.seed)?;
    let sizes = (0..usize::BITS).map(|k| 1 << k).take_while(|&size| size <= draws.most());
    let mut parts = sizes.map(|size| draws.draw(size)).collect::<Result<Vec<_>>>()?;
    // A balanced set ends with its last draw.
    if parts.last().is_none_or(|last| last.len() < labels.len()) {
        parts.push((0..labels.len()).collect());
    }
    let point = |part: &Vec<usize>| {
        let of_part: Vec<usize> = part.iter().map(|&row| labels[row]).collect();
        let x = train.matrix.select(Axis(0), part);
        let fitted = Head::from(probe(context).fit_watched(x.view(), &of_part, &context.console)?.head);
        let probabilities = fitted.probabilities(features.matrix.view())?;
        let options = Options { resamples: 0, ..Options::default() };
        let report = Report::new(&judged.truth, probabilities.view(), &head.labels, options)?;
        Ok(CurvePoint { rows: part.len(), accuracy: report.accuracy, interval: Some(report.accuracy_interval) })
    };
    parts.iter().map(point).collect()
}
