//! An exported model, read again.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Axis, s};

use super::fuse::INDEX;
use super::pooling::EMBEDDING;
use super::record::{ExportInput, ExportRecord, TokenizerRecord};
use crate::backbone::{Backbone, Feed, Output, Pooling};
use crate::error::{Error, Result};
use crate::file;
use crate::head::{EXPORT_KEY, HeadFile, Scored};
use crate::onnx::{
    CutPoint, DataType, Dimension, Model, Port, cut_between, described, metadata, read_whole_model, rename_tensor,
    signature,
};

/// An exported model: what its head is, and how the file is run.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The file.
    pub path: PathBuf,
    /// Its head, as it was before.
    pub head: HeadFile,
    /// What the file says of itself.
    pub record: ExportRecord,
    /// Whether it gives its embeddings.
    pub embeds: bool,
}

impl Exported {
    /// Whether a model was exported, and is not a head alone.
    pub fn is(model: &Model) -> bool {
        metadata(model, EXPORT_KEY).is_some()
    }

    /// Reads an exported model.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is none, or its head was changed.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(path, read_whole_model(path)?)
    }

    /// The exported model that was read from `path`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(path: &Path, model: Model) -> Result<Self> {
        let wrong = |reason: String| Error::malformed(path, reason);
        let record = ExportRecord::of(&model).map_err(wrong)?;
        let outputs = signature(&model).outputs;
        let embeds = outputs.iter().any(|port| port.name == EMBEDDING);
        let head = HeadFile::from_model(&head(model, &outputs, &path.display().to_string())?).map_err(wrong)?;
        Ok(Self { path: path.to_path_buf(), head, record, embeds })
    }

    /// What [`Self::as_backbone`] gives of each input: all outputs that are numbers, side by side.
    pub fn output(&self) -> Output {
        let mut outputs = vec!["logits", "probabilities"];
        outputs.extend(self.head.detector.as_ref().map(|_| "ood_score"));
        outputs.extend(self.embeds.then_some(EMBEDDING));
        Output { tensor: outputs.join(","), pooling: Pooling::None, normalize: false }
    }

    /// The whole file as a backbone, whose embeddings are what [`Self::scored`] takes apart.
    ///
    /// # Errors
    /// When the file does not say how its inputs are prepared, or its tokenizer is not beside it.
    pub fn as_backbone(&self) -> Result<Backbone> {
        let provenance = self.head.provenance.as_ref();
        let provenance = provenance.ok_or_else(|| Error::malformed(&self.path, "it has no engraft.provenance"))?;
        Ok(Backbone {
            name: self.path.display().to_string(),
            model: self.path.clone(),
            tokenizer: self.record.tokenizer.as_ref().map(|record| self.tokenizer(record)).transpose()?,
            preprocessing: provenance.preprocessing.clone(),
            feed: match self.record.input {
                ExportInput::RawImages => Feed::Decoded,
                ExportInput::Pixels | ExportInput::Tokens => Feed::Prepared,
            },
            output: self.output(),
            licence: self.record.licence.clone(),
        })
    }

    /// The tokenizer beside the file.
    fn tokenizer(&self, TokenizerRecord { file: name, sha256 }: &TokenizerRecord) -> Result<PathBuf> {
        if !file::is_inside(name) {
            return Err(Error::malformed(&self.path, format!("its tokenizer is in {name:?}, outside its folder")));
        }
        let path = self.path.with_file_name(name);
        if !path.exists() {
            let reason = format!(
                "its tokenizer must lie beside it, under the name that it was exported with: {}",
                path.display()
            );
            return Err(Error::malformed(&self.path, reason));
        }
        let got = file::sha256_file(&path)?;
        if got != *sha256 {
            let reason = format!(
                "{} is not the tokenizer that it was exported with (sha256 {sha256}), but another (sha256 {got})",
                path.display()
            );
            return Err(Error::malformed(&self.path, reason));
        }
        Ok(path)
    }

    /// What the file said of n inputs, from the rows that it gave as [`Self::as_backbone`].
    ///
    /// # Errors
    /// When there are not as many columns as the file has outputs.
    pub fn scored(&self, rows: Array2<f32>) -> Result<(Scored, Option<Array2<f32>>)> {
        let k = self.head.labels.len();
        let scores = usize::from(self.head.detector.is_some());
        let embedding = if self.embeds { self.head.head.dimension() } else { 0 };
        let columns = 2 * k + scores + embedding;
        if rows.ncols() != columns {
            let what = format!("the outputs of {}", self.path.display());
            return Err(Error::Mismatch { what, expected: columns.to_string(), got: rows.ncols().to_string() });
        }
        let part = |from: usize, to: usize| rows.slice(s![.., from..to]).to_owned();
        let scored = Scored {
            logits: part(0, k),
            probabilities: part(k, 2 * k),
            ood_scores: (scores == 1).then(|| rows.index_axis(Axis(1), 2 * k).to_owned()),
        };
        Ok((scored, self.embeds.then(|| part(2 * k + scores, columns))))
    }
}

/// The head alone, as its own file has it.
fn head(model: Model, outputs: &[Port], name: &str) -> Result<Model> {
    let named = |name: &str| outputs.iter().find(|port| port.name == name).cloned();
    let logits = named("logits");
    let rows = vec![Dimension::Named("n".to_owned())];
    let index = Port { name: INDEX.to_owned(), element: DataType::Int64, shape: Some(rows.clone()) };
    let label = if named("labels").is_some() { named("labels") } else { Some(index) };
    let wanted = [logits, named("probabilities"), label, named("ood_score")];
    let point = |output: Port| CutPoint { tensor: output.name.clone(), token: None, output };
    let points: Vec<CutPoint> = wanted.into_iter().flatten().map(point).collect();
    let starts: Vec<Port> = described(&model, EMBEDDING).into_iter().collect();
    let mut head = cut_between(model, &starts, &points, name)?;
    rename_tensor(&mut head, INDEX, "label");
    Ok(head)
}
