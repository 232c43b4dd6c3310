//! Runs into a folder of shards.

use std::path::Path;
use std::time::Instant;

use super::super::Context;
use super::Job;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::extract::Summary;
use crate::features::{Finished, ShardFolder};

/// What became of a run into a folder.
pub(in super::super) struct Ran {
    /// Of this run; the provider is that of the shards where nothing was left to run.
    pub(in super::super) summary: Summary,
    /// Of the whole folder.
    pub(in super::super) kept: Finished,
    pub(in super::super) end: End,
}

/// How a run into a folder ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum End {
    Finished,
    Interrupted,
}

/// Runs what is unfinished of a job into its folder at `place`, and closes that.
pub(in super::super) fn run_into(
    context: &Context,
    mut job: Job,
    mut folder: ShardFolder,
    place: &Path,
) -> Result<Ran> {
    let started = Instant::now();
    job.source.list = folder.unfinished(job.source.list);
    let run = job.run(context, &mut folder);
    // Whatever ended the run: what was computed is kept.
    let run = match (run, folder.close()) {
        (Ok(summary), closed) => closed.map(|()| summary),
        (Err(e), Ok(())) => Err(e),
        (Err(e), Err(lost)) => {
            context.console.say(&format!("warning: the shard that was being written is lost: {lost}"));
            Err(e)
        }
    };
    if run.is_err() {
        // Where the disk does not allow it the next run does it.
        let _ = folder.settle();
    }
    let (rows, place) = (folder.rows(), place.display());
    if rows > 0 && matches!(run, Err(Error::Interrupted | Error::Io { .. })) {
        context.console.say(&format!("kept in {place}: {}; the same command continues", counted(rows, "row")));
    }
    let (mut summary, end) = match run {
        Err(Error::Interrupted) => (Summary::unmeasured(started.elapsed().as_secs_f64()), End::Interrupted),
        run => (run?, End::Finished),
    };
    if summary.provider.is_none() {
        summary.provider = folder.provider()?;
    }
    let kept = match end {
        End::Finished => folder.finish()?,
        End::Interrupted => folder.kept()?,
    };
    for reason in &kept.held_back {
        context.console.say(reason);
    }
    Ok(Ran { summary, kept, end })
}
