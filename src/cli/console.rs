//! What the user sees while work goes on: a bar on a terminal, notes on stderr, and Ctrl-C.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::{Error, Result};
use crate::progress::Progress;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    /// Errors only.
    Quiet,
    /// Notes and, on a terminal, a progress bar.
    Normal,
    /// Stages too where there is no terminal.
    Verbose,
}

/// Shows progress.
#[derive(Debug)]
pub(super) struct Console {
    verbosity: Verbosity,
    bar: Mutex<Option<ProgressBar>>,
    noted: Mutex<HashSet<String>>,
}

impl Console {
    /// Takes over Ctrl-C: the first asks the work to stop, the second ends the process at once.
    pub(super) fn new(verbosity: Verbosity) -> Result<Self> {
        let handler = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        });
        handler.map_err(|e| Error::Runtime(format!("cannot watch for Ctrl-C: {e}")))?;
        Ok(Self { verbosity, bar: Mutex::new(None), noted: Mutex::default() })
    }

    /// What was asked to stop has stopped, and what must follow goes on; another Ctrl-C asks anew.
    pub(super) fn go_on(&self) {
        INTERRUPTED.store(false, Ordering::Relaxed);
    }

    /// Says something on stderr, above the bar if there is one.
    pub(super) fn say(&self, message: &str) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(|| eprintln!("{message}")),
            None => eprintln!("{message}"),
        }
    }
}

impl Progress for Console {
    fn begin(&self, stage: &str, total: Option<u64>) {
        let terminal = std::io::stderr().is_terminal();
        if !terminal && self.verbosity == Verbosity::Verbose {
            eprintln!("{stage} ...");
        }
        if !terminal || self.verbosity == Verbosity::Quiet {
            return;
        }
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec}, {eta} left",
            None => "{spinner} {msg} {human_pos} in {elapsed}{prefix}",
        };
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_message(stage.to_owned());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, done: u64) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(done);
        }
    }

    fn state(&self, detail: &str, done: Option<f64>) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            let elapsed = bar.elapsed().as_secs_f64();
            // Before that it would jump about.
            let left = done.filter(|&done| done > 0.001 && elapsed > 1.0).map(|done| {
                let left = Duration::from_secs_f64((elapsed / done - elapsed).clamp(0.0, 1e9));
                format!(", {:.0} %, {} left", 100.0 * done, HumanDuration(left))
            });
            bar.set_prefix(format!(", {detail}{}", left.unwrap_or_default()));
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, message: &str) {
        if self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(message.to_owned()) {
            self.say(message);
        }
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}
