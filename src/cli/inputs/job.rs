//! Raw inputs through a backbone.

use std::path::PathBuf;

use super::super::Context;
use super::SourceArgs;
use crate::backbone::Backbone;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::extract::{Extraction, Options, Sink, Summary};
use crate::features::{FeatureSet, Part, Precision, Provenance};
use crate::preprocess::Preprocessing;
use crate::source::{Modality, Reject, Source, SourceOptions, open_all};

/// What a backbone of this preprocessing reads.
pub(in super::super) fn modality(preprocessing: &Preprocessing) -> Modality {
    match preprocessing {
        Preprocessing::Image(_) => Modality::Image,
        Preprocessing::Text(_) => Modality::Text,
    }
}

/// Inputs and a backbone, opened and ready to run.
pub(in super::super) struct Job<'a> {
    pub(in super::super) extraction: Extraction<'a>,
    pub(in super::super) source: Source,
    pub(in super::super) options: SourceOptions,
    backbone: &'a Backbone,
}

/// Opens the inputs and the backbone.
pub(in super::super) fn open<'a>(
    context: &'a Context,
    inputs: &[PathBuf],
    source: &SourceArgs,
    (keep, stored): (&[String], Precision),
    backbone: &'a Backbone,
) -> Result<Job<'a>> {
    let of_source = source.options(modality(&backbone.preprocessing), keep);
    let inputs = open_all(inputs, &of_source)?;
    let options = Options { stored, ..source.pipeline(context) };
    let extraction = Extraction::new(context.runtime()?, &context.home, backbone, options)?;
    Ok(Job { extraction, source: inputs, options: of_source, backbone })
}

impl Job<'_> {
    /// Runs the inputs through the backbone into `sink`.
    pub(in super::super) fn run(self, context: &Context, sink: &mut dyn Sink) -> Result<Summary> {
        let summary = self.extraction.run(self.source, sink, &context.console)?;
        if summary.truncated > 0 {
            let (n, name) = (summary.truncated, &self.backbone.name);
            context.console.say(&format!("{} cut: longer than {name} takes", counted(n, "text")));
        }
        Ok(summary)
    }
}

/// Features and what could not be embedded.
#[derive(Debug)]
pub(in super::super) struct Loaded {
    pub(in super::super) features: FeatureSet,
    pub(in super::super) rejects: Vec<Reject>,
}

/// Embeds raw inputs in memory, with these columns besides, and tells of the first rejects.
pub(in super::super) fn embed_all(
    context: &Context,
    inputs: &[PathBuf],
    (source, keep): (&SourceArgs, &[String]),
    backbone: &Backbone,
) -> Result<Loaded> {
    let mut memory = Memory { keep, parts: Vec::new(), rejects: Vec::new() };
    embed(context, inputs, (source, keep), backbone, &mut memory)?;
    if memory.parts.is_empty() {
        return Err(nothing_embedded(memory.rejects.first(), memory.rejects.len()));
    }
    for reject in memory.rejects.iter().take(5) {
        context.console.say(&format!("rejected {}: {}", reject.id, reject.reason));
    }
    if memory.rejects.len() > 5 {
        context.console.say(&format!("... and {}", counted(memory.rejects.len() - 5, "more reject")));
    }
    Ok(Loaded { features: FeatureSet::concat(memory.parts)?, rejects: memory.rejects })
}

/// Runs the inputs through the backbone into `sink`, with these columns besides.
pub(in super::super) fn embed(
    context: &Context,
    inputs: &[PathBuf],
    (source, keep): (&SourceArgs, &[String]),
    backbone: &Backbone,
    sink: &mut dyn Sink,
) -> Result<Summary> {
    open(context, inputs, source, (keep, Precision::F32), backbone)?.run(context, sink)
}

/// The error when every input was rejected.
pub(in super::super) fn nothing_embedded(first: Option<&Reject>, count: usize) -> Error {
    let first = first.map_or_else(String::new, |r| format!("; the first, {}: {}", r.id, r.reason));
    Error::Data(format!("no input could be embedded, {count} rejected{first}"))
}

/// Keeps everything in memory.
pub(super) struct Memory<'a> {
    /// Names of the kept columns.
    pub(super) keep: &'a [String],
    pub(super) parts: Vec<FeatureSet>,
    pub(super) rejects: Vec<Reject>,
}

impl Sink for Memory<'_> {
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        self.rejects.extend(part.rejects);
        let rows = part.rows;
        if !rows.ids.is_empty() {
            self.parts.push(FeatureSet {
                ids: rows.ids,
                labels: rows.labels,
                contents: rows.contents,
                kept: self.keep.iter().cloned().zip(rows.kept).collect(),
                matrix: rows.matrix,
                provenance: Some(provenance.clone()),
            });
        }
        Ok(())
    }
}
