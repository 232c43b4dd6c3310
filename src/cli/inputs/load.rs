//! Features: read from files, or embedded now.

use std::path::{Path, PathBuf};

use super::super::Context;
use super::{Loaded, SourceArgs, embed_all};
use crate::backbone::{Backbone, Device, Provider};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::features::{FeatureSet, Format, Provenance, RunState, check_kept, run_state};
use crate::progress::Progress;
use crate::source::{exist, holds_embeddings};

/// Reads feature files, or embeds raw inputs with the backbone that `backbone` makes ready.
pub(in super::super) fn load(
    context: &Context,
    inputs: &[PathBuf],
    source: &SourceArgs,
    backbone: impl FnOnce() -> Result<Backbone>,
) -> Result<Loaded> {
    load_keeping(context, inputs, (source, &[]), backbone)
}

/// The same with the columns of these names.
pub(in super::super) fn load_keeping(
    context: &Context,
    inputs: &[PathBuf],
    (source, keep): (&SourceArgs, &[String]),
    backbone: impl FnOnce() -> Result<Backbone>,
) -> Result<Loaded> {
    check_kept(keep)?;
    let of_features = inputs
        .iter()
        .map(|p| are_features(p))
        .filter(|are| !matches!(are, Ok(false)))
        .collect::<Result<Vec<_>>>()?
        .len();
    if of_features == inputs.len() && !inputs.is_empty() {
        for input in inputs {
            if let Some(RunState { finished: false, entries, .. }) = run_state(input)? {
                let input = input.display();
                let done = counted(entries, "input");
                context.console.say(&format!("warning: the run in {input} is not finished: {done} done"));
            }
        }
        note_unused_device(context);
        let sets = inputs.iter().map(|p| FeatureSet::read_keeping(p, keep)).collect::<Result<Vec<_>>>()?;
        let features = FeatureSet::concat(sets).and_then(FeatureSet::finite).map_err(|e| named(e, inputs))?;
        return Ok(Loaded { features, rejects: Vec::new() });
    }
    if of_features > 0 {
        return Err(Error::Usage("some inputs are features and some are raw: give one kind".into()));
    }
    // Before a backbone is fetched in vain.
    exist(inputs)?;
    embed_all(context, inputs, (source, keep), &backbone()?)
}

/// Says so when a device was asked for and nothing is embedded.
pub(in super::super) fn note_unused_device(context: &Context) {
    if let Device::Only(provider) = context.device
        && provider != Provider::Cpu
    {
        let device = provider.name();
        context.console.note(&format!("nothing is embedded, and heads run on the CPU: --device {device} is not used"));
    }
}

/// Files in a message: of many, the first.
pub(in super::super) fn names(files: &[impl AsRef<Path>]) -> String {
    let shown: Vec<String> = files.iter().take(3).map(|file| file.as_ref().display().to_string()).collect();
    match files.len() - shown.len() {
        0 => shown.join(" and "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// An error about data or what does not match, with the files that it is about.
pub(in super::super) fn named(error: Error, files: &[impl AsRef<Path>]) -> Error {
    match error {
        Error::Data(reason) => Error::Data(format!("{}: {reason}", names(files))),
        Error::Mismatch { what, expected, got } => {
            Error::Mismatch { what: format!("{what} of {}", names(files)), expected, got }
        }
        other => other,
    }
}

/// Fails when features are known to be of another backbone, preprocessing or pooling than `known`, which is `of` the features or
/// the head that they are put beside: the result would be confident nonsense.
pub(in super::super) fn check_same_making(known: Option<&Provenance>, features: &FeatureSet, of: &str) -> Result<()> {
    match (known, &features.provenance) {
        (Some(known), Some(own)) => Provenance::same(Some(known), Some(own), || of.to_owned()),
        _ => Ok(()),
    }
}

/// Whether an input is features rather than what they are made from: both may be Parquet.
pub(in super::super) fn are_features(input: &Path) -> Result<bool> {
    match Format::detect(input) {
        None => Ok(false),
        Some(Format::Parquet) => holds_embeddings(input),
        Some(_) => Ok(true),
    }
}
