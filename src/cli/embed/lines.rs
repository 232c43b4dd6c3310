//! Rows as JSON lines on standard output.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use crate::cli::console::Console;
use crate::error::{Error, Result};
use crate::extract::Sink;
use crate::features::{Part, Precision, Provenance};
use crate::source::Reject;

/// Writes a line a row, flushed after every part; rejects are told on standard error.
pub(super) struct Lines<'a> {
    console: &'a Console,
    precision: Precision,
    kept: &'a [String],
    pub(super) first_reject: Option<Reject>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    label: Option<&'a str>,
    #[serde(flatten)]
    kept: BTreeMap<&'a str, Option<&'a str>>,
    embedding: Vec<f32>,
}

impl<'a> Lines<'a> {
    pub(super) fn new(console: &'a Console, precision: Precision, kept: &'a [String]) -> Self {
        Self { console, precision, kept, first_reject: None }
    }
}

impl Sink for Lines<'_> {
    fn part(&mut self, part: Part, _: &Provenance) -> Result<()> {
        let Part { rows, rejects, .. } = part;
        let mut bytes = Vec::new();
        for (i, ((id, label), row)) in rows.ids.iter().zip(&rows.labels).zip(rows.matrix.outer_iter()).enumerate() {
            let value = |values: &'_ Vec<Option<String>>| values.get(i).cloned().flatten();
            let kept: Vec<Option<String>> = rows.kept.iter().map(value).collect();
            let line = Line {
                id,
                label: label.as_deref(),
                kept: self.kept.iter().map(String::as_str).zip(kept.iter().map(Option::as_deref)).collect(),
                embedding: row.iter().map(|value| self.precision.round(*value)).collect(),
            };
            serde_json::to_writer(&mut bytes, &line).map_err(|e| Error::Data(format!("{id}: {e}")))?;
            bytes.push(b'\n');
        }
        for reject in rejects {
            self.console.say(&format!("rejected {}: {}", reject.id, reject.reason));
            self.first_reject.get_or_insert(reject);
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&bytes).and_then(|()| stdout.flush()).map_err(Error::io("write", "stdout"))
    }
}
