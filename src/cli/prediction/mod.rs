//! What is said of each input: its classes, their probabilities, and how far they can be believed.

mod label_set;
mod ood;

use ndarray::{ArrayView1, ArrayView2};
use serde::Serialize;

use super::Context;
use crate::error::{Error, Result};
use crate::eval::Conformal;
use crate::head::{HeadFile, Link, Scored};
use label_set::label_sets;
pub(super) use ood::{OodMark, ood_marks};

/// What prediction sets are attached to a head as.
pub(super) const CONFORMAL: &str = "conformal";

/// The classes of one input, most probable first.
#[derive(Debug, Serialize)]
pub(super) struct Prediction {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) probability: f32,
    pub(super) top: Vec<Choice>,
    /// Classes that hold the true one with the head's coverage; only of a head that was given thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prediction_set: Option<Vec<String>>,
    #[serde(flatten)]
    pub(super) strangeness: Option<OodMark>,
}

/// A class and its probability.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Choice {
    pub(super) label: String,
    pub(super) probability: f32,
}

/// Writes what `head` says of the rows `ids` that it scored: `top_k` classes of each, or what the head names itself.
pub(super) fn tell(
    context: &Context,
    head: &HeadFile,
    ids: &[String],
    scored: &Scored,
    top_k: Option<usize>,
) -> Result<()> {
    match head.link {
        Link::Softmax => predictions(head, ids, scored, top_k.unwrap_or(1))?
            .iter()
            .try_for_each(|prediction| context.result(prediction, || fields(&prediction.id, &prediction.top))),
        Link::Sigmoid => {
            label_sets(head, ids, scored, top_k).iter().try_for_each(|found| context.result(found, || found.line()))
        }
    }
}

/// An id with its classes and their probabilities as one tab-separated line.
pub(super) fn fields(id: &str, choices: &[Choice]) -> String {
    let choices = choices.iter().map(|c| format!("\t{}\t{:.4}", one_field(&c.label), c.probability));
    one_field(id) + &choices.collect::<String>()
}

/// A name as one field of a tab-separated line.
pub(super) fn one_field(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// The predictions for rows that `head` scored.
pub(super) fn predictions(head: &HeadFile, ids: &[String], scored: &Scored, top_k: usize) -> Result<Vec<Prediction>> {
    let strange = ood_marks(head, scored);
    let sets = prediction_sets(head, scored.probabilities.view())?;
    let named = |set: &Vec<usize>| set.iter().map(|&class| head.labels[class].clone()).collect();
    let predictions = ids.iter().zip(scored.probabilities.outer_iter()).enumerate().map(|(place, (id, row))| {
        let mut top = ranked(head, row);
        top.truncate(top_k);
        let best = top.first().cloned().ok_or_else(|| Error::Data("the head has no classes".into()))?;
        let strangeness = strange.as_ref().map(|strange| strange[place]);
        let prediction_set = sets.as_ref().map(|sets| named(&sets[place]));
        Ok(Prediction {
            id: id.clone(),
            label: best.label,
            probability: best.probability,
            top,
            prediction_set,
            strangeness,
        })
    });
    predictions.collect()
}

/// All classes of a row with their probabilities, most probable first.
pub(super) fn ranked(head: &HeadFile, row: ArrayView1<f32>) -> Vec<Choice> {
    let choices = head.labels.iter().zip(row);
    let mut choices: Vec<Choice> =
        choices.map(|(label, &probability)| Choice { label: label.clone(), probability }).collect();
    choices.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    choices
}

/// The sets of classes of each row of `probabilities`, where the head was given thresholds.
pub(super) fn prediction_sets(head: &HeadFile, probabilities: ArrayView2<f32>) -> Result<Option<Vec<Vec<usize>>>> {
    match head.attached::<Conformal>(CONFORMAL)? {
        Some(conformal) => conformal.sets(probabilities).map(Some),
        None => Ok(None),
    }
}
