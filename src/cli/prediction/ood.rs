//! What a head's out-of-distribution score says of rows.

use serde::Serialize;

use crate::head::{HeadFile, Scored};

/// How unlike the head's training rows an input is; only of a head that was given a score.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in super::super) struct OodMark {
    ood_score: f32,
    pub(in super::super) out_of_distribution: bool,
}

/// How unlike the head's training rows each of these is, where the head was given a score.
pub(in super::super) fn ood_marks(head: &HeadFile, scored: &Scored) -> Option<Vec<OodMark>> {
    let (Some(detector), Some(scores)) = (&head.detector, &scored.ood_scores) else { return None };
    let mark = |&ood_score: &f32| OodMark { ood_score, out_of_distribution: f64::from(ood_score) > detector.threshold };
    Some(scores.iter().map(mark).collect())
}
