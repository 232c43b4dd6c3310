//! A trained model at work: a head beside its backbone, or an exported file that holds both.

use std::path::{Path, PathBuf};

use super::Context;
use super::inputs;
use super::model_args::ModelArgs;
use crate::backbone::Backbone;
use crate::error::{Error, Result};
use crate::export::{ExportPrecision, Exported};
use crate::features::FeatureSet;
use crate::head::{HeadFile, Scored};
use crate::onnx::read_whole_model;
use crate::progress::Progress;

/// What MODEL.onnx names.
#[derive(Debug)]
pub(super) enum Classifier {
    /// A head from `train`.
    Head(PathBuf, HeadFile),
    /// A model from `export`.
    Exported(Exported),
}

impl Classifier {
    /// Reads it; `model` is what `--model` says.
    pub(super) fn read(path: &Path, model: &ModelArgs) -> Result<Self> {
        let file = read_whole_model(path)?;
        match Exported::is(&file) {
            true if model.model.is_some() => {
                Err(Error::Usage(format!("{} holds its backbone: leave out --model", path.display())))
            }
            true => Exported::of(path, file).map(Self::Exported),
            false => Ok(Self::Head(path.to_path_buf(), HeadFile::of(path, &file)?)),
        }
    }

    /// The file.
    fn path(&self) -> &Path {
        match self {
            Self::Head(path, _) => path,
            Self::Exported(exported) => &exported.path,
        }
    }

    /// The head; what an exported model says of its own.
    pub(super) fn head(&self) -> &HeadFile {
        match self {
            Self::Head(_, head) => head,
            Self::Exported(exported) => &exported.head,
        }
    }

    /// What raw inputs go through: the backbone that the head was trained on (`--model` for one that does not say), or the whole
    /// exported file.
    pub(super) fn backbone(&self, model: &ModelArgs, context: &Context) -> Result<Backbone> {
        match self {
            Self::Exported(exported) => exported.as_backbone(),
            Self::Head(_, head) => backbone_of(head, model, context),
        }
    }

    /// What the model says of features of `inputs`, after checking that they are of its backbone. Rows that went through an exported file
    /// become its embeddings, or its logits where it does not give any. Features of its backbone go through its head, which in a smaller
    /// precision would say nothing of the file.
    pub(super) fn score(&self, context: &Context, inputs: &[PathBuf], features: &mut FeatureSet) -> Result<Scored> {
        if let Self::Exported(exported) = self
            && let Some(own) = &features.provenance
            && own.output == exported.output()
            && own.backbone == exported.path.display().to_string()
        {
            let (scored, embeddings) = exported.scored(std::mem::take(&mut features.matrix))?;
            features.matrix = embeddings.unwrap_or_else(|| scored.logits.clone());
            return Ok(scored);
        }
        check_same_backbone(context, (self.path(), self.head()), (inputs, features))?;
        if let Self::Exported(Exported { path, record, .. }) = self
            && record.precision != ExportPrecision::F32
        {
            return Err(Error::Usage(format!(
                "{} computes in {}, and the features of {} are of its backbone in f32: give the images or texts themselves",
                path.display(),
                record.precision.name(),
                inputs::names(inputs)
            )));
        }
        self.head().score(features.matrix.view())
    }
}

/// The backbone a head was trained on; `--model` for one that does not say.
pub(super) fn backbone_of(head: &HeadFile, model: &ModelArgs, context: &Context) -> Result<Backbone> {
    match &head.provenance {
        Some(provenance) => model.recall(context, provenance),
        None => model.resolve(context),
    }
}

/// Fails unless features may be of the head's backbone, preprocessing and pooling; says so where nothing proves that they are.
pub(super) fn check_same_backbone(
    context: &Context,
    (path, head): (&Path, &HeadFile),
    (inputs, features): (&[PathBuf], &FeatureSet),
) -> Result<()> {
    let (head_file, files) =
        (path.display(), if inputs.is_empty() { "samples".to_owned() } else { inputs::names(inputs) });
    if head.provenance.is_none() || features.provenance.is_none() {
        let which = if head.provenance.is_none() { head_file.to_string() } else { files };
        context.console.note(&format!(
            "warning: nothing says which backbone {which} is of; if it is not the same, the results mean nothing"
        ));
        return Ok(());
    }
    let of = format!("the head {head_file} and the features of {files}");
    inputs::check_same_making(head.provenance.as_ref(), features, &of)
}
