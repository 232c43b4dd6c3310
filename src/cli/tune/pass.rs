//! The trunk is run once over all samples that are learned from, and what it gives is kept.

use super::super::Context;
use super::subject::Subject;
use super::work::Work;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::extract::Feed;
use crate::progress::Progress;
use crate::tune::{ActivationWriter, Activations, Also, Kept, Value, bytes_per_sample};

/// How activations are kept.
pub(super) struct Store {
    pub(super) kept: Kept,
    /// Bytes at most.
    pub(super) limit: u64,
}

impl Store {
    /// The activations of all batches: those that are in the folder, or else computed now. `first` is what the trunk gives for the first
    /// batch.
    ///
    /// # Errors
    /// [`Error::Data`] when they would be larger than the limit; [`Error::Interrupted`].
    pub(super) fn fill(
        &self,
        context: &Context,
        subject: &Subject,
        (feed, first): (&Feed, &[Value<f32>]),
        (work, fingerprint): (&Work, &str),
    ) -> Result<Activations> {
        let folder = work.activations();
        if folder.exists() {
            return Activations::open(&folder, fingerprint);
        }
        let samples: usize = feed.batches().iter().map(|batch| batch.samples.len()).sum();
        let bytes = self.estimate(feed, first);
        let what = if feed.batches().iter().any(|batch| batch.view > 0) { "view" } else { "sample" };
        let told = format!("activations of {}: about {:.1} MB", counted(samples, what), bytes / 1e6);
        if bytes > self.limit as f64 {
            return Err(Error::Data(format!(
                "{told}, and --cache-limit allows {:.1}: cut later, keep them with --cache f16, or raise it",
                self.limit as f64 / 1e6
            )));
        }
        context.console.note(&told);
        let mut trunk = subject.trunk(context, Also::Nothing, &work.model("trunk"))?;
        let mut writer = ActivationWriter::create(&folder, fingerprint, self.kept, self.limit)?;
        context.console.begin("running the trunk", Some(samples as u64));
        for batch in feed.batches() {
            if context.console.interrupted() {
                return Err(Error::Interrupted);
            }
            let passed = feed.run(batch, |inputs| trunk.run(inputs))?;
            writer.append(&passed.boundary)?;
            context.console.advance(batch.samples.len() as u64);
        }
        context.console.end();
        writer.finish()
    }

    /// As if every batch were like the first, token for token.
    fn estimate(&self, feed: &Feed, first: &[Value<f32>]) -> f64 {
        let units = |batch: &crate::extract::Batch| (batch.samples.len() * batch.units) as f64;
        let all: f64 = feed.batches().iter().map(units).sum();
        let of_first = feed.batches().first().map_or(1.0, units);
        bytes_per_sample(first, self.kept) as f64 / of_first * all
    }
}
