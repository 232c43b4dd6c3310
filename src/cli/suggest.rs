//! `engraft suggest`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use ndarray::{Array2, Axis};
use serde::Serialize;

use super::audit::workers;
use super::classifier::{backbone_of, check_same_backbone};
use super::fit::probe;
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::prediction::one_field;
use super::{Context, Status, multi_label};
use crate::counted::counted;
use crate::curate::{Suggestion, k_centre, margins, typicality};
use crate::error::{Error, Result};
use crate::features::FeatureSet;
use crate::head::HeadFile;
use crate::progress::Progress;

/// Labels a class has on average before the head's doubts say more than what is typical.
const FEW_LABELS: usize = 5;
/// Doubtful rows to each that is chosen for being different (Zhdanov, "Diverse mini-batch Active Learning", 2019).
const DOUBTFUL: usize = 10;

/// Name the samples whose labels would teach a head most
///
/// INPUT is features (from `engraft embed`), or images or texts with --model. Rows without a label are asked about; those
/// that have one count as known. One id a line; with --json the scores too.
///
/// Examples:
///   engraft suggest pool.parquet -n 50
///   engraft suggest pool.parquet -n 50 --head head.onnx --strategy margin
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Suggest {
    /// Features, images or texts, of which some have a label, or none
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// How many samples to name
    #[arg(long, short = 'n', value_name = "N", default_value = "50", value_parser = inputs::count)]
    count: NonZeroUsize,
    /// How they are chosen
    #[arg(long, value_enum, default_value_t = Strategy::Auto)]
    strategy: Strategy,
    /// A head from `engraft train` whose doubts count [default: a probe on the labels in INPUT]
    #[arg(long, value_name = "HEAD.onnx")]
    head: Option<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    /// typicality below five labels a class, then the most different among those of least margin
    Auto,
    /// Those whose two likeliest classes are nearest
    Margin,
    /// Those farthest from every label, and from each other
    KCentre,
    /// The most typical of clusters without a label
    Typicality,
}

#[derive(Debug, Serialize)]
struct Suggested {
    /// What `auto` came to.
    strategy: &'static str,
    /// Rows without a label.
    pool: usize,
    labelled: usize,
    suggestions: Vec<Scored>,
}

#[derive(Debug, Serialize)]
struct Scored {
    id: String,
    /// The margin, the distance to what is known, or the typicality.
    score: f64,
}

impl Suggest {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let head = self.head.as_ref().map(|path| HeadFile::read(path)).transpose()?;
        let head = self.head.as_deref().zip(head.as_ref());
        if let Some(head) = head {
            multi_label::one_class(head, "suggest --head")?;
        }
        let loaded = inputs::load(context, &self.inputs, &self.source, || match head {
            Some((_, head)) => backbone_of(head, &self.model, context),
            None => self.model.resolve(context),
        })?;
        let features = loaded.features;
        let (pool, labelled): (Vec<usize>, Vec<usize>) =
            (0..features.len()).partition(|&row| features.labels[row].is_none());
        if pool.is_empty() {
            let nothing = Error::Data("every row has a label: there is nothing to ask about".into());
            return Err(inputs::named(nothing, &self.inputs));
        }
        if let Some(head) = head {
            check_same_backbone(context, head, (&self.inputs, &features))?;
        }
        let head = head.map(|(_, head)| head);
        if pool.len() < self.count.get() {
            context.console.note(&format!("only {} without a label", counted(pool.len(), "row")));
        }
        let count = self.count.get().min(pool.len());
        let chosen = self.choose(context, head, &features, (&labelled, &pool), count);
        let (strategy, chosen) = chosen.map_err(|e| inputs::named(e, &self.inputs))?;
        let scored = |s: Suggestion| Scored { id: features.ids[s.row].clone(), score: s.score };
        let suggested = Suggested {
            strategy,
            pool: pool.len(),
            labelled: labelled.len(),
            suggestions: chosen.into_iter().map(scored).collect(),
        };
        context.result(&suggested, || {
            suggested.suggestions.iter().map(|s| one_field(&s.id)).collect::<Vec<_>>().join("\n")
        })?;
        Ok(self.source.status(loaded.rejects.len(), features.len()))
    }

    /// The strategy that was taken, and what it chose of the pool.
    fn choose(
        &self,
        context: &Context,
        head: Option<&HeadFile>,
        features: &FeatureSet,
        (labelled, pool): (&[usize], &[usize]),
        count: usize,
    ) -> Result<(&'static str, Vec<Suggestion>)> {
        Ok(match self.strategy {
            Strategy::KCentre => {
                ("k-centre", k_centre(features.matrix.view(), labelled, pool, count, &context.console)?)
            }
            Strategy::Margin => {
                let mut doubts = doubts(context, head, features, labelled, pool)?;
                doubts.truncate(count);
                ("margin", doubts)
            }
            Strategy::Auto if head.is_some() || knows_enough(features) => {
                let doubts = doubts(context, head, features, labelled, pool)?;
                ("margin+k-centre", different(context, features, labelled, doubts, count)?)
            }
            Strategy::Auto | Strategy::Typicality => {
                let x = features.matrix.view();
                ("typicality", typicality(x, labelled, count, context.seed, workers(context))?)
            }
        })
    }
}

/// Whether there are two classes and enough labels a class for a probe.
fn knows_enough(features: &FeatureSet) -> bool {
    let classes = features.class_names().len();
    let labels = features.labels.iter().flatten().count();
    classes > 1 && labels >= FEW_LABELS * classes
}

/// The rows of the pool with their margins, the least first.
fn doubts(
    context: &Context,
    head: Option<&HeadFile>,
    features: &FeatureSet,
    labelled: &[usize],
    pool: &[usize],
) -> Result<Vec<Suggestion>> {
    let x = features.matrix.select(Axis(0), pool);
    let probabilities: Array2<f32> = match head {
        Some(head) => head.probabilities(x.view())?,
        None => {
            let known = features.select(labelled);
            let names = known.class_names();
            if names.len() < 2 {
                return Err(Error::Data(format!(
                    "a margin needs a head, or labels of two classes in the input, which has {}: give --head, or take \
                     --strategy typicality",
                    names.len()
                )));
            }
            let labels = known.class_indices(&names)?;
            let fitted = probe(context).fit_watched(known.matrix.view(), &labels, &context.console)?;
            fitted.head.probabilities(x.view())?
        }
    };
    let scored = pool.iter().zip(margins(probabilities.view())?).map(|(&row, score)| Suggestion { row, score });
    let mut doubts: Vec<Suggestion> = scored.collect();
    doubts.sort_by(|a, b| a.score.total_cmp(&b.score));
    Ok(doubts)
}

/// The most different among the most doubtful, with their margins.
fn different(
    context: &Context,
    features: &FeatureSet,
    labelled: &[usize],
    mut doubts: Vec<Suggestion>,
    count: usize,
) -> Result<Vec<Suggestion>> {
    doubts.truncate(count.saturating_mul(DOUBTFUL));
    let candidates: Vec<usize> = doubts.iter().map(|doubt| doubt.row).collect();
    let margin = |chosen: Suggestion| doubts.iter().find(|doubt| doubt.row == chosen.row).copied();
    Ok(k_centre(features.matrix.view(), labelled, &candidates, count, &context.console)?
        .into_iter()
        .filter_map(margin)
        .collect())
}
