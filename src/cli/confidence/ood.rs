//! What a head's out-of-distribution score says of rows.

use serde::Serialize;

use super::super::prediction::OodMark;
use crate::eval::{Interval, wilson};
use crate::report::Figure;

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
