//! Features that are embedded once and read again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backbone::{Backbone, Overrides, registry};
use crate::cli::Context;
use crate::cli::inputs::{self, End, Ran, SourceArgs};
use crate::error::{Error, Result};
use crate::features::{Claim, Existing, FeatureSet, Precision, RunKey};

/// Where features are kept, and whether those that are there will do.
pub(super) struct Cache<'a> {
    pub(super) folder: PathBuf,
    pub(super) existing: Existing,
    pub(super) inputs: &'a [PathBuf],
    pub(super) source: &'a SourceArgs,
}

/// What a run cost when it was made.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cost {
    rows: usize,
    seconds: f64,
}

/// Features of one backbone.
pub(super) struct Embedded {
    pub(super) features: FeatureSet,
    pub(super) rejects: u64,
    /// Milliseconds a sample, where the run was made in one go.
    pub(super) milliseconds: Option<f64>,
}

impl Cache<'_> {
    /// Reads the features of the inputs by this backbone, or embeds what is missing of them: all, where the inputs have changed.
    pub(super) fn features(&self, context: &Context, backbone: &Backbone) -> Result<Embedded> {
        match self.continued(context, backbone, self.existing) {
            Err(Error::InputsChanged { difference, .. }) => {
                context.console.say(&format!(
                    "embedding anew with {}: {difference} (of image files, size and time count too)",
                    backbone.name
                ));
                self.continued(context, backbone, Existing::Replace)
            }
            other => other,
        }
    }

    fn continued(&self, context: &Context, backbone: &Backbone, existing: Existing) -> Result<Embedded> {
        let mut job = inputs::open(context, self.inputs, self.source, (&[], Precision::F32), backbone)?;
        // What is kept is read in silence: unlike a run that is resumed, it must not be of images that were replaced since.
        job.source = job.source.telling_images_apart();
        let key = RunKey::new(self.inputs, &job.options, job.extraction.provenance(), Precision::F32)?;
        let folder = self.folder.join(&key.digest()[..24]);
        std::fs::create_dir_all(&self.folder).map_err(Error::io("create", &self.folder))?;
        let claim = Claim::new(&folder, existing)?;
        let shards = claim.begin(key, Precision::F32, &[], &context.console)?;
        let Ran { summary, kept: finished, end } = inputs::run_into(context, job, shards, &folder)?;
        if end == End::Interrupted {
            return Err(Error::Interrupted);
        }
        if finished.rows == 0 {
            let rejects = usize::try_from(finished.rejects).unwrap_or(usize::MAX);
            return Err(inputs::nothing_embedded(finished.first_reject.as_ref(), rejects));
        }
        let beside = folder.with_extension("cost.json");
        if finished.resumed_rows == 0 {
            let cost = Cost { rows: summary.rows, seconds: summary.seconds };
            let text = serde_json::to_string(&cost).map_err(|e| Error::malformed(&beside, e))?;
            std::fs::write(&beside, text).map_err(Error::io("write", &beside))?;
        } else if summary.rows > 0 {
            // Of two runs neither tells what the whole would have cost.
            crate::file::remove_if_there("remove", &beside)?;
        }
        Ok(Embedded {
            features: FeatureSet::read(&folder)?.finite()?,
            rejects: finished.rejects,
            milliseconds: cost(&beside).map(|cost| 1000.0 * cost.seconds / cost.rows as f64),
        })
    }
}

/// What is known of the cost; a file that is not as it was written is as good as none.
fn cost(path: &Path) -> Option<Cost> {
    let text = std::fs::read(path).ok()?;
    serde_json::from_slice(&text).ok().filter(|cost: &Cost| cost.rows > 0)
}

/// The backbone that `name` or `name@layer` names.
pub(super) fn resolve(context: &Context, name: &str) -> Result<Backbone> {
    let layer = name.rsplit_once('@').and_then(|(name, layer)| Some((name, layer.parse::<i64>().ok()?)));
    let (name, overrides) = match layer {
        Some((name, layer)) => (name, Overrides { layers: Some(vec![layer]), ..Overrides::default() }),
        None => (name, Overrides::default()),
    };
    context.runtime()?;
    registry::resolve(name, &overrides, &context.home, &context.console)
}

/// The backbone of this name with the logits of its own head as its output, where it has such.
pub(super) fn with_logits(context: &Context, name: &str) -> Option<Backbone> {
    let overrides = Overrides { output_name: Some("logits".to_owned()), ..Overrides::default() };
    registry::resolve(name, &overrides, &context.home, &context.console).ok()
}
