//! Some of the inputs, and how they are embedded.

use std::path::PathBuf;

use super::super::Context;
use super::SourceArgs;
use super::job::{Memory, nothing_embedded};
use crate::backbone::Backbone;
use crate::error::Result;
use crate::extract::{Extraction, Options, Sink, Summary};
use crate::features::FeatureSet;
use crate::progress::Progress;
use crate::source::{Entry, Listed, Source, SourceOptions, open_all};

/// So many of the inputs' entries, drawn at random and in their order; all where there are no more. Reads the inputs to their
/// end.
pub(in super::super) fn draw(
    inputs: &[PathBuf],
    options: &SourceOptions,
    most: usize,
    seed: u64,
) -> Result<Vec<Entry>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut drawn: Vec<Listed> = Vec::new();
    // Vitter's reservoir.
    for (seen, listed) in open_all(inputs, options)?.list.enumerate() {
        let listed = listed?;
        if drawn.len() < most {
            drawn.push(listed);
        } else if let Some(place) = drawn.get_mut(rng.usize(..=seen)) {
            *place = listed;
        }
    }
    drawn.sort_by_key(|listed| listed.position);
    Ok(drawn.into_iter().map(|listed| listed.entry).collect())
}

/// Embeds entries in batches of one size, one after the other, so that two runs differ in nothing but the backbone.
pub(in super::super) fn embed_entries(
    context: &Context,
    source: &SourceArgs,
    backbone: &Backbone,
    entries: Vec<Entry>,
) -> Result<FeatureSet> {
    let mut memory = Memory { keep: &[], parts: Vec::new(), rejects: Vec::new() };
    embed_entries_into(context, source, backbone, entries, (&mut memory, &context.console))?;
    if memory.parts.is_empty() {
        return Err(nothing_embedded(memory.rejects.first(), memory.rejects.len()));
    }
    FeatureSet::concat(memory.parts)
}

/// The same into `sink`.
pub(in super::super) fn embed_entries_into(
    context: &Context,
    source: &SourceArgs,
    backbone: &Backbone,
    entries: Vec<Entry>,
    (sink, progress): (&mut dyn Sink, &dyn Progress),
) -> Result<Summary> {
    let given = source.pipeline(context);
    let options = Options {
        workers: Some(1),
        batch_size: given.batch_size.or(Some(8)),
        batch_tokens: None,
        trace: None,
        ..given
    };
    let extraction = Extraction::new(context.runtime()?, &context.home, backbone, options)?;
    extraction.run(Source::of(entries), sink, progress)
}
