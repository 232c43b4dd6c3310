//! The labels of new rows.

use serde::Serialize;

use super::super::predict::{Choice, fields, ranked};
use crate::error::Result;
use crate::features::FeatureSet;
use crate::head::{HeadFile, THRESHOLD};

/// The labels of one input, most probable first.
#[derive(Debug, Serialize)]
pub(in super::super) struct LabelSet {
    id: String,
    /// Those of probability 0.5 and more; there may be none.
    labels: Vec<String>,
    /// As many as were asked for, or those of `labels`.
    top: Vec<Choice>,
}

impl LabelSet {
    /// One line of fields.
    pub(in super::super) fn line(&self) -> String {
        fields(&self.id, &self.top)
    }
}

/// The labels of each row.
pub(in super::super) fn predict(head: &HeadFile, features: &FeatureSet, top_k: Option<usize>) -> Result<Vec<LabelSet>> {
    let probabilities = head.probabilities(features.matrix.view())?;
    let rows = features.ids.iter().zip(probabilities.outer_iter());
    let of_row = |(id, row): (&String, ndarray::ArrayView1<f32>)| {
        let mut top = ranked(head, row);
        let likely = top.iter().take_while(|choice| choice.probability >= THRESHOLD).count();
        let labels = top[..likely].iter().map(|choice| choice.label.clone()).collect();
        top.truncate(top_k.unwrap_or(likely));
        LabelSet { id: id.clone(), labels, top }
    };
    Ok(rows.map(of_row).collect())
}
