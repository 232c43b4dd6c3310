//! From backbone and head to the exported file, verified before it is kept.

use std::path::{Path, PathBuf};

use super::super::Context;
use super::super::inputs::{self, SourceArgs};
use super::super::results::table;
use super::super::train::METRICS;
use crate::backbone::Backbone;
use crate::error::{Error, Result};
use crate::export::{Agreement, Exported, Extra, Metrics, TokenizerRecord, Verification, card, fuse, replaceable_card};
use crate::features::FeatureSet;
use crate::file::{self, AtomicFolder};
use crate::head::{HeadFile, Scored};
use crate::onnx::{Model, external_paths, read_model, signature, stored_bytes, weights_beside, write_model};
use crate::progress::Progress;
use crate::source::Entry;

/// What is written.
#[derive(Debug, Clone)]
pub(in super::super) struct Files {
    pub(in super::super) model: PathBuf,
    pub(in super::super) card: PathBuf,
    /// Of a model that is too large for one file.
    weights: PathBuf,
    /// Of texts.
    pub(in super::super) tokenizer: Option<PathBuf>,
}

impl Files {
    /// The model and what belongs beside it, as far as is known before the backbone is.
    ///
    /// # Errors
    /// When it is not called `.onnx`, or something else than a card is where the card goes.
    pub(in super::super) fn of(model: &Path) -> Result<Self> {
        if model.extension().is_none_or(|extension| extension != "onnx") {
            return Err(Error::Usage(format!("a model is an ONNX file: name it .onnx, not {}", model.display())));
        }
        if model.is_dir() {
            return Err(Error::in_the_way(model, "it is a folder: give another -o"));
        }
        let card = model.with_extension("md");
        // Its refusal names --overwrite, which does not help against this one.
        replaceable_card(&card)?;
        Ok(Self { model: model.to_path_buf(), card, weights: weights_beside(model), tokenizer: None })
    }

    /// The same with the tokenizer that the backbone has.
    pub(in super::super) fn beside(self, backbone: &Backbone) -> Self {
        let tokenizer = backbone.tokenizer.as_ref().map(|_| self.model.with_extension("tokenizer.json"));
        Self { tokenizer, ..self }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.model, &self.card, &self.weights].into_iter().chain(&self.tokenizer)
    }

    /// Fails where something is there that must stay: one of the `sources`, told as what it is, or, unless `overwrite`, anything.
    pub(in super::super) fn may_write(&self, sources: &[(&Path, &str)], overwrite: bool) -> Result<()> {
        for (source, what) in sources {
            if let Some(file) = self.all().find(|file| same_file::is_same_file(file, source).unwrap_or(false)) {
                return Err(Error::in_the_way(file, format!("it is {what}: give another -o")));
            }
        }
        match self.all().find(|path| path.exists()) {
            Some(path) if !overwrite => Err(Error::Exists(path.clone())),
            _ => Ok(()),
        }
    }
}

/// An export that is not in its place yet: dropped, it leaves nothing.
pub(in super::super) struct Delivery<'a> {
    context: &'a Context,
    source: &'a SourceArgs,
    files: &'a Files,
    /// A sibling, so that all can be renamed into place.
    staging: AtomicFolder,
}

impl<'a> Delivery<'a> {
    /// Fuses backbone and head into a file that only this knows.
    pub(in super::super) fn fuse(
        context: &'a Context,
        source: &'a SourceArgs,
        files: &'a Files,
        (backbone, head): (&Backbone, &HeadFile),
        extra: Extra,
    ) -> Result<(Self, Model)> {
        let staging = AtomicFolder::create(&files.model)?;
        let delivery = Self { context, source, files, staging };
        let record = match (&backbone.tokenizer, &files.tokenizer) {
            (Some(from), Some(to)) => {
                let tokenizer = file::read(from)?;
                file::write_atomic(&delivery.staged(to), &tokenizer).map_err(|error| delivery.told(error))?;
                let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Some(TokenizerRecord { file: name, sha256: file::sha256_hex(&tokenizer) })
            }
            _ => None,
        };
        let model = fuse(backbone, record, head, extra)?;
        write_model(&model, &delivery.model()).map_err(|error| delivery.told(error))?;
        Ok((delivery, model))
    }

    /// The error with the names that the hidden files have once they are in their place.
    pub(super) fn told(&self, error: Error) -> Error {
        told(error, self.folder(), &self.files.model)
    }

    fn staged(&self, path: &Path) -> PathBuf {
        self.folder().join(path.file_name().unwrap_or_default())
    }

    /// Where things may lie until the export is in its place.
    pub(super) fn folder(&self) -> &Path {
        self.staging.staging()
    }

    /// The model, while it is not in its place.
    pub(super) fn model(&self) -> PathBuf {
        self.staged(&self.files.model)
    }

    /// The model as it was written, with how far it agrees with what is `expected` of the entries, whose ids these are.
    ///
    /// # Errors
    /// When it does not within `tolerance`: the samples that differ most are told.
    pub(in super::super) fn verify(
        &self,
        entries: Vec<Entry>,
        ids: &[String],
        expected: &Scored,
        tolerance: f64,
    ) -> Result<(Exported, Agreement)> {
        let exported = Exported::read(&self.model()).map_err(|error| self.told(error))?;
        self.context.console.note("verifying: the same samples through the file");
        let said = self.through(&exported, entries, ids)?;
        let agreement = Agreement::of(ids, expected, &said, tolerance)?;
        if !agreement.holds(tolerance) {
            self.context.console.say(&worst(&agreement, &exported.head));
            return Err(refused(&self.files.model, &agreement, tolerance));
        }
        Ok((exported, agreement))
    }

    /// What the file says of the entries.
    pub(super) fn through(&self, exported: &Exported, entries: Vec<Entry>, ids: &[String]) -> Result<Scored> {
        let rows = exported.as_backbone().and_then(|backbone| self.embed(&backbone, entries));
        let rows = rows.map_err(|error| self.told(error))?;
        if rows.ids != ids {
            return Err(Error::Data("the file took other samples than the backbone".into()));
        }
        Ok(exported.scored(rows.matrix)?.0)
    }

    pub(super) fn embed(&self, backbone: &Backbone, entries: Vec<Entry>) -> Result<FeatureSet> {
        inputs::embed_entries(self.context, self.source, backbone, entries)
    }

    /// Writes the card, with what `more` says of the model of so many bytes at its end, and puts everything in its place. Returns the
    /// bytes of the model.
    pub(in super::super) fn commit(
        self,
        exported: &Exported,
        verification: &Verification,
        more: impl FnOnce(u64) -> String,
    ) -> Result<u64> {
        let (staged, output) = (self.model(), &self.files.model);
        let told = |error| self.told(error);
        let size = stored_bytes(&staged).map_err(told)?;
        let graph = read_model(&staged).map_err(told)?;
        let name = output.file_stem().unwrap_or_default().to_string_lossy();
        let metrics: Option<Metrics> = exported.head.attached(METRICS)?;
        let about = (&exported.head, &exported.record, metrics.as_ref());
        let digest = file::sha256_file(&staged).map_err(told)?;
        let text = card(&name, about, &signature(&graph), verification)
            + &more(size)
            + &format!("\nsha256 of {name}.onnx: {digest}\n");
        file::write_atomic(&self.staged(&self.files.card), text.as_bytes()).map_err(told)?;
        let weights = external_paths(&graph, &staged).map_err(told)?;
        let weights: Vec<PathBuf> =
            weights.iter().map(|path| output.with_file_name(path.file_name().unwrap_or_default())).collect();
        // An old model must not be seen with what belongs to the new one; the new one comes last: where it is, all is.
        let left_over = weights.is_empty() && self.files.weights.exists();
        if left_over || !weights.is_empty() || self.files.tokenizer.is_some() {
            file::remove_if_there("replace", output)?;
        }
        if left_over {
            file::remove_if_there("replace", &self.files.weights)?;
        }
        for path in weights.iter().chain(&self.files.tokenizer).chain([&self.files.card, output]) {
            std::fs::rename(self.staged(path), path).map_err(Error::io("rename", path))?;
        }
        file::sync_names(output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")));
        Ok(size)
    }
}

fn refused(path: &Path, agreement: &Agreement, tolerance: f64) -> Error {
    let Agreement { samples, greatest_difference, greatest_probability_difference, other_labels, .. } = agreement;
    Error::Data(format!(
        "{} was not written: of {samples} samples {other_labels} got another label, logits differ by up to \
         {greatest_difference:.1e} of the greatest and probabilities by {greatest_probability_difference:.1e}, where \
         {tolerance:.0e} is allowed",
        path.display()
    ))
}

/// The samples that differ most.
fn worst(agreement: &Agreement, head: &HeadFile) -> String {
    let class = |class: usize| head.labels.get(class).cloned().unwrap_or_default();
    let lines = agreement
        .worst
        .iter()
        .map(|row| vec![row.id.clone(), format!("{:.1e}", row.difference), class(row.expected), class(row.got)]);
    table(&["sample", "difference", "two steps", "file"], lines)
}

/// The error with the names that hidden files were to have later.
fn told(error: Error, hidden: &Path, output: &Path) -> Error {
    let later = |path: &Path| path.strip_prefix(hidden).ok().map(|inside| output.with_file_name(inside));
    match error {
        Error::Io { action, path, source } => Error::Io { action, path: later(&path).unwrap_or(path), source },
        Error::Malformed { path, reason } => Error::Malformed { path: later(&path).unwrap_or(path), reason },
        Error::Model { model, reason } => match later(Path::new(&model)) {
            Some(path) => Error::model(path.display(), reason),
            None => Error::Model { model, reason },
        },
        other => other,
    }
}
