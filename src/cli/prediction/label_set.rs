//! The labels of new rows.

use serde::Serialize;

use super::{Choice, fields, ranked};
use crate::head::{HeadFile, Scored, THRESHOLD};

/// The labels of one input, most probable first.
#[derive(Debug, Serialize)]
pub(super) struct LabelSet {
    id: String,
    /// Those of probability 0.5 and more; there may be none.
    labels: Vec<String>,
    /// As many as were asked for, or those of `labels`.
    top: Vec<Choice>,
}

impl LabelSet {
    /// One line of fields.
    pub(super) fn line(&self) -> String {
        fields(&self.id, &self.top)
    }
}

/// The labels of rows that `head` scored.
pub(super) fn label_sets(head: &HeadFile, ids: &[String], scored: &Scored, top_k: Option<usize>) -> Vec<LabelSet> {
    let rows = ids.iter().zip(scored.probabilities.outer_iter());
    let of_row = |(id, row): (&String, ndarray::ArrayView1<f32>)| {
        let mut top = ranked(head, row);
        let likely = top.iter().take_while(|choice| choice.probability >= THRESHOLD).count();
        let labels = top[..likely].iter().map(|choice| choice.label.clone()).collect();
        top.truncate(top_k.unwrap_or(likely));
        LabelSet { id: id.clone(), labels, top }
    };
    rows.map(of_row).collect()
}
