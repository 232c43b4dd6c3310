//! `train --target`: the flags of domain adaptation, and what they ask for.

mod page;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serde::Serialize;

use super::Context;
use super::fit::FitArgs;
use super::inputs::{self, SourceArgs};
use super::report::check_page;
use super::results::table;
use super::shift;
use super::train::labelled;
use crate::adapt::{Candidate, Choice, Domains, Lesson, Linear, Method, Passed, Reason, Serving, Shift, choose};
use crate::backbone::Backbone;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::features::FeatureSet;
use crate::head::{Certificate, LinearHead, Logistic, Samples};
use crate::logits::first_maximum;
use crate::progress::Progress;
use page::Maps;

/// To which domain a head is adapted, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Adaptation to another domain")]
pub(super) struct AdaptArgs {
    /// Samples of the domain where the head must work, as INPUT; repeat it for more. Labels that they have are not trained on: where
    /// there are some, the report is of these rows
    #[arg(long, value_name = "INPUT")]
    pub(super) target: Vec<PathBuf>,
    /// auto, which tries all but jdot, and not to adapt as well; or one of none, standardize, coral, linear-ot, subspace, tca,
    /// discriminator, kliep, kmm, sinkhorn, jdot, bbse, em, t3a, centroids, prototypes, pseudo-labels, label-spreading
    #[arg(long, value_name = "METHOD", default_value = "auto", requires = "target")]
    adapt: How,
    /// The column of the target that holds labels to judge by [default: label where there is one]
    #[arg(long, value_name = "COLUMN", requires = "target")]
    target_label_column: Option<String>,
    /// A few labelled samples of that domain: they are trained on, and auto chooses by them
    #[arg(long, value_name = "INPUT", requires = "target")]
    pub(super) target_labels: Vec<PathBuf>,
    /// Write one HTML page that needs no network: both domains on a map before and after, how far they are apart, what was tried
    #[arg(long, value_name = "FILE.html", requires = "target")]
    report: Option<PathBuf>,
}

/// The value of `--adapt`.
#[derive(Debug, Clone, PartialEq)]
enum How {
    Auto,
    By(Method),
}

impl FromStr for How {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "auto" {
            return Ok(Self::Auto);
        }
        Method::named(name).map(Self::By).ok_or_else(|| {
            let all: Vec<&str> = Method::all().iter().map(Method::name).collect();
            format!("give auto or one of {}", all.join(", "))
        })
    }
}

/// The domain where a head must work.
pub(super) struct Target {
    /// Its rows; labels may be among them.
    pub(super) rows: FeatureSet,
    /// Rows whose labels are trained on.
    pub(super) labelled: Option<FeatureSet>,
}

/// A head that was adapted, and what there is to say of it.
pub(super) struct AdaptedHead {
    pub(super) head: LinearHead,
    /// Of its fit on the adapted rows; none where a method makes a head of its own.
    pub(super) certificate: Option<Certificate>,
    pub(super) adaptation: Adaptation,
    /// For the page, if one is asked for.
    pub(super) maps: Option<Maps>,
}

/// How a head came to be adapted.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Adaptation {
    /// The method's name.
    pub(super) method: &'static str,
    /// Of the classes, in the order of what is told of each.
    labels: Vec<String>,
    /// How the domains differ.
    shift: Shift,
    /// Rows of the target.
    target_rows: usize,
    /// Of those, rows whose labels were trained on.
    pub(super) labelled_rows: usize,
    /// The share of each class in the target, where the method tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    priors: Option<Vec<f64>>,
    /// What the method says of itself.
    figures: BTreeMap<&'static str, f64>,
    /// The greatest difference between the head of one product and the head behind the adaptation, in parts of the greatest logit.
    #[serde(skip_serializing_if = "Option::is_none")]
    fold_difference: Option<f64>,
    /// Of `--adapt auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<Tried>,
}

/// What was tried.
#[derive(Debug, Clone, Serialize)]
struct Tried {
    reason: Reason,
    candidates: Vec<TriedMethod>,
    passed: Vec<Passed>,
}

#[derive(Debug, Clone, Serialize)]
struct TriedMethod {
    #[serde(flatten)]
    candidate: Candidate,
    /// On the labelled target rows it was tried on, which took no part in the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_accuracy: Option<f64>,
}

impl AdaptArgs {
    /// Whether a target is given.
    pub(super) fn is_wanted(&self) -> bool {
        !self.target.is_empty()
    }

    /// Fails where the page could not be written.
    pub(super) fn check(&self, overwrite: bool) -> Result<()> {
        self.report.as_deref().map_or(Ok(()), |path| check_page(path, overwrite))
    }

    /// Fails when the target's features are known to be of another backbone, preprocessing or pooling than the source's.
    pub(super) fn check_same_making(
        source: &FeatureSet,
        sources: &[PathBuf],
        target: &FeatureSet,
        targets: &[PathBuf],
    ) -> Result<()> {
        let of = format!("the features of {} and of {}", inputs::names(sources), inputs::names(targets));
        inputs::check_same_making(source.provenance.as_ref(), target, &of)
    }

    /// The target's rows, made ready as the source's: `backbone` is what embeds raw inputs.
    pub(super) fn read(
        &self,
        context: &Context,
        source: &SourceArgs,
        backbone: impl Fn() -> Result<Backbone>,
    ) -> Result<Target> {
        let judged = source.with_label_column(self.target_label_column.as_deref());
        let rows = inputs::load(context, &self.target, &judged, &backbone)?.features;
        let labelled = match self.target_labels.as_slice() {
            [] => None,
            files => Some(labelled(context, inputs::load(context, files, source, &backbone)?.features)?),
        };
        Ok(Target { rows, labelled })
    }

    /// The head of `source` rows, whose classes have these `names`, for the target.
    pub(super) fn fit(
        &self,
        context: &Context,
        fit: &FitArgs,
        (source, classes, names): (&FeatureSet, &[usize], &[String]),
        target: &Target,
    ) -> Result<AdaptedHead> {
        let logistic = fit.head.logistic_of_scaled(context);
        let input = fit.head.input();
        let (all, known) = target.with_known(names)?;
        let (x, all) = (input.of(source.matrix.view()), input.of(all.view()));
        let domains = Domains::new(x.view(), classes, all.view())?.with_known(&known)?;
        let learn = learner(logistic.clone());
        let shift = shift::measure(context, &domains)?;
        let (method, choice) = match &self.adapt {
            How::By(method) => (method.clone(), None),
            How::Auto => {
                let choice = choose(&Method::tried(), (&domains, &shift), &learn, context.seed, &context.console)?;
                let method = Method::named(choice.chosen).unwrap_or(Method::Unadapted);
                (method, Some(Tried::of(choice, &target.rows, names)))
            }
        };
        let adapted = method.fit(&domains, &learn, &context.console)?;
        adapted.notes.iter().for_each(|note| context.console.note(note));
        let (served, certificate, fold_difference) = match &adapted.serving {
            Serving::Head(head) => (head.clone(), None, None),
            serving => {
                let set = adapted.training_set(&domains, &context.console)?;
                let samples = Samples::new(set.x.view(), &set.labels);
                let samples = set.weights.as_deref().map_or(samples, |weights| samples.weighted(weights));
                let fitted = logistic.fit_samples(samples, &context.console)?;
                let behind = linear(&fitted.head);
                let served = serving.around(&behind);
                let difference = fold_difference(context, serving, (&behind, &served), all.view())?;
                (served, Some(fitted.certificate), difference)
            }
        };
        let adaptation = Adaptation {
            method: method.name(),
            labels: names.to_vec(),
            shift,
            target_rows: target.rows.len(),
            labelled_rows: known.len(),
            priors: adapted.priors.clone(),
            figures: adapted.figures.iter().copied().collect(),
            fold_difference,
            choice,
        };
        let maps = self.report.is_some().then(|| Maps::of(context, &domains, &adapted, &served)).transpose()?;
        let head = LinearHead::new(served.weights, served.intercepts, input)?;
        Ok(AdaptedHead { head, certificate, adaptation, maps })
    }
}

impl FitArgs {
    /// Refuses flags that have no meaning for a head that is adapted.
    pub(super) fn check_adapted(&self, multi_label: bool) -> Result<()> {
        let own = [("--label-separator", multi_label), ("--cv", self.judging.cv.is_some())];
        let (judging, head) = (self.judging.of_one_class(), self.head.of_one_class());
        let weighted = |(flag, _): &(&str, bool)| *flag != "--class-weight";
        let mut flags = own
            .into_iter()
            .chain(judging)
            .chain(head.into_iter().filter(weighted))
            .chain(self.confidence.of_one_class());
        match flags.find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => Err(Error::Usage(format!(
                "{flag} does not go with --target: an adapted head is a logistic one, fitted on all labelled rows and judged on those of the \
                 target that have a label"
            ))),
        }
    }
}

/// Fits the linear heads that adaptation needs on the way, as `logistic` is asked for.
pub(super) fn learner(logistic: Logistic) -> impl Fn(Lesson) -> Result<Linear> {
    move |Lesson { x, labels, weights }| {
        let samples = Samples::new(x, labels);
        let samples = weights.map_or(samples, |weights| samples.weighted(weights));
        Ok(linear(&logistic.fit_samples(samples, &())?.head))
    }
}

/// A head as `adapt` has it, which does nothing to rows before the product.
pub(super) fn linear(head: &LinearHead) -> Linear {
    Linear { weights: head.weights().to_owned(), intercepts: head.intercepts().to_owned() }
}

/// Rows of the target that a fold is verified on at most.
const VERIFIED: usize = 1_000;
/// The greatest difference that rounding may make of a fold, in parts of the greatest logit.
const FOLDED: f64 = 1e-5;

/// Fails unless the head `served` says of target rows what `behind` says of them after the adaptation; where both are one, nothing is
/// to be verified.
fn fold_difference(
    context: &Context,
    serving: &Serving,
    (behind, served): (&Linear, &Linear),
    target: ArrayView2<f32>,
) -> Result<Option<f64>> {
    let rows: Vec<usize> = (0..target.nrows().min(VERIFIED)).collect();
    let target = target.select(Axis(0), &rows);
    let features = match serving {
        Serving::Mapped(_) | Serving::Priors { .. } => serving.features(target.view(), &context.console)?,
        Serving::AsIs | Serving::Head(_) => return Ok(None),
    };
    let expected = serving.corrected(behind.logits(features.view()).mapv(f64::from));
    let got = served.logits(target.view()).mapv(f64::from);
    let greatest = |values: &Array2<f64>| values.iter().fold(0.0_f64, |most, z| most.max(z.abs()));
    let difference = greatest(&(&got - &expected)) / greatest(&expected).max(f64::MIN_POSITIVE);
    if difference > FOLDED {
        return Err(Error::Data(format!(
            "the adaptation does not fold into the head: logits differ by {difference:.1e} of the greatest, and may by {FOLDED:.0e}; \
             try --scaling l2, or another --adapt"
        )));
    }
    Ok(Some(difference))
}

/// Rows, each with its class.
type RowsAndClasses = Vec<(usize, usize)>;

impl Target {
    /// All rows, m×d, and the row and class of each whose label is trained on.
    fn with_known(&self, names: &[String]) -> Result<(Array2<f32>, RowsAndClasses)> {
        let Some(labelled) = &self.labelled else { return Ok((self.rows.matrix.clone(), Vec::new())) };
        let classes = labelled.class_indices(names)?;
        let first = self.rows.len();
        let known = classes.into_iter().enumerate().map(|(row, class)| (first + row, class)).collect();
        let all = concatenate(Axis(0), &[self.rows.matrix.view(), labelled.matrix.view()]);
        Ok((all.map_err(|e| Error::Data(format!("the target and its labelled rows: {e}")))?, known))
    }
}

impl Tried {
    fn of(choice: Choice, target: &FeatureSet, names: &[String]) -> Self {
        let Choice { reason, candidates, passed, rows, .. } = choice;
        let class = |row: &usize| {
            let label = target.labels.get(*row)?.as_ref()?;
            names.iter().position(|name| name == label)
        };
        let truth: Vec<Option<usize>> = rows.iter().map(class).collect();
        let tried = |candidate: Candidate| {
            let judged = candidate.probabilities.rows().into_iter().zip(&truth);
            let right: Vec<bool> = judged.filter_map(|(row, class)| Some(first_maximum(row) == (*class)?)).collect();
            let accuracy = right.iter().filter(|right| **right).count() as f64 / right.len() as f64;
            TriedMethod { candidate, target_accuracy: (!right.is_empty()).then_some(accuracy) }
        };
        Self { reason, candidates: candidates.into_iter().map(tried).collect(), passed }
    }
}

impl Adaptation {
    /// What was done, in a line.
    fn done(&self) -> String {
        let rows = counted(self.target_rows, "target row");
        let labelled = match self.labelled_rows {
            0 => String::new(),
            n => format!(", {n} more with their labels"),
        };
        format!("adapted by {} to {rows}{labelled}", self.method)
    }

    /// What was done, and what was tried, as lines.
    pub(super) fn text(&self) -> String {
        let mut text = self.done();
        if let Some(tried) = &self.choice {
            text = tried.text(self.method) + "\n\n" + &text;
        }
        shift::text(&self.shift, &self.labels) + "\n\n" + &text
    }
}

impl Tried {
    fn text(&self, chosen: &str) -> String {
        let (header, rows) = self.cells(chosen);
        let passed = self.passed.iter().map(|passed| format!("\n{}: {}", passed.method, passed.reason));
        let decides = match self.reason {
            Reason::KnownRows => "",
            Reason::Unsupervised | Reason::NothingBetter => {
                "\ncircular decides; of standardize, coral, linear-ot, subspace and tca it says nothing: adapting back undoes them"
            }
        };
        table(&header, rows) + decides + &passed.collect::<String>()
    }

    /// The header and the rows of a table of all that was tried.
    fn cells(&self, chosen: &str) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let judged = self.candidates.iter().any(|tried| tried.target_accuracy.is_some());
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        let row = |TriedMethod { candidate: Candidate { method, criteria, .. }, target_accuracy }: &TriedMethod| {
            let mut cells = vec![
                (*method).to_owned(),
                number(Some(criteria.ensemble_agreement)),
                number(criteria.circular),
                number(criteria.deep_embedded_error.map(|error| 1.0 - error)),
                number(Some(criteria.mutual_information)),
                number(Some(criteria.density)),
                number(Some(criteria.entropy)),
            ];
            cells.extend(criteria.known_accuracy.map(|accuracy| number(Some(accuracy))));
            cells.extend(judged.then(|| number(*target_accuracy)));
            cells.push(if *method == chosen { "chosen".to_owned() } else { String::new() });
            cells
        };
        let mut header = vec!["method", "agreement", "circular", "accuracy (DEV)", "information", "density", "entropy"];
        let known = self.candidates.iter().any(|tried| tried.candidate.criteria.known_accuracy.is_some());
        header.extend(known.then_some("known rows"));
        header.extend(judged.then_some("on target labels"));
        header.push("");
        (header, self.candidates.iter().map(row).collect())
    }
}
