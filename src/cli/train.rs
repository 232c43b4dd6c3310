//! `engraft train`.

use std::collections::HashSet;
use std::path::PathBuf;

use ndarray::{ArrayView2, Axis, s};
use serde::Serialize;

use super::confidence::CalibrationVerdict;
use super::eval::{Verdict, judge};
use super::fit::{Chosen, FitArgs, Fitted};
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::{Context, Status};
use crate::counted::counted;
use crate::curate::judge_out_of_fold;
use crate::error::{Error, Result};
use crate::eval::{Judgeable, Options, Report};
use crate::features::FeatureSet;
use crate::head::{Certificate, HeadFile};
use crate::progress::Progress;
use crate::source::{Split, shared_content, stratified_split};

/// Train a head, a linear probe unless told otherwise, and save it as an ONNX file
///
/// INPUT is features (from `engraft embed`), or labelled images or texts with --model. A fifth of the rows is held out,
/// the head is fitted on the rest, and the accuracy on the rows it has not seen is reported.
///
/// Examples:
///   engraft train photos.parquet -o head.onnx
///   engraft train reviews.csv --model all-minilm-l6-v2 --label-column stars -o head.onnx
///   engraft train photos.parquet --head knn -o knn.onnx
///   engraft train photos.parquet --head auto --cv 5 -o head.onnx
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
    #[command(flatten)]
    fit: FitArgs,
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
    /// Of `--head auto`: what was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) choice: Option<Chosen>,
    #[serde(flatten)]
    pub(super) report: Option<Verdict>,
    /// What rows the report is of.
    #[serde(skip)]
    judged: &'static str,
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
        let loaded = inputs::load(context, &self.inputs, &self.source, || self.model.resolve(context))?;
        let status = self.source.status(loaded.rejects.len(), loaded.features.ids.len());
        let labelled = labelled(context, loaded.features)?;
        let trained = self.fit.train(context, labelled, &self.output)?;
        context.result(&trained, || trained.text())?;
        Ok(status)
    }
}

/// The rows that have a label.
fn labelled(context: &Context, features: FeatureSet) -> Result<FeatureSet> {
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
    pub(super) fn train(&self, context: &Context, features: FeatureSet, output: &std::path::Path) -> Result<Trained> {
        let labels = features.class_names();
        let split = match self.cv {
            Some(_) => Split { train: (0..features.len()).collect(), ..Split::default() },
            None => self.split(context, &features)?,
        };
        let n_train = split.train.len();
        let features = features.into_rows(&[split.train, split.test].concat());
        let classes = features.class_indices(&labels)?;
        let (x, y) = (features.matrix.slice(s![..n_train, ..]), &classes[..n_train]);
        let cross_validated = match self.cv {
            Some(folds) => Some(self.cross_validate(context, &features, (&classes, &labels), folds)?),
            None => None,
        };
        let (settled, chosen) = self.settle(context, x, y)?;
        let Fitted { kind, head, certificate, note } = settled.fit(context, x, y)?;
        if !note.is_empty() {
            context.console.note(&note);
        }
        if let Some(certificate) = certificate.filter(|c| !c.converged) {
            context.console.note(&format!(
                "warning: the fit did not converge in {} iterations (gap {:.1e}); raise --max-iterations or --alpha",
                certificate.iterations, certificate.gap
            ));
        }
        let confidence = settled.confidence(context, &head, (x, y, &labels))?;
        let provenance = features.provenance.clone();
        let mut head = HeadFile { provenance, certificate, ..HeadFile::new(kind, head, labels) };
        confidence.give(context, &mut head)?;
        let held_out = features.into_rows(&(n_train..classes.len()).collect::<Vec<_>>());
        let report = match cross_validated {
            Some(report) => Some(Verdict { report, sets: None, strange: None }),
            None if held_out.is_empty() => None,
            None => Some(judge(&head, &held_out, context.seed)?.verdict),
        };
        head.write(output)?;
        Ok(Trained {
            head: output.to_path_buf(),
            classes: head.labels.len(),
            n_train,
            certificate,
            calibration: head.calibration.map(CalibrationVerdict::from),
            ood_threshold: head.detector.map(|detector| detector.threshold),
            choice: chosen,
            report,
            judged: if self.cv.is_some() { "cross-validated rows" } else { "held-out rows" },
            held_out,
        })
    }

    /// What is trained on and what is held out.
    fn split(&self, context: &Context, features: &FeatureSet) -> Result<Split> {
        if !(0.0..1.0).contains(&self.holdout) {
            return Err(Error::Usage(format!("--holdout must be at least 0 and below 1, got {}", self.holdout)));
        }
        if self.holdout == 0.0 {
            return Ok(Split { train: (0..features.ids.len()).collect(), ..Split::default() });
        }
        let split = stratified_split(&features.labels, self.holdout, context.seed)?;
        for class in &split.untested {
            context.console.note(&format!("class {class:?} has one sample only: it is trained on, not tested"));
        }
        let shared = shared_content(&features.contents, &split);
        if let Some(&(train, test)) = shared.first() {
            context.console.note(&format!(
                "warning: {} of {} held-out samples have the same content as a training sample ({} is {}): the reported accuracy is too good",
                shared.len(),
                split.test.len(),
                features.ids[test],
                features.ids[train]
            ));
        }
        Ok(split)
    }

    /// The report of each row by a head that was fitted, and where asked for chosen, without it.
    fn cross_validate(
        &self,
        context: &Context,
        features: &FeatureSet,
        (classes, names): (&[usize], &[String]),
        folds: usize,
    ) -> Result<Report> {
        let Judgeable { rows, labels, classes } = Judgeable::of(classes);
        let single = names.len() - classes.len();
        if single > 0 {
            context.console.note(&format!("{} of one sample only: trained on, not tested", counted(single, "class")));
        }
        let known: HashSet<&String> = features.contents.iter().flatten().collect();
        let repeated = features.contents.iter().flatten().count() - known.len();
        if repeated > 0 {
            context.console.note(&format!(
                "warning: {} of the same content as another: where they fall in two folds the reported accuracy is too good",
                counted(repeated, "sample")
            ));
        }
        let picked;
        let x = if single == 0 {
            features.matrix.view()
        } else {
            picked = features.matrix.select(Axis(0), &rows);
            picked.view()
        };
        let names: Vec<String> = classes.iter().map(|&class| names[class].clone()).collect();
        let judge = |x: ArrayView2<f32>, labels: &[usize], others: ArrayView2<f32>| {
            self.judge(context, (x, labels, &names), others)
        };
        let probabilities = judge_out_of_fold(x, (&labels, classes.len()), &judge, (folds, context.seed))?;
        Report::new(&labels, probabilities.view(), &names, Options { seed: context.seed, ..Options::default() })
    }
}

impl Trained {
    pub(super) fn text(&self) -> String {
        let mut text = self.choice.as_ref().map_or_else(String::new, |choice| choice.text() + "\n\n");
        text += &self.certificate.map_or_else(String::new, |c| {
            let converged = if c.converged { "converged" } else { "NOT CONVERGED" };
            format!(
                "{converged} in {}, {:.2} s: objective {:.6}, at most {:.1e} above the optimum, gradient {:.1e} of the start\n",
                counted(c.iterations, "iteration"), c.seconds, c.objective, c.gap, c.gradient_norm
            )
        });
        if let Some(harm) = self.calibration.as_ref().and_then(CalibrationVerdict::text) {
            text += &(harm + "\n");
        }
        match &self.report {
            Some(report) => text += &report.headline(self.judged),
            None => text += "no rows were held out, so there is no accuracy to report",
        }
        text + &format!(
            "\n{}, {}: {}",
            counted(self.classes, "class"),
            counted(self.n_train, "training row"),
            self.head.display()
        )
    }
}
