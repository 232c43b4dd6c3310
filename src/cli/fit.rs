//! How heads are fitted: the flags, and what they ask for.

use clap::ValueEnum;
use serde::Serialize;

use super::Context;
use super::confidence::{ConfidenceArgs, OodArg};
use super::judging::JudgingArgs;
use super::results::table;
use crate::curate::Known;
use crate::error::{Error, Result};
use crate::head::{
    Centroid, Certificate, ClassWeight, Head, HeadKind, Input, Knn, LinearHead, Logistic, Mlp, Ridge, Samples, Scaling,
    Solver,
};
use crate::progress::Progress;
use crate::rank::{Family, HeadChoice, choose_alpha, choose_head};

/// Folds by which `--head auto` chooses.
const CHOICE_FOLDS: usize = 5;

/// How heads are judged and fitted, and what they are given besides.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FitArgs {
    #[command(flatten)]
    pub(super) judging: JudgingArgs,
    #[command(flatten)]
    pub(super) head: HeadArgs,
    #[command(flatten)]
    pub(super) confidence: ConfidenceArgs,
}

/// Which head is fitted, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Fit")]
pub(super) struct HeadArgs {
    /// What is fitted
    #[arg(long, value_enum, default_value_t = HeadArg::Logistic)]
    head: HeadArg,
    /// Strength of the L2 penalty on the weights of a logistic or ridge head: scikit-learn's 1/C, and its alpha
    /// [default: logistic 100 for standardize, 0.1 for l2, 1 for none; ridge the best when each row is left out in turn,
    /// or of grouped rows the best in 5 folds]
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
    /// How much each class counts to a logistic head
    #[arg(long, value_enum, default_value_t = ClassWeightArg::None)]
    class_weight: ClassWeightArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClassWeightArg {
    /// By its rows
    None,
    /// As much as any other: each row n / (K · rows of its class), scikit-learn's balanced
    Balanced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HeadArg {
    /// Multinomial logistic regression: the linear probe
    Logistic,
    /// Least squares with a penalty, fitted at once; probabilities are not calibrated
    Ridge,
    /// The nearest class mean, by cosine; probabilities are not calibrated
    Centroid,
    /// The vote of the most similar rows, by cosine; as many as do best when each row, or group, is left out in turn
    Knn,
    /// One hidden layer of 256, AdamW, stopped early
    Mlp,
    /// The simplest of these, and of three penalties, within one standard error of the best in 5-fold cross-validation
    Auto,
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

/// A fitted head and what there is to say of the fit.
pub(super) struct Fitted {
    pub(super) kind: HeadKind,
    pub(super) head: Head,
    /// Of a logistic or ridge head: the others minimise nothing that could be certified.
    pub(super) certificate: Option<Certificate>,
    /// What the fit chose by itself.
    pub(super) note: String,
}

/// Which head was chosen, and among which.
#[derive(Debug, Serialize)]
pub(super) struct Chosen {
    head: String,
    #[serde(flatten)]
    choice: HeadChoice,
}

impl Fitted {
    fn plain(kind: HeadKind, head: Head, note: String) -> Self {
        Self { kind, head, certificate: None, note }
    }

    fn certified(kind: HeadKind, head: LinearHead, certificate: Certificate) -> Self {
        Self { certificate: Some(certificate), ..Self::plain(kind, head.into(), String::new()) }
    }
}

impl Chosen {
    /// What was tried, a line each.
    pub(super) fn text(&self) -> String {
        let row = |(place, head): (usize, &crate::rank::JudgedHead)| {
            let against = head.against_best.map_or_else(String::new, |against| {
                let [low, high] = against.difference_interval;
                format!("{:+.4}   [{low:+.4}, {high:+.4}]", against.difference)
            });
            let mark = if place == self.choice.chosen { "chosen" } else { "" };
            vec![
                head.head.clone(),
                format!("{:.4} ± {:.4}", head.accuracy, head.standard_error),
                against,
                mark.to_owned(),
            ]
        };
        let header = ["head", "accuracy in cross-validation", "less the best, 95 % interval", ""];
        table(&header, self.choice.heads.iter().enumerate().map(row))
    }
}

/// The probe of the defaults, for verbs that judge data rather than train.
pub(super) fn probe(context: &Context) -> Logistic {
    Logistic::new().alpha(ScalingArg::Standardize.alpha()).scaling(Scaling::Standardize).threads(context.threads)
}

impl FitArgs {
    /// Refuses flags that the head to fit has no use for, and values that cannot be meant.
    pub(super) fn check_flags(&self) -> Result<()> {
        self.head.check_flags()?;
        if self.head.head != HeadArg::Auto {
            self.check_score()?;
        }
        self.confidence.check()
    }

    /// These with the head to fit: where it is `auto`, the one that is chosen, with what was tried.
    pub(super) fn settle(&self, context: &Context, known: Known) -> Result<(Self, Option<Chosen>)> {
        let (head, chosen) = self.head.settle(context, known, &context.console)?;
        let settled = Self { head, ..self.clone() };
        settled.check_score()?;
        Ok((settled, chosen))
    }

    /// Refuses an out-of-distribution score that cannot be had of the head to fit.
    fn check_score(&self) -> Result<()> {
        use HeadArg::{Centroid, Logistic, Mlp, Ridge};
        let wanted = |score| self.confidence.ood == Some(score);
        self.head.refuse_others(&[
            // The votes of neighbours sum to 1: their energy is 0.
            ("--ood energy", wanted(OodArg::Energy), &[Logistic, Ridge, Centroid, Mlp]),
            ("--ood vim", wanted(OodArg::Vim), &[Logistic, Ridge, Centroid]),
        ])
    }
}

impl HeadArgs {
    /// A head of this kind with the defaults.
    pub(super) fn of(kind: HeadKind) -> Self {
        let head = match kind {
            HeadKind::Logistic => HeadArg::Logistic,
            HeadKind::Ridge => HeadArg::Ridge,
            HeadKind::Centroid => HeadArg::Centroid,
            HeadKind::Knn => HeadArg::Knn,
            HeadKind::Mlp => HeadArg::Mlp,
        };
        Self {
            head,
            alpha: None,
            scaling: None,
            tolerance: None,
            max_iterations: None,
            solver: None,
            class_weight: ClassWeightArg::None,
        }
    }

    /// Refuses flags that the head to fit has no use for.
    pub(super) fn check_flags(&self) -> Result<()> {
        use HeadArg::{Auto, Logistic, Mlp, Ridge};
        self.refuse_others(&[
            ("--alpha", self.alpha.is_some(), &[Logistic, Ridge]),
            ("--scaling", self.scaling.is_some(), &[Logistic, Ridge, Mlp, Auto]),
            ("--tolerance", self.tolerance.is_some(), &[Logistic]),
            ("--max-iterations", self.max_iterations.is_some(), &[Logistic]),
            ("--solver", self.solver.is_some(), &[Logistic]),
            ("--class-weight", self.class_weight != ClassWeightArg::None, &[Logistic]),
        ])
    }

    /// Refuses flags that are given and not for this kind of head, of `(flag, whether it is given, the kinds it is for)`.
    fn refuse_others(&self, flags: &[(&str, bool, &[HeadArg])]) -> Result<()> {
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

    /// The flags that have no meaning where rows may have any number of labels, and whether they are given.
    pub(super) fn of_one_class(&self) -> [(&'static str, bool); 3] {
        [
            ("--head other than logistic", self.head != HeadArg::Logistic),
            ("--solver linfa", matches!(self.solver, Some(SolverArg::Linfa))),
            ("--class-weight", self.class_weight != ClassWeightArg::None),
        ]
    }

    /// Fits what was asked for, telling `progress` of what takes long.
    pub(super) fn fit(&self, context: &Context, known: Known, progress: &dyn Progress) -> Result<Fitted> {
        let Known { x, labels, groups } = known;
        let scaling = self.scaling.unwrap_or_default().scaling();
        Ok(match self.head {
            HeadArg::Auto => return self.settle(context, known, progress)?.0.fit(context, known, progress),
            HeadArg::Logistic => {
                let fitted = self.logistic(context).fit_watched(x, labels, progress)?;
                Fitted::certified(HeadKind::Logistic, fitted.head, fitted.certificate)
            }
            HeadArg::Ridge => {
                let ridge = Ridge::new().scaling(scaling);
                let (alpha, how) = match (self.alpha, groups) {
                    (Some(alpha), _) => (Some(alpha), ""),
                    (None, None) => (None, ""),
                    (None, Some(_)) => {
                        let chosen = choose_alpha(known, &ridge, (CHOICE_FOLDS, context.seed), progress)?;
                        (chosen, if chosen.is_none() { ", chosen by rows: the groups are too few" } else { "" })
                    }
                };
                let ridge = alpha.map_or(ridge.clone(), |alpha| ridge.alphas([alpha]));
                let fitted = ridge.fit_watched(x, labels, progress)?;
                let note = format!("alpha {}{how}", fitted.alpha);
                Fitted { note, ..Fitted::certified(HeadKind::Ridge, fitted.head, fitted.certificate) }
            }
            HeadArg::Centroid => {
                Fitted::plain(HeadKind::Centroid, Centroid::new().fit(x, labels)?.into(), String::new())
            }
            HeadArg::Knn => {
                let knn = Knn::new().threads(context.threads);
                let fitted = match groups {
                    Some(groups) => knn.fit_grouped(x, labels, groups)?,
                    None => knn.fit(x, labels)?,
                };
                Fitted::plain(HeadKind::Knn, fitted.head, format!("{} neighbours vote", fitted.neighbours))
            }
            HeadArg::Mlp => {
                let mlp = Mlp::new().scaling(scaling).seed(context.seed);
                let fitted = match groups {
                    Some(groups) => mlp.fit_grouped(x, (labels, groups), progress)?,
                    None => mlp.fit_watched(x, labels, progress)?,
                };
                let epochs = fitted.training_loss.len();
                let note = format!("epoch {} of {epochs} was the best", fitted.best_epoch + 1);
                Fitted::plain(HeadKind::Mlp, fitted.head, note)
            }
        })
    }

    /// The head to fit: where it is `auto`, chosen among all by cross-validation, with what was tried.
    fn settle(&self, context: &Context, known: Known, progress: &dyn Progress) -> Result<(Self, Option<Chosen>)> {
        if self.head != HeadArg::Auto {
            return Ok((self.clone(), None));
        }
        let of = |head, alpha| Self { head, alpha, ..self.clone() };
        let usual = self.scaling.unwrap_or_default().alpha();
        let alphas = [10.0 * usual, usual, 0.1 * usual];
        // From the simplest to the most complex.
        let tried: Vec<(String, Self)> = std::iter::empty()
            .chain([
                ("centroid".to_owned(), of(HeadArg::Centroid, None)),
                ("ridge".to_owned(), of(HeadArg::Ridge, None)),
            ])
            .chain(alphas.map(|alpha| (format!("logistic, alpha {alpha}"), of(HeadArg::Logistic, Some(alpha)))))
            .chain([("knn".to_owned(), of(HeadArg::Knn, None)), ("mlp".to_owned(), of(HeadArg::Mlp, None))])
            .collect();
        let alone = |(name, fit): &(String, Self)| {
            let fit = fit.clone();
            Family {
                names: vec![name.clone()],
                fit: Box::new(move |known| Ok(vec![fit.fit(context, known, progress)?.head])),
            }
        };
        let (before, after) = (&tried[..2], &tried[2 + alphas.len()..]);
        let path = Family {
            names: tried[2..2 + alphas.len()].iter().map(|(name, _)| name.clone()).collect(),
            fit: Box::new(|Known { x, labels, .. }| {
                let swept = self.logistic(context).sweep(Samples::new(x, labels), &alphas, progress)?;
                Ok(swept.into_iter().map(|swept| swept.head.into()).collect())
            }),
        };
        let families: Vec<Family> = before.iter().map(alone).chain([path]).chain(after.iter().map(alone)).collect();
        let choice = choose_head(known, &families, (CHOICE_FOLDS, context.seed), progress)?;
        let (name, fit) = &tried[choice.chosen];
        Ok((fit.clone(), Some(Chosen { head: name.clone(), choice })))
    }

    /// What the head does to embeddings first.
    pub(super) fn input(&self) -> Input {
        match self.scaling.unwrap_or_default() {
            ScalingArg::L2 => Input::UnitLength,
            ScalingArg::Standardize | ScalingArg::None => Input::Raw,
        }
    }

    /// A logistic head as the flags ask for it, of rows that [`Self::input`] was done to.
    pub(super) fn logistic_of_scaled(&self, context: &Context) -> Logistic {
        match self.input() {
            Input::Raw => self.logistic(context),
            Input::UnitLength => self.logistic(context).scaling(Scaling::None),
        }
    }

    /// A logistic head as the flags ask for it.
    pub(super) fn logistic(&self, context: &Context) -> Logistic {
        let scaling = self.scaling.unwrap_or_default();
        let mut logistic = Logistic::new()
            .alpha(self.alpha.unwrap_or_else(|| scaling.alpha()))
            .scaling(scaling.scaling())
            .class_weight(match self.class_weight {
                ClassWeightArg::None => ClassWeight::Uniform,
                ClassWeightArg::Balanced => ClassWeight::Balanced,
            })
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
