//! A trace of what each thread did, for Perfetto or `chrome://tracing`.
//!
//! The JSON array of the Trace Event Format: complete events (`"ph": "X"`), times in microseconds. The format's readers accept
//! an array that breaks off, so a run that is killed leaves a trace of what it did.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use super::meter::Lane;
use crate::error::{Error, Result};
use crate::file::beginning;

/// How each trace begins: by it one is told from a file that must not be replaced.
const START: &[u8] = b"[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"args\":{\"name\":\"engraft\"}}";

/// Fails when a file is there and is no trace of ours.
pub(super) fn replaceable(path: &Path) -> Result<()> {
    let start = beginning(path, START.len() as u64)?;
    if start.is_empty() || start == START {
        return Ok(());
    }
    Err(Error::in_the_way(path, "it is no trace of engraft's, so it is not replaced: give another --trace"))
}

#[derive(Debug)]
pub(super) struct Trace {
    path: PathBuf,
    began: Instant,
    /// With the first error, if any: a full disk ends the trace and not the run, until [`Trace::finish`].
    file: Mutex<(BufWriter<File>, std::io::Result<()>)>,
}

impl Trace {
    /// Begins a trace, in the place of an earlier one.
    pub(super) fn create(path: &Path) -> Result<Self> {
        replaceable(path)?;
        let mut file = BufWriter::new(File::create(path).map_err(Error::io("create", path))?);
        file.write_all(START).map_err(Error::io("write", path))?;
        Ok(Self { path: path.to_path_buf(), began: Instant::now(), file: Mutex::new((file, Ok(()))) })
    }

    pub(super) fn span(&self, lane: Lane, name: &str, started: Instant, rows: usize) {
        let (tid, thread) = match lane {
            Lane::Reader => (0, "reader".to_owned()),
            Lane::Writer => (1, "writer".to_owned()),
            Lane::Worker(n) => (n + 2, format!("worker {n}")),
        };
        let microseconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1e6;
        let event = json!({
            "name": name,
            "cat": thread,
            "ph": "X",
            "ts": microseconds(self.began, started),
            "dur": microseconds(started, Instant::now()),
            "pid": 1,
            "tid": tid,
            "args": { "rows": rows },
        });
        let (file, outcome) = &mut *self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_ok() {
            *outcome = write!(file, ",\n{event}");
        }
    }

    /// Completes the file.
    ///
    /// # Errors
    /// The first that writing it met.
    pub(super) fn finish(&self) -> Result<()> {
        let (file, outcome) = &mut *self.file.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(outcome, Ok(()))
            .and_then(|()| file.write_all(b"\n]\n"))
            .and_then(|()| file.flush())
            .map_err(Error::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_json_and_names_its_threads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        let trace = Trace::create(&path).unwrap();
        let started = Instant::now();
        trace.span(Lane::Worker(1), "run", started, 8);
        trace.span(Lane::Writer, "write", started, 8);
        trace.finish().unwrap();
        let events: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((events.len(), &events[1]["tid"], &events[1]["args"]["rows"]), (3, &json!(3), &json!(8)));
        assert!(events[2]["dur"].as_f64().unwrap() >= 0.0);
    }

    #[test]
    fn a_trace_replaces_nothing_but_a_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        std::fs::write(&path, "[1, 2]").unwrap();
        assert!(matches!(Trace::create(&path), Err(Error::Usage(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"[1, 2]");
        std::fs::write(&path, "").unwrap();
        for _ in 0..2 {
            Trace::create(&path).unwrap().finish().unwrap();
        }
        // Of a killed process.
        drop(Trace::create(&path).unwrap());
        Trace::create(&path).unwrap();
    }
}
