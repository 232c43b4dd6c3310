//! How far predictions can be believed: the flags of `train`, and what they ask for.

mod calibration;
mod ood;

use clap::ValueEnum;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::Context;
use super::fit::FitArgs;
use super::prediction::{CONFORMAL, prediction_sets};
use crate::counted::counted;
use crate::curate::{
    Calibrated, Known, calibrate, energy_detector, knn_detector, mahalanobis_detector, out_of_fold_logits, vim_detector,
};
use crate::error::{Error, Result};
use crate::eval::{Conformal, Division, Interval, Judgeable, Method, Rule, coverage, mean_size, wilson};
use crate::head::{CalibrationRecord, Calibrator, Detector, Head, HeadFile, softmax};
use crate::progress::{Progress, Unstaged, Workers};

pub(super) use calibration::CalibrationVerdict;
pub(super) use ood::OodFigures;

/// Folds of the logits behind calibration and prediction sets.
const FOLDS: usize = 5;
/// Which neighbour's distance is the score of `--ood knn`.
const NEIGHBOURS: usize = 10;
/// Training rows that a head carries for it at most: 40 MB at 1,000 values a row.
const MOST_ROWS: usize = 10_000;

/// What a head is given besides its fit.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Confidence")]
pub(super) struct ConfidenceArgs {
    /// Calibrate the probabilities on logits of heads that have not seen the row (5 folds)
    #[arg(long, value_enum, default_value_t = CalibrateArg::None)]
    calibrate: CalibrateArg,
    /// Let the head predict sets of classes that hold the true one with the chance of --coverage
    #[arg(long, value_enum)]
    conformal: Option<ConformalArg>,
    /// The chance with which a set is to hold the true class [default: 0.9]
    #[arg(long, value_name = "SHARE", requires = "conformal")]
    coverage: Option<f64>,
    /// Let the head tell how unlike its training rows a row is; the threshold keeps 95 % of them
    #[arg(long, value_enum)]
    pub(super) ood: Option<OodArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OodArg {
    /// Of the logits: `−ln Σ exp(logit)`
    Energy,
    /// Of the embedding: the squared Mahalanobis distance to the nearest class mean
    Mahalanobis,
    /// Of both, for linear heads: the energy, and how far the embedding lies outside the principal subspace of the training
    /// rows (virtual-logit matching)
    Vim,
    /// Of the embedding: one less the cosine to the tenth nearest of the training rows, of which the head carries 10,000 at most
    Knn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CalibrateArg {
    /// The softmax of the logits, as fitted
    None,
    /// One number for all logits: needs the fewest rows, changes no label
    Temperature,
    /// A sigmoid for each class
    Platt,
    /// An increasing function for each class: needs the most rows
    Isotonic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ConformalArg {
    /// Classes likely enough: the smallest sets; a set may be empty
    Lac,
    /// The same with a threshold for each class, so that the coverage holds for each
    ClassLac,
    /// The likeliest classes until they are likely enough together: larger sets for harder rows
    Aps,
    /// The same with a penalty of 0.01 for each class beyond the fifth
    Raps,
}

impl CalibrateArg {
    fn method(self) -> Option<Method> {
        match self {
            Self::None => None,
            Self::Temperature => Some(Method::Temperature),
            Self::Platt => Some(Method::Platt),
            Self::Isotonic => Some(Method::Isotonic),
        }
    }
}

impl ConformalArg {
    fn rule(self) -> Rule {
        match self {
            Self::Lac => Rule::Lac,
            Self::ClassLac => Rule::ClassLac,
            Self::Aps => Rule::Aps,
            // The paper's own choice for ImageNet.
            Self::Raps => Rule::Raps { penalty: 0.01, free: 5 },
        }
    }
}

/// What the flags asked for, fitted.
#[derive(Debug, Default)]
pub(super) struct Confidence {
    pub(super) calibration: Option<CalibrationRecord>,
    pub(super) conformal: Option<Conformal>,
    pub(super) detector: Option<Detector>,
}

impl ConfidenceArgs {
    /// Refuses values that cannot be meant.
    pub(super) fn check(&self) -> Result<()> {
        match self.coverage {
            Some(share) if !(share > 0.0 && share < 1.0) => {
                Err(Error::Usage(format!("--coverage must be above 0 and below 1, got {share}")))
            }
            _ => Ok(()),
        }
    }

    /// The flags that have no meaning where rows may have any number of labels, and whether they are given.
    pub(super) fn of_one_class(&self) -> [(&'static str, bool); 3] {
        [
            ("--calibrate", self.calibrate != CalibrateArg::None),
            ("--conformal", self.conformal.is_some()),
            ("--ood", self.ood.is_some()),
        ]
    }
}

impl FitArgs {
    /// Fits what the flags ask for besides `head`, on what heads say of rows they have not seen. `names` are of the
    /// classes of `labels`.
    pub(super) fn confidence(
        &self,
        context: &Context,
        head: &Head,
        Known { x, labels, groups }: Known,
        names: &[String],
    ) -> Result<Confidence> {
        let ConfidenceArgs { calibrate: wanted, conformal, coverage, ood } = self.confidence;
        let judgeable = Judgeable::of(labels, groups);
        let alone = (0..names.len()).find(|class| !judgeable.classes.contains(class));
        // One temperature and one threshold serve all classes; the others have to see each of them.
        let each = matches!(wanted, CalibrateArg::Platt | CalibrateArg::Isotonic) || conformal.is_some();
        if let Some(class) = alone.filter(|_| each) {
            return Err(Error::Data(format!(
                "class {:?} has one row to learn from, or one group: --calibrate platt and isotonic and --conformal need two of each",
                names[class]
            )));
        }
        let (judged, groups) = ((&judgeable.labels[..], judgeable.classes.len()), judgeable.groups.as_deref());
        let fit = |known: Known| Ok(self.head.fit(context, known, &context.console)?.head);
        let division = Division::new(FOLDS, context.seed).grouped(groups);
        let unseen = wanted != CalibrateArg::None || conformal.is_some() || ood == Some(OodArg::Energy);
        let features = judgeable.features(x);
        let (virtual_logit, logits) = match ood {
            Some(OodArg::Vim) => Some(vim_detector(head, features.view(), judged, &fit, division)?).unzip(),
            _ => (None, unseen.then(|| out_of_fold_logits(features.view(), judged, &fit, division)).transpose()?),
        };
        let detector = match ood {
            None => None,
            Some(OodArg::Vim) => virtual_logit,
            Some(OodArg::Energy) => logits.as_ref().map(|logits| energy_detector(logits.view())).transpose()?,
            Some(OodArg::Mahalanobis) => Some(mahalanobis_detector(x, (labels, names.len()))?),
            Some(OodArg::Knn) => {
                if x.nrows() > MOST_ROWS {
                    let n = counted(x.nrows(), "training row");
                    context.console.note(&format!("the head carries {MOST_ROWS} of {n} to tell strange rows by"));
                }
                let workers = Workers { threads: context.threads, progress: &Unstaged(&context.console) };
                Some(knn_detector(x, (NEIGHBOURS, MOST_ROWS), context.seed, workers)?)
            }
        };
        let Some(logits) = logits else { return Ok(Confidence { detector, ..Confidence::default() }) };
        let (calibration, probabilities) = match wanted.method() {
            Some(method) => {
                let Calibrated { record, probabilities } =
                    calibrate(method, logits.view(), &judgeable.labels, division)?;
                (Some(record), probabilities)
            }
            None => (None, softmax(logits)),
        };
        let fitted =
            |rule| Conformal::fit(rule, 1.0 - coverage.unwrap_or(0.9), probabilities.view(), &judgeable.labels);
        Ok(Confidence { calibration, conformal: conformal.map(|arg| fitted(arg.rule())).transpose()?, detector })
    }

    /// What a head of these flags, calibrated if they ask for it, says of other rows.
    pub(super) fn judge(
        &self,
        context: &Context,
        (known, names): (Known, &[String]),
        others: ArrayView2<f32>,
    ) -> Result<Array2<f32>> {
        let mut alone = self.clone();
        (alone.confidence.conformal, alone.confidence.ood) = (None, None);
        let (settled, _) = alone.settle(context, known)?;
        let head = settled.head.fit(context, known, &context.console)?.head;
        let calibration = settled.confidence(context, &head, known, names)?.calibration;
        Calibrator::probabilities(calibration.as_ref().map(|record| &record.calibrator), head.logits(others)?)
    }
}

impl Confidence {
    /// Makes it part of a head, and says what it is worth.
    pub(super) fn give(self, context: &Context, head: &mut HeadFile) -> Result<()> {
        if let Some(record) = &self.calibration {
            context.console.note(&format!(
                "calibrated on {} out-of-fold rows: log loss {:.4} before, {:.4} after; calibration error {:.4}, {:.4}",
                record.rows, record.before.log_loss, record.after.log_loss, record.before.ece, record.after.ece
            ));
        }
        head.calibration = self.calibration;
        head.detector = self.detector;
        if let Some(conformal) = &self.conformal {
            if let Some(warning) = boundless(conformal, head.labels.len()) {
                context.console.note(&warning);
            }
            head.attach(CONFORMAL, conformal)?;
        }
        Ok(())
    }
}

/// A warning where some classes are in every set.
fn boundless(conformal: &Conformal, classes: usize) -> Option<String> {
    let (coverage, needed) = (1.0 - conformal.alpha(), counted(conformal.rows_needed(), "training row"));
    let (all, rows) = match (conformal.in_every_set(), conformal.by_class()) {
        (0, _) => return None,
        (all, true) => (format!("{all} of {classes} classes"), format!("{needed} of each class")),
        (_, false) => ("every class".to_owned(), needed),
    };
    let way_out = if conformal.by_class() {
        "; give a lower --coverage, or --conformal lac"
    } else {
        "; give a lower --coverage"
    };
    Some(format!("warning: all prediction sets hold {all}: a coverage of {coverage:.4} takes {rows}{way_out}"))
}

/// How well prediction sets hold on labelled rows.
#[derive(Debug, Serialize)]
pub(super) struct SetFigures {
    /// Share of rows whose set holds their label.
    conformal_coverage: f64,
    /// Wilson's 95 % interval.
    conformal_coverage_interval: Interval,
    /// Mean number of classes in a set.
    mean_set_size: f64,
}

impl SetFigures {
    /// Of the head's sets for rows of the classes `truth`; none where it has no thresholds.
    pub(super) fn of(head: &HeadFile, probabilities: ArrayView2<f32>, truth: &[usize]) -> Result<Option<Self>> {
        let Some(sets) = prediction_sets(head, probabilities)? else { return Ok(None) };
        let covered = sets.iter().zip(truth).filter(|(set, label)| set.contains(label)).count();
        Ok(Some(Self {
            conformal_coverage: coverage(&sets, truth)?,
            conformal_coverage_interval: wilson(covered as u64, truth.len() as u64),
            mean_set_size: mean_size(&sets),
        }))
    }

    /// One line of text.
    pub(super) fn text(&self) -> String {
        let [low, high] = self.conformal_coverage_interval;
        format!(
            "prediction sets hold the true class of {:.4} of the rows [{low:.4}, {high:.4}], with {:.2} classes on average",
            self.conformal_coverage, self.mean_set_size
        )
    }
}
