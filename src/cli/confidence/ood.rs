//! What a head's out-of-distribution score says of rows.

use serde::Serialize;

use crate::eval::{Interval, wilson};
use crate::head::{HeadFile, Scored};
use crate::report::Figure;

/// How unlike the head's training rows an input is; only of a head that was given a score.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in super::super) struct OodMark {
    ood_score: f32,
    out_of_distribution: bool,
}

/// How unlike the head's training rows each of these is, where the head was given a score.
pub(in super::super) fn ood_marks(head: &HeadFile, scored: &Scored) -> Option<Vec<OodMark>> {
    let (Some(detector), Some(scores)) = (&head.detector, &scored.ood_scores) else { return None };
    let mark = |&ood_score: &f32| OodMark { ood_score, out_of_distribution: f64::from(ood_score) > detector.threshold };
    Some(scores.iter().map(mark).collect())
}

/// How many rows a head marks.
#[derive(Debug, Serialize)]
pub(in super::super) struct OodFigures {
    /// Share of rows that are out of distribution.
    out_of_distribution: f64,
    /// Wilson's 95 % interval.
    out_of_distribution_interval: Interval,
}

impl OodFigures {
    pub(in super::super) fn of(marks: &[OodMark]) -> Self {
        let marked = marks.iter().filter(|mark| mark.out_of_distribution).count();
        Self {
            out_of_distribution: marked as f64 / marks.len() as f64,
            out_of_distribution_interval: wilson(marked as u64, marks.len() as u64),
        }
    }

    pub(in super::super) fn figure(&self) -> Figure {
        Figure {
            name: "marked out of distribution".into(),
            value: self.out_of_distribution,
            interval: Some(self.out_of_distribution_interval),
        }
    }
}
