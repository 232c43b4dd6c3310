//! What every verb works with.

use std::io::Write;
use std::num::NonZeroUsize;

use serde::Serialize;

use super::console::{Console, Verbosity};
use super::global::Global;
use crate::backbone::{Device, Home, Runtime};
use crate::error::{Error, Result};

/// The global flags, resolved.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) json: bool,
    pub(super) device: Device,
    pub(super) threads: NonZeroUsize,
    pub(super) seed: u64,
    pub(super) home: Home,
    pub(super) console: Console,
    pub(super) ort_lib: Option<std::path::PathBuf>,
}

impl Context {
    pub(super) fn new(global: Global) -> Result<Self> {
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            json: global.json,
            device: global.device,
            threads: global.threads.unwrap_or_else(available),
            seed: global.seed,
            home: Home::from_env()?,
            console: Console::new(verbosity)?,
            ort_lib: global.ort_lib,
        })
    }

    /// The process's ONNX Runtime.
    pub(super) fn runtime(&self) -> Result<&'static Runtime> {
        Runtime::load(self.ort_lib.as_deref(), &self.home)
    }

    /// Writes the verb's result to stdout: as JSON, or as `text` says it.
    pub(super) fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let text = if self.json { as_json(value)? } else { text() };
        self.write(&text)
    }

    /// Writes the verb's result to stderr, as a line of JSON: for when stdout is taken by the data.
    pub(super) fn result_beside_data(&self, value: &impl Serialize) -> Result<()> {
        eprintln!("{}", as_json(value)?);
        Ok(())
    }

    /// Writes a line of data to stdout.
    pub(super) fn write(&self, text: &str) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", text.trim_end_matches('\n')).map_err(Error::io("write", "stdout"))?;
        stdout.flush().map_err(Error::io("write", "stdout"))
    }
}

fn as_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Data(format!("cannot write the result: {e}")))
}
