//! `engraft train`.

use std::path::PathBuf;

use clap::ValueEnum;
use ndarray::{ArrayView2, Axis};
use serde::Serialize;

use super::inputs::{self, ModelArgs, SourceArgs};
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::eval::Report;
use crate::features::FeatureSet;
use crate::head::{Centroid, Certificate, Head, HeadFile, HeadKind, Knn, Logistic, Mlp, Ridge, Scaling, Solver};
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

/// How the head is fitted.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Fit")]
pub(super) struct FitArgs {
    /// Share of each class that is held out for the report; 0 trains on every row
    #[arg(long, value_name = "FRACTION", default_value_t = 0.2)]
    holdout: f64,
    /// What is fitted
    #[arg(long, value_enum, default_value_t = HeadArg::Logistic)]
    head: HeadArg,
    /// Strength of the L2 penalty on the weights of a logistic or ridge head: scikit-learn's 1/C, and its alpha
    /// [default: logistic 100 for standardize, 0.1 for l2, 1 for none; ridge the best when each row is left out in turn]
    #[arg(long, value_name = "ALPHA")]
    alpha: Option<f64>,
    /// How features are scaled for a logistic, ridge or mlp head, which the scaling becomes part of
    /// [default: standardize]
    #[arg(long, value_enum)]
    scaling: Option<ScalingArg>,
    /// Stop a logistic head when the objective is certified to be within this share of the optimum [default: 1e-6]
    #[arg(long, value_name = "SHARE")]
    tolerance: Option<f64>,
    /// Stop a logistic head, unconverged, after this many iterations [default: 2000]
    #[arg(long, value_name = "N")]
    max_iterations: Option<usize>,
    /// Which solver minimises for a logistic head; the certificate is always engraft's [default: lbfgs]
    #[arg(long, value_enum)]
    solver: Option<SolverArg>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadArg {
    /// Multinomial logistic regression: the linear probe
    Logistic,
    /// Least squares with a penalty, fitted at once; probabilities are not calibrated
    Ridge,
    /// The nearest class mean, by cosine; probabilities are not calibrated
    Centroid,
    /// The vote of the most similar rows, by cosine; as many as do best when each row is left out in turn
    Knn,
    /// One hidden layer of 256, AdamW, stopped early
    Mlp,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum ScalingArg {
    #[default]
    /// Each column to mean 0 and deviation 1: one alpha then means the same for every backbone
    Standardize,
    /// Each row to length 1
    L2,
    /// As they are
    None,
}

impl ScalingArg {
    /// The penalty that did best or nearly so, of powers of ten, in 5-fold cross-validation on emoji with
    /// efficientnet-lite0 and on tweets with all-minilm-l6-v2.
    fn alpha(self) -> f64 {
        match self {
            ScalingArg::Standardize => 100.0,
            ScalingArg::L2 => 0.1,
            ScalingArg::None => 1.0,
        }
    }

    fn scaling(self) -> Scaling {
        match self {
            ScalingArg::Standardize => Scaling::Standardize,
            ScalingArg::L2 => Scaling::L2,
            ScalingArg::None => Scaling::None,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SolverArg {
    /// engraft's own
    Lbfgs,
    /// linfa-logistic; refused when its result is not the optimum
    Linfa,
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
    #[serde(flatten)]
    pub(super) report: Option<Report>,
    /// Ids that were held out: what `predict` may be tried on.
    #[serde(skip)]
    pub(super) held_out: Vec<usize>,
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
        let trained = self.fit.train(context, &labelled, &self.output)?;
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
    if rows.len() < features.ids.len() {
        context.console.note(&format!("{} rows without a label are left out", features.ids.len() - rows.len()));
    }
    Ok(features.select(&rows))
}

/// The error when nothing says which class a row is of.
pub(super) fn no_labels() -> Error {
    Error::Data(
        "no row has a label: put the images of each class into a folder of its own, or name a table's column with \
         --label-column"
            .to_owned(),
    )
}

/// The probe of the defaults, for verbs that judge data rather than train.
pub(super) fn probe(context: &Context) -> Logistic {
    Logistic::new().alpha(ScalingArg::Standardize.alpha()).scaling(Scaling::Standardize).threads(context.threads)
}

impl FitArgs {
    /// Splits, fits, evaluates on what was held out, and writes the head.
    pub(super) fn train(&self, context: &Context, features: &FeatureSet, output: &std::path::Path) -> Result<Trained> {
        if !(0.0..1.0).contains(&self.holdout) {
            return Err(Error::Usage(format!("--holdout must be at least 0 and below 1, got {}", self.holdout)));
        }
        let labels = features.class_names();
        let classes = features.class_indices(&labels)?;
        let split = match self.holdout {
            0.0 => Split { train: (0..classes.len()).collect(), ..Split::default() },
            fraction => stratified_split(&features.labels, fraction, context.seed)?,
        };
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
        let x = features.matrix.select(Axis(0), &split.train);
        let y: Vec<usize> = split.train.iter().map(|&i| classes[i]).collect();
        let (kind, fitted, certificate) = self.fit(context, x.view(), &y)?;
        if let Some(certificate) = certificate.filter(|c| !c.converged) {
            context.console.note(&format!(
                "warning: the fit did not converge in {} iterations (gap {:.1e}); raise --max-iterations or --alpha",
                certificate.iterations, certificate.gap
            ));
        }
        let head = HeadFile {
            kind,
            head: fitted,
            labels,
            provenance: features.provenance.clone(),
            certificate,
            engraft_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let report = match split.test.is_empty() {
            true => None,
            false => Some(super::eval::report(&head, &features.select(&split.test), context.seed)?),
        };
        head.write(output)?;
        Ok(Trained {
            head: output.to_path_buf(),
            classes: head.labels.len(),
            n_train: y.len(),
            certificate,
            report,
            held_out: split.test,
        })
    }

    /// Refuses flags that the head to fit has no use for.
    pub(super) fn check_flags(&self) -> Result<()> {
        use HeadArg::{Logistic, Mlp, Ridge};
        let flags: [(&str, bool, &[HeadArg]); 5] = [
            ("--alpha", self.alpha.is_some(), &[Logistic, Ridge]),
            ("--scaling", self.scaling.is_some(), &[Logistic, Ridge, Mlp]),
            ("--tolerance", self.tolerance.is_some(), &[Logistic]),
            ("--max-iterations", self.max_iterations.is_some(), &[Logistic]),
            ("--solver", self.solver.is_some(), &[Logistic]),
        ];
        let name = |head: HeadArg| head.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
        match flags.iter().find(|(_, given, heads)| *given && !heads.contains(&self.head)) {
            None => Ok(()),
            Some((flag, _, heads)) => Err(Error::Usage(format!(
                "{flag} is for a head of the kind {}, not {}",
                heads.iter().map(|&head| name(head)).collect::<Vec<_>>().join(" or "),
                name(self.head)
            ))),
        }
    }

    fn fit(
        &self,
        context: &Context,
        x: ArrayView2<f32>,
        labels: &[usize],
    ) -> Result<(HeadKind, Head, Option<Certificate>)> {
        let scaling = self.scaling.unwrap_or_default().scaling();
        Ok(match self.head {
            HeadArg::Logistic => {
                let fitted = self.logistic(context).fit_watched(x, labels, &context.console)?;
                (HeadKind::Logistic, fitted.head.into(), Some(fitted.certificate))
            }
            HeadArg::Ridge => {
                let ridge = Ridge::new().scaling(scaling);
                let ridge = match self.alpha {
                    Some(alpha) => ridge.alphas([alpha]),
                    None => ridge,
                };
                let fitted = ridge.fit_watched(x, labels, &context.console)?;
                context.console.note(&format!("alpha {}", fitted.alpha));
                (HeadKind::Ridge, fitted.head.into(), Some(fitted.certificate))
            }
            HeadArg::Centroid => (HeadKind::Centroid, Centroid::new().fit(x, labels)?.into(), None),
            HeadArg::Knn => {
                let fitted = Knn::new().threads(context.threads).fit(x, labels)?;
                context.console.note(&format!("{} neighbours vote", fitted.neighbours));
                (HeadKind::Knn, fitted.head, None)
            }
            HeadArg::Mlp => {
                let mlp = Mlp::new().scaling(scaling).seed(context.seed);
                let fitted = mlp.fit_watched(x, labels, &context.console)?;
                let epochs = fitted.training_loss.len();
                context.console.note(&format!("epoch {} of {epochs} was the best", fitted.best_epoch + 1));
                (HeadKind::Mlp, fitted.head, None)
            }
        })
    }

    fn logistic(&self, context: &Context) -> Logistic {
        let scaling = self.scaling.unwrap_or_default();
        let mut logistic = Logistic::new()
            .alpha(self.alpha.unwrap_or_else(|| scaling.alpha()))
            .scaling(scaling.scaling())
            .threads(context.threads);
        if let Some(tolerance) = self.tolerance {
            logistic = logistic.tolerance(tolerance);
        }
        if let Some(iterations) = self.max_iterations {
            logistic = logistic.max_iterations(iterations);
        }
        match self.solver {
            Some(SolverArg::Linfa) => logistic.solver(Solver::Linfa),
            Some(SolverArg::Lbfgs) | None => logistic.solver(Solver::Lbfgs),
        }
    }
}

impl Trained {
    pub(super) fn text(&self) -> String {
        let mut text = self.certificate.map_or_else(String::new, |c| {
            let converged = if c.converged { "converged" } else { "NOT CONVERGED" };
            format!(
                "{converged} in {} iterations, {:.2} s: objective {:.6}, at most {:.1e} above the optimum, gradient {:.1e} of the start\n",
                c.iterations, c.seconds, c.objective, c.gap, c.gradient_norm
            )
        });
        match &self.report {
            Some(report) => text += &super::eval::headline(report, "held-out rows"),
            None => text += "no rows were held out, so there is no accuracy to report",
        }
        text + &format!("\n{} classes, {} training rows: {}", self.classes, self.n_train, self.head.display())
    }
}
