//! Numbers of rows in JSON: whole ones as such, though rows that were judged several times may count by parts.

use serde::{Serialize, Serializer};

#[derive(Serialize)]
#[serde(untagged)]
enum Count {
    Whole(u64),
    Parts(f64),
}

impl Count {
    fn of(count: f64) -> Self {
        if count.fract() == 0.0 { Self::Whole(count as u64) } else { Self::Parts(count) }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
pub(super) fn one<S: Serializer>(count: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Count::of(*count).serialize(serializer)
}

pub(super) fn table<S: Serializer>(rows: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rows.iter().map(|row| row.iter().copied().map(Count::of).collect::<Vec<_>>()))
}
