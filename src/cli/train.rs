//! `engraft train`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::adaptation::{AdaptArgs, Adaptation, AdaptedHead, Target};
use super::confidence::CalibrationVerdict;
use super::eval::{Verdict, judge};
use super::fit::{Chosen, FitArgs, Fitted};
use super::inputs::{self, SourceArgs};
use super::judging::Divided;
use super::model_args::ModelArgs;
use super::{Context, Status};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::export::{Metric, Metrics};
use crate::features::FeatureSet;
use crate::head::{Certificate, HeadFile, HeadKind};
use crate::progress::Progress;
use crate::report::Figure;
use crate::source::Split;

/// Train a head, a linear probe unless told otherwise, and save it as an ONNX file
///
/// INPUT is features (from `engraft embed`), or labelled images or texts with --model. A fifth of the rows is held out,
/// the head is fitted on the rest, and the accuracy on the rows it has not seen is reported.
///
/// With --label-separator a row may have any number of labels: the head is a logistic regression for each label against the
/// rest, all fitted together, and the report is of subset accuracy, micro and macro F1, and the areas under the curves. Rows are
/// held out, and divided into the folds of --cv, so that each part has its share of every label (iterative stratification).
///
/// Examples:
///   engraft train photos.parquet -o head.onnx
///   engraft train reviews.csv --model all-minilm-l6-v2 --label-column stars -o head.onnx
///   engraft train photos.parquet --head knn -o knn.onnx
///   engraft train photos.parquet --head auto --cv 5 -o head.onnx
///   engraft train scenes.csv --model efficientnet-lite0 --label-separator ';' -o head.onnx
///   engraft train photos.parquet --target sketches.parquet -o head.onnx --report adaptation.html
///   engraft train scans.csv --model efficientnet-lite0 --group-column patient --cv 5 --repeats 3 -o head.onnx
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Train {
    /// Features, or labelled images or texts
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The head to write
    #[arg(long, short, value_name = "HEAD.onnx")]
    output: PathBuf,
    /// Replace an output that is there
    #[arg(long)]
    overwrite: bool,
    /// Rows may have any number of labels, with TEXT between them: beach;sunset. A row with an empty cell is left out, as one
    /// whose labels nobody has told; a row that has none of the labels says so by TEXT alone
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    label_separator: Option<String>,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    adapt: AdaptArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// What training did; the report is of the rows that were held out.
#[derive(Debug, Serialize)]
pub(super) struct Trained {
    pub(super) head: PathBuf,
    pub(super) classes: usize,
    pub(super) n_train: usize,
    /// Of a logistic or ridge head: the others minimise nothing that could be certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<Certificate>,
    /// Of `--calibrate`: what it did and is worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) calibration: Option<CalibrationVerdict>,
    /// Of `--ood`: rows that score above it are out of distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ood_threshold: Option<f64>,
    /// Of `--target`: how the head was adapted.
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptation: Option<Adaptation>,
    /// Of `--head auto`: what was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) choice: Option<Chosen>,
    #[serde(flatten)]
    pub(super) report: Option<Verdict>,
    /// What rows the report is of.
    #[serde(skip)]
    judged: String,
    /// The rows that were held out: what `predict` may be tried on.
    #[serde(skip)]
    pub(super) held_out: FeatureSet,
}

impl Train {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        if !self.overwrite && self.output.exists() {
            return Err(Error::Exists(self.output));
        }
        if self.output.extension().is_none_or(|e| e != "onnx") {
            return Err(Error::Usage(format!(
                "the head is an ONNX file: name it .onnx, not {}",
                self.output.display()
            )));
        }
        self.fit.check_flags()?;
        if self.label_separator.is_some() {
            self.fit.check_multi_label()?;
        }
        self.adapt.check(self.overwrite)?;
        if self.adapt.is_wanted() {
            self.fit.check_adapted(self.label_separator.is_some())?;
        }
        let backbone = || self.model.resolve(context);
        let columns = self.fit.judging.holdout.columns();
        let loaded = inputs::load_keeping(context, &self.inputs, (&self.source, columns), backbone)?;
        let status = self.source.status(loaded.rejects.len(), loaded.features.ids.len());
        let labelled = labelled(context, loaded.features)?;
        match &self.label_separator {
            None => {
                let trained = match self.adapt.is_wanted() {
                    false => self.fit.train(context, labelled, &self.output)?,
                    true => {
                        let target = self.adapt.read(context, &self.source, backbone)?;
                        self.train_adapted(context, labelled, target)?
                    }
                };
                context.result(&trained, || trained.text())?;
            }
            Some(separator) => {
                let trained = self.fit.train_multi_label(context, labelled, separator, &self.output)?;
                context.result(&trained, || trained.text())?;
            }
        }
        Ok(status)
    }
}

/// The rows that have a label.
pub(super) fn labelled(context: &Context, features: FeatureSet) -> Result<FeatureSet> {
    let rows: Vec<usize> = (0..features.ids.len()).filter(|&i| features.labels[i].is_some()).collect();
    if rows.is_empty() {
        return Err(no_labels());
    }
    if rows.len() == features.ids.len() {
        return Ok(features);
    }
    context.console.note(&format!("left out: {} without a label", counted(features.ids.len() - rows.len(), "row")));
    Ok(features.into_rows(&rows))
}

/// The error when nothing says which class a row is of.
pub(super) fn no_labels() -> Error {
    Error::Data(
        "no row has a label: put the images of each class into a folder of its own, or name a table's column with \
         --label-column"
            .to_owned(),
    )
}

impl FitArgs {
    /// Splits, fits, evaluates on what was held out, and writes the head. The features may be most of the memory there is, so
    /// that no step makes a copy of them.
    pub(super) fn train(&self, context: &Context, features: FeatureSet, output: &Path) -> Result<Trained> {
        let split = match self.judging.cv {
            Some(_) => Split { train: (0..features.len()).collect(), ..Split::default() },
            None => self.judging.holdout.split(context, &features)?,
        };
        let divided = self.judging.holdout.arrange(features, split)?;
        let known = divided.known();
        let cross_validate = |folds| self.cross_validate(context, &divided, folds);
        let cross_validated = self.judging.cv.map(cross_validate).transpose()?;
        let (settled, chosen) = self.settle(context, known)?;
        let Fitted { kind, head, certificate, note } = settled.head.fit(context, known, &context.console)?;
        if !note.is_empty() {
            context.console.note(&note);
        }
        if let Some(certificate) = &certificate {
            warn_unconverged(context, certificate);
        }
        let confidence = settled.confidence(context, &head, known, &divided.names)?;
        let Divided { features, names, classes, n_train, .. } = divided;
        let provenance = features.provenance.clone();
        let mut head = HeadFile { provenance, certificate, ..HeadFile::new(kind, head, names) };
        confidence.give(context, &mut head)?;
        let held_out = features.into_rows(&(n_train..classes.len()).collect::<Vec<_>>());
        let report = match cross_validated {
            Some(report) => Some(Verdict { report, sets: None, strange: None, groups: None }),
            None if held_out.is_empty() => None,
            None => {
                let scored = head.score(held_out.matrix.view())?;
                Some(judge(&head, &held_out, scored, context.seed)?.verdict)
            }
        };
        let judged = self.judging.judged();
        if let Some(verdict) = &report {
            head.attach(METRICS, &metrics(&judged, verdict.report.n, verdict.figures()))?;
        }
        head.write(output)?;
        Ok(Trained {
            head: output.to_path_buf(),
            classes: head.labels.len(),
            n_train,
            certificate,
            calibration: head.calibration.map(CalibrationVerdict::from),
            ood_threshold: head.detector.map(|detector| detector.threshold),
            adaptation: None,
            choice: chosen,
            report,
            judged,
            held_out,
        })
    }
}

/// What an adapted head is judged on.
const TARGET_ROWS: &str = "target rows, whose labels were not trained on";
/// What the adaptation is attached to a head as.
const ADAPTATION: &str = "adaptation";

impl Train {
    /// Fits on all source rows, adapts to the target, evaluates on the target rows that have a label, and writes the head.
    fn train_adapted(&self, context: &Context, source: FeatureSet, target: Target) -> Result<Trained> {
        for (rows, files) in
            [(Some(&target.rows), &self.adapt.target), (target.labelled.as_ref(), &self.adapt.target_labels)]
        {
            let Some(rows) = rows else { continue };
            AdaptArgs::check_same_making(&source, &self.inputs, rows, files)?;
        }
        let names = source.class_names();
        let classes = source.class_indices(&names)?;
        let fitted = self.adapt.fit(context, &self.fit, (&source, &classes, &names), &target)?;
        let AdaptedHead { head, certificate, adaptation, maps } = fitted;
        if let Some(certificate) = &certificate {
            warn_unconverged(context, certificate);
        }
        let n_train = source.len() + adaptation.labelled_rows;
        let provenance = source.provenance.clone();
        let mut head = HeadFile { provenance, certificate, ..HeadFile::new(HeadKind::Logistic, head.into(), names) };
        let labelled = target.rows.rows_labelled(&head.labels);
        let held_out = target.rows.into_rows(&labelled);
        let report = match held_out.is_empty() {
            true => None,
            false => Some(judge(&head, &held_out, head.score(held_out.matrix.view())?, context.seed)?.verdict),
        };
        if let Some(verdict) = &report {
            head.attach(METRICS, &metrics(TARGET_ROWS, verdict.report.n, verdict.figures()))?;
        }
        head.attach(ADAPTATION, &adaptation)?;
        head.write(&self.output)?;
        let made = (&self.inputs[..], head.provenance.as_ref());
        self.adapt.write_page(context, made, (&adaptation, maps), report.as_ref())?;
        Ok(Trained {
            head: self.output.clone(),
            classes: head.labels.len(),
            n_train,
            certificate,
            calibration: None,
            ood_threshold: None,
            adaptation: Some(adaptation),
            choice: None,
            report,
            judged: TARGET_ROWS.to_owned(),
            held_out,
        })
    }
}

/// What the figures of a head on rows it has not seen are attached to it as.
pub(super) const METRICS: &str = "metrics";

/// The figures on `n` rows, to travel with the head.
pub(super) fn metrics(judged: &str, n: usize, figures: Vec<Figure>) -> Metrics {
    let metric = |Figure { name, value, interval }| Metric { name, value, interval };
    Metrics { judged: judged.to_owned(), n, figures: figures.into_iter().map(metric).collect() }
}

/// Says so when a fit ended before it reached the optimum.
pub(super) fn warn_unconverged(context: &Context, certificate: &Certificate) {
    if !certificate.converged {
        context.console.note(&format!(
            "warning: the fit did not converge in {} iterations (gap {:.1e}); raise --max-iterations or --alpha",
            certificate.iterations, certificate.gap
        ));
    }
}

/// A certificate in one line.
pub(super) fn certified(certificate: &Certificate) -> String {
    let Certificate { objective, gradient_norm, gap, iterations, converged, seconds } = certificate;
    let converged = if *converged { "converged" } else { "NOT CONVERGED" };
    format!(
        "{converged} in {}, {seconds:.2} s: objective {objective:.6}, at most {gap:.1e} above the optimum, gradient {gradient_norm:.1e} of the start\n",
        counted(iterations, "iteration")
    )
}

/// What was learned from how much, and where it is: the last line.
pub(super) fn closing(classes: &str, n_train: usize, head: &Path) -> String {
    format!("{classes}, {}: {}", counted(n_train, "training row"), head.display())
}

impl Trained {
    pub(super) fn text(&self) -> String {
        let mut text = self.choice.as_ref().map_or_else(String::new, |choice| choice.text() + "\n\n");
        text += &self.adaptation.as_ref().map_or_else(String::new, |adaptation| adaptation.text() + "\n");
        text += &self.certificate.as_ref().map_or_else(String::new, certified);
        if let Some(harm) = self.calibration.as_ref().and_then(CalibrationVerdict::text) {
            text += &(harm + "\n");
        }
        match &self.report {
            Some(report) => text += &report.headline(&self.judged),
            None if self.adaptation.is_some() => {
                text += "no target row has a label that the head knows, so there is no accuracy to report"
            }
            None => text += "no rows were held out, so there is no accuracy to report",
        }
        text + "\n" + &closing(&counted(self.classes, "class"), self.n_train, &self.head)
    }
}
