//! `engraft audit`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Serialize;

use super::fit::probe;
use super::inputs::{self, SourceArgs};
use super::judging::tell_of_fewer_folds;
use super::model_args::ModelArgs;
use super::results::table;
use super::{Context, Status};
use crate::counted::counted;
use crate::curate::{
    Known, LabelFilter, Likeness, duplicates, isolation, label_errors, leaks, normalized_margin, out_of_fold,
};
use crate::error::{Error, Result};
use crate::eval::{Division, argmax};
use crate::features::FeatureSet;
use crate::progress::{Progress, Workers};

/// Find wrong labels, duplicates, leaks and outliers in a data set
///
/// INPUT is features (from `engraft embed`), or images or texts with --model. Labels are judged by confident learning on
/// the probabilities of probes that have not seen the row; duplicates and leaks by content and by cosine; outliers by the
/// distance to the nearest neighbours. Nothing is changed: each finding says what to do.
///
/// Examples:
///   engraft audit train.parquet --against test.parquet
///   engraft audit photos/ --model efficientnet-lite0 --top 5
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Audit {
    /// Features, images or texts
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Features, images or texts of which none may be in INPUT: the test set; may be given several times
    #[arg(long, value_name = "OTHER")]
    against: Vec<PathBuf>,
    /// How many findings of each kind to show, the worst first [default: 10, and all with --json]
    #[arg(long, value_name = "N", value_parser = inputs::count)]
    top: Option<NonZeroUsize>,
    /// Folds of the cross-validation that judges the labels
    #[arg(long, value_name = "K", default_value_t = 5)]
    cv: usize,
    /// Cosine of two embeddings from which they count as the same sample
    #[arg(long, value_name = "COSINE", default_value_t = 0.99)]
    duplicate_cosine: f32,
    /// Robust z-score of the distance to the neighbours from which a sample is an outlier
    #[arg(long, value_name = "Z", default_value_t = 3.5)]
    outlier_z: f64,
    /// Which neighbour the distance is measured to
    #[arg(long, value_name = "K", default_value = "10", value_parser = inputs::count)]
    neighbours: NonZeroUsize,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// Kinds of findings, the most harmful first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Leak,
    Conflict,
    LabelError,
    Duplicate,
    Outlier,
}

impl Kind {
    /// As in JSON.
    fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Conflict => "conflict",
            Self::LabelError => "label-error",
            Self::Duplicate => "duplicate",
            Self::Outlier => "outlier",
        }
    }
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Finding {
    id: String,
    kind: Kind,
    /// Of leaks, conflicts and duplicates the cosine, of label errors 1 − normalized margin, of outliers the robust z-score:
    /// the greater the worse.
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Of label errors, the likeliest label.
    #[serde(skip_serializing_if = "Option::is_none")]
    suggested: Option<String>,
    /// Of leaks, conflicts and duplicates, the sample it is like.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    action: String,
}

/// How many rows a class has.
#[derive(Debug, Serialize)]
struct ClassSize {
    label: String,
    rows: usize,
    share: f64,
}

#[derive(Debug, Serialize)]
struct Audited {
    rows: usize,
    unlabelled: usize,
    classes: Vec<ClassSize>,
    /// Rows of the largest class to those of the smallest.
    #[serde(skip_serializing_if = "Option::is_none")]
    imbalance: Option<f64>,
    /// Share of the labelled rows whose label is the likeliest by probes that have not seen them.
    #[serde(skip_serializing_if = "Option::is_none")]
    out_of_fold_accuracy: Option<f64>,
    counts: BTreeMap<&'static str, usize>,
    findings: Vec<Finding>,
}

impl Audit {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        if self.cv < 2 {
            return Err(Error::Usage(format!("--cv must be 2 or more, got {}", self.cv)));
        }
        let load = |paths: &[PathBuf]| inputs::load(context, paths, &self.source, || self.model.resolve(context));
        let loaded = load(&self.inputs)?;
        let status = self.source.status(loaded.rejects.len(), loaded.features.len());
        let features = loaded.features;
        let mut findings = self.duplicates(context, &features)?;
        if !self.against.is_empty() {
            let against = load(&self.against)?.features;
            let of = format!("the features of {} and {}", inputs::names(&self.inputs), inputs::names(&self.against));
            inputs::check_same_making(features.provenance.as_ref(), &against, &of)?;
            findings.extend(self.leaks(context, &features, &against)?);
        }
        findings.extend(self.outliers(context, &features)?);
        let classes = class_sizes(&features);
        let out_of_fold_accuracy = self.labels(context, &features, &mut findings)?;
        findings.sort_by(|a, b| a.kind.cmp(&b.kind).then(b.score.total_cmp(&a.score)));
        let mut counts = BTreeMap::new();
        for kind in [Kind::Leak, Kind::Conflict, Kind::LabelError, Kind::Duplicate, Kind::Outlier] {
            counts.insert(kind.name(), findings.iter().filter(|finding| finding.kind == kind).count());
        }
        let top = self.top.map(NonZeroUsize::get).or((!context.json).then_some(10)).unwrap_or(usize::MAX);
        let mut shown: BTreeMap<Kind, usize> = BTreeMap::new();
        findings.retain(|finding| {
            let shown = shown.entry(finding.kind).or_default();
            *shown += 1;
            *shown <= top
        });
        let sizes = || classes.iter().map(|class| class.rows);
        let imbalance = sizes().max().zip(sizes().min()).map(|(most, fewest)| most as f64 / fewest as f64);
        let audited = Audited {
            rows: features.len(),
            unlabelled: features.labels.iter().filter(|label| label.is_none()).count(),
            classes,
            imbalance,
            out_of_fold_accuracy,
            counts,
            findings,
        };
        context.result(&audited, || audited.text())?;
        Ok(status)
    }

    fn duplicates(&self, context: &Context, features: &FeatureSet) -> Result<Vec<Finding>> {
        let (x, contents) = (features.matrix.view(), &features.contents);
        let mut findings = Vec::new();
        for group in duplicates(x, contents, self.duplicate_cosine, workers(context))? {
            let first = group.rows[0];
            let labels: BTreeSet<&String> =
                group.rows.iter().filter_map(|&row| features.labels[row].as_ref()).collect();
            let conflict = labels.len() > 1;
            for &row in &group.rows[1..] {
                let same = match group.likeness {
                    Likeness::Identical => "the same content as",
                    Likeness::Near => "nearly the same as",
                };
                let other = &features.ids[first];
                let (kind, what) = match conflict {
                    true => {
                        (Kind::Conflict, "but not all copies have one label: correct the labels or remove the copies")
                    }
                    false => (Kind::Duplicate, "keep one of them"),
                };
                findings.push(Finding {
                    id: features.ids[row].clone(),
                    kind,
                    score: f64::from(group.similarity),
                    label: features.labels[row].clone(),
                    suggested: None,
                    other: Some(other.clone()),
                    action: format!("{same} {other}; {what}"),
                });
            }
        }
        Ok(findings)
    }

    fn leaks(&self, context: &Context, features: &FeatureSet, against: &FeatureSet) -> Result<Vec<Finding>> {
        let found = leaks(
            (features.matrix.view(), &features.contents),
            (against.matrix.view(), &against.contents),
            self.duplicate_cosine,
            workers(context),
        )?;
        let finding = |leak: crate::curate::Leak| {
            let other = against.ids[leak.other].clone();
            Finding {
                id: features.ids[leak.row].clone(),
                kind: Kind::Leak,
                score: f64::from(leak.similarity),
                label: features.labels[leak.row].clone(),
                suggested: None,
                action: format!("{other} of the other set is the same sample: remove it from one of the sets"),
                other: Some(other),
            }
        };
        Ok(found.into_iter().map(finding).collect())
    }

    fn outliers(&self, context: &Context, features: &FeatureSet) -> Result<Vec<Finding>> {
        if features.len() < 2 {
            return Ok(Vec::new());
        }
        let isolation = isolation(features.matrix.view(), self.neighbours, workers(context))?;
        let outliers = isolation.iter().enumerate().filter(|(_, row)| row.z > self.outlier_z);
        let finding = |(row, found): (usize, &crate::curate::Isolation)| Finding {
            id: features.ids[row].clone(),
            kind: Kind::Outlier,
            score: found.z,
            label: features.labels[row].clone(),
            suggested: None,
            other: None,
            action: "like no other sample: see whether it belongs here, or collect more of its kind".to_owned(),
        };
        Ok(outliers.map(finding).collect())
    }

    /// Judges the labels where there are classes to judge by. Returns the accuracy of the judges.
    fn labels(&self, context: &Context, features: &FeatureSet, findings: &mut Vec<Finding>) -> Result<Option<f64>> {
        let sizes = class_sizes(features);
        let (judged, single): (Vec<_>, Vec<_>) = sizes.into_iter().partition(|class| class.rows > 1);
        if judged.len() < 2 {
            context.console.note("the labels are not judged: that takes two classes of two rows or more");
            return Ok(None);
        }
        for class in single {
            let label = class.label;
            context.console.note(&format!("class {label:?} has one sample only: its label is not judged"));
        }
        let names: Vec<String> = judged.into_iter().map(|class| class.label).collect();
        let labelled = features.select(&features.rows_labelled(&names));
        let labels = labelled.class_indices(&names)?;
        tell_of_fewer_folds(context, self.cv, (labels.len(), "rows"));
        let folds = Division::new(self.cv, context.seed);
        let x = labelled.matrix.view();
        let fit = |known: Known| Ok(probe(context).fit_watched(known.x, known.labels, &context.console)?.head.into());
        let p = out_of_fold(x, (&labels, names.len()), &fit, folds)?;
        let margins = normalized_margin(p.view(), &labels)?;
        let likeliest = argmax(p.view());
        for row in label_errors(p.view(), &labels, LabelFilter::default())? {
            let suggested = names[likeliest[row]].clone();
            findings.push(Finding {
                id: labelled.ids[row].clone(),
                kind: Kind::LabelError,
                score: 1.0 - margins[row],
                label: labelled.labels[row].clone(),
                other: None,
                action: format!("see whether the label should be {suggested:?}"),
                suggested: Some(suggested),
            });
        }
        let right = likeliest.iter().zip(&labels).filter(|(found, label)| found == label).count();
        Ok(Some(right as f64 / labels.len() as f64))
    }
}

/// All threads, watched.
pub(super) fn workers(context: &Context) -> Workers<'_> {
    Workers { threads: context.threads, progress: &context.console }
}

/// The classes by name.
fn class_sizes(features: &FeatureSet) -> Vec<ClassSize> {
    let mut rows: BTreeMap<&String, usize> = BTreeMap::new();
    features.labels.iter().flatten().for_each(|label| *rows.entry(label).or_default() += 1);
    let labelled: usize = rows.values().sum();
    let class = |(label, rows): (&String, usize)| ClassSize {
        label: label.clone(),
        rows,
        share: rows as f64 / labelled as f64,
    };
    rows.into_iter().map(class).collect()
}

impl Audited {
    fn text(&self) -> String {
        let mut text = format!("{}, {} of them without a label\n", counted(self.rows, "row"), self.unlabelled);
        if let Some(imbalance) = self.imbalance {
            text +=
                &format!("{}, the largest {imbalance:.1} times the smallest\n", counted(self.classes.len(), "class"));
        }
        if let Some(accuracy) = self.out_of_fold_accuracy {
            text += &format!("probes that have not seen a row agree with its label in {:.1} %\n", 100.0 * accuracy);
        }
        let counts: Vec<String> = self.counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        text += &format!("findings: {}\n", counts.join(", "));
        if self.findings.is_empty() {
            return text;
        }
        let row = |f: &Finding| {
            let label = f.label.clone().unwrap_or_default();
            vec![f.kind.name().to_owned(), f.id.clone(), label, format!("{:.3}", f.score), f.action.clone()]
        };
        text + "\n" + &table(&["kind", "id", "label", "score", "what to do"], self.findings.iter().map(row))
    }
}
