//! `engraft eval --report`: the evaluation as a page.

pub(super) mod command;
mod curve;
mod facts;
mod previews;

use std::path::{Path, PathBuf};

use super::Context;
use super::eval::Judged;
use super::inputs::SourceArgs;
use crate::error::{Error, Result};
use crate::eval::argmax;
use crate::features::FeatureSet;
use crate::file;
use crate::head::HeadFile;
use crate::progress::Progress;
use crate::report::{CurvePoint, EmbeddingMap, Page, Row, render};
use crate::tune::Epoch;

/// Whether the page is written, and what it shows besides.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Report")]
pub(super) struct ReportArgs {
    /// Write one HTML page that needs no network: figures, charts, a map of the embeddings, the worst mistakes
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Replace the report if it is there
    #[arg(long)]
    overwrite: bool,
    /// The images or texts that the INPUT's features were made from, named as they were to embed: the report shows them
    #[arg(long, value_name = "INPUT", requires = "report")]
    samples: Vec<PathBuf>,
    /// Labelled features, images or texts that were trained on: the report shows what more labels brought
    #[arg(long, value_name = "INPUT", requires = "report")]
    curve: Vec<PathBuf>,
}

/// What a page is made of.
pub(super) struct Evaluation<'a> {
    pub(super) model: &'a Path,
    pub(super) inputs: &'a [PathBuf],
    pub(super) source: &'a SourceArgs,
    pub(super) head: &'a HeadFile,
    /// The rows that were evaluated.
    pub(super) features: &'a FeatureSet,
    pub(super) judged: &'a Judged,
    /// Rows without a label that the head knows, and inputs that could not be embedded.
    pub(super) left_out: usize,
    pub(super) rejects: usize,
}

impl ReportArgs {
    /// Whether a page was asked for.
    pub(super) fn is_wanted(&self) -> bool {
        self.report.is_some()
    }

    /// Fails where the page could not be written, before anything is computed for it.
    pub(super) fn check(&self) -> Result<()> {
        self.report.as_deref().map_or(Ok(()), |path| check_page(path, self.overwrite))
    }

    /// Writes the page if it was asked for. `curve` reads what was trained on.
    pub(super) fn write(
        &self,
        context: &Context,
        evaluation: &Evaluation,
        curve: impl FnOnce(&[PathBuf]) -> Result<FeatureSet>,
    ) -> Result<()> {
        let Some(path) = &self.report else { return Ok(()) };
        let points = match self.curve.as_slice() {
            [] => Vec::new(),
            inputs => curve::points(context, evaluation, (inputs, curve(inputs)?))?,
        };
        write_page(context, path, evaluation, Besides { samples: &self.samples, curve: points, training: &[] })
    }
}

/// What a page shows besides.
pub(super) struct Besides<'a> {
    /// What the rows were made from.
    pub(super) samples: &'a [PathBuf],
    /// What more labels brought.
    pub(super) curve: Vec<CurvePoint>,
    /// How a fine-tuning went.
    pub(super) training: &'a [Epoch],
}

/// Fails where a page could not be written.
pub(super) fn check_page(path: &Path, overwrite: bool) -> Result<()> {
    match path {
        path if path.is_dir() => Err(Error::Usage(format!("{} is a folder", path.display()))),
        path if !overwrite && path.exists() => Err(Error::Exists(path.to_path_buf())),
        _ => Ok(()),
    }
}

/// Writes the page.
pub(super) fn write_page(context: &Context, path: &Path, evaluation: &Evaluation, besides: Besides) -> Result<()> {
    let progress: &dyn Progress = &context.console;
    progress.begin("drawing the map", None);
    let map = EmbeddingMap::new(evaluation.features.matrix.view(), context.seed);
    progress.end();
    let (rows, map) = (rows(evaluation.features, evaluation.judged), map?);
    let previews = previews::previews(context, besides.samples, evaluation, &rows, &map)?;
    let page = Page {
        title: format!("{} on {}", evaluation.model.display(), names(evaluation.inputs)),
        command: command::line(),
        report: evaluation.judged.verdict.report.clone(),
        figures: evaluation.judged.verdict.figures(),
        facts: facts::facts(context, evaluation)?,
        curve: besides.curve,
        training: besides.training.to_vec(),
        rows,
        previews,
        map: Some(map),
    };
    file::write_atomic(path, render(&page)?.as_bytes())
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The evaluated rows as pages and terminals tell of them.
pub(super) fn rows(features: &FeatureSet, judged: &Judged) -> Vec<Row> {
    let Judged { truth, probabilities, .. } = judged;
    let classes = truth.iter().zip(argmax(probabilities.view()));
    let rows = features.ids.iter().zip(classes).zip(probabilities.outer_iter());
    rows.map(|((id, (&label, predicted)), of_row)| Row {
        id: id.clone(),
        label,
        predicted,
        confidence: of_row[predicted],
        label_probability: of_row[label],
    })
    .collect()
}
