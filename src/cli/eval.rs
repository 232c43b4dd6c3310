//! `engraft eval`.

use std::path::PathBuf;

use ndarray::{Array2, Axis};
use serde::Serialize;

use super::classifier::Classifier;
use super::confidence::{OodFigures, SetFigures};
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::prediction::ood_marks;
use super::report::{Evaluation, ReportArgs};
use super::results::{table, table_of_worst};
use super::{Context, Status, multi_label};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::eval::{ClassReport, GroupScores, Options, Report, group_scores};
use crate::features::FeatureSet;
use crate::head::{HeadFile, Link, Scored};
use crate::progress::Progress;
use crate::report::{Figure, figures, worst};

/// Tell how good a trained head or an exported model is on labelled data it has not seen
///
/// Examples:
///   engraft eval head.onnx test.parquet
///   engraft eval head.onnx test-photos/ --json
///   engraft eval model.onnx test-photos/
///   engraft eval head.onnx test-photos/ --report report.html
///   engraft eval head.onnx test.csv --group-column site
///   engraft eval head.onnx test.parquet --report report.html --samples test-photos/ --curve train.parquet
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Eval {
    /// A head from `engraft train`, or a model from `engraft export`
    #[arg(value_name = "MODEL.onnx")]
    head: PathBuf,
    /// Labelled images, texts or features
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Tell the scores of each group that this column names too, such as a site or a language. Of features it must have been
    /// kept (`embed --keep`)
    #[arg(long, value_name = "COLUMN")]
    group_column: Option<String>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    page: ReportArgs,
}

impl Eval {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        self.page.check()?;
        let classifier = Classifier::read(&self.head, &self.model)?;
        let head = classifier.head();
        if head.link == Link::Sigmoid {
            return self.multi_label(context, &classifier);
        }
        let backbone = || classifier.backbone(&self.model, context);
        let loaded =
            inputs::load_keeping(context, &self.inputs, (&self.source, self.group_column.as_slice()), backbone)?;
        let features = loaded.features;
        let known = features.rows_labelled(&head.labels);
        if known.is_empty() {
            if features.labels.iter().all(Option::is_none) {
                return Err(super::train::no_labels());
            }
            return Err(Error::Data(format!("no row has one of the head's labels: {}", head.labels.join(", "))));
        }
        let left_out = features.ids.len() - known.len();
        if left_out > 0 {
            context.console.note(&format!(
                "warning: left out: {} with no label or one the head does not know",
                counted(left_out, "row")
            ));
        }
        let status = self.source.status(loaded.rejects.len(), features.ids.len());
        let mut features = features.into_rows(&known);
        let scored = classifier.score(context, &self.inputs, &mut features)?;
        let mut judged = judge(head, &features, scored, context.seed)?;
        if let Some(name) = &self.group_column {
            judged.verdict.groups = Some(groups(context, &features, name, &judged)?);
        }
        let evaluation = Evaluation {
            model: &self.head,
            inputs: &self.inputs,
            source: &self.source,
            head,
            features: &features,
            judged: &judged,
            left_out,
            rejects: loaded.rejects.len(),
        };
        self.page.write(context, &evaluation, |train| match &classifier {
            Classifier::Head(..) => Ok(inputs::load(context, train, &self.source, backbone)?.features),
            Classifier::Exported(_) => {
                Err(Error::Usage("--curve fits heads: give the head that the model was exported from".into()))
            }
        })?;
        let verdict = &judged.verdict;
        context.result(verdict, || {
            let groups = verdict.groups.as_ref().map(|groups| group_table(groups));
            [
                Some(verdict.headline("rows")),
                Some(details(&verdict.report)),
                groups,
                Some(worst_rows(&features, &judged)),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n\n")
        })?;
        Ok(status)
    }

    /// Of a head whose rows may have any number of labels.
    fn multi_label(&self, context: &Context, classifier: &Classifier) -> Result<Status> {
        let head = classifier.head();
        if self.group_column.is_some() {
            multi_label::one_class((&self.head, head), "--group-column")?;
        }
        if self.page.is_wanted() {
            multi_label::one_class((&self.head, head), "--report")?;
        }
        let backbone = || classifier.backbone(&self.model, context);
        let loaded = inputs::load(context, &self.inputs, &self.source, backbone)?;
        let status = self.source.status(loaded.rejects.len(), loaded.features.len());
        let report = multi_label::evaluate(context, (classifier, &self.inputs), loaded.features)?;
        context.result(&report, || multi_label::text(&report))?;
        Ok(status)
    }
}

/// A head's probabilities for rows whose classes are known, and what they are worth.
pub(super) struct Judged {
    /// The class of each row.
    pub(super) truth: Vec<usize>,
    /// n×K.
    pub(super) probabilities: Array2<f32>,
    pub(super) verdict: Verdict,
}

/// A report, what the head's prediction sets are worth where it makes any, and how many rows it marks where it has a score.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    #[serde(flatten)]
    pub(super) report: Report,
    #[serde(flatten)]
    pub(super) sets: Option<SetFigures>,
    #[serde(flatten)]
    pub(super) strange: Option<OodFigures>,
    /// Of `--group-column`: the scores of each group, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) groups: Option<Vec<GroupScores>>,
}

/// Tells how good what `head` scored is, on rows whose labels it knows.
pub(super) fn judge(head: &HeadFile, features: &FeatureSet, scored: Scored, seed: u64) -> Result<Judged> {
    let truth = features.class_indices(&head.labels)?;
    let options = Options { seed, ..Options::default() };
    let strange = ood_marks(head, &scored).map(|marks| OodFigures::of(&marks));
    let probabilities = scored.probabilities;
    let report = Report::new(&truth, probabilities.view(), &head.labels, options)?;
    let sets = SetFigures::of(head, probabilities.view(), &truth)?;
    Ok(Judged { truth, probabilities, verdict: Verdict { report, sets, strange, groups: None } })
}

impl Verdict {
    /// The figures with their intervals, a line each.
    pub(super) fn headline(&self, rows: &str) -> String {
        let sets = self.sets.as_ref().map(|sets| format!("\n{}", sets.text()));
        figure_table(self.report.n, rows, self.figures()) + &sets.unwrap_or_default()
    }

    /// The figures of the report, and of the rows that the head marks.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let mut figures = figures(&self.report);
        figures.extend(self.strange.as_ref().map(OodFigures::figure));
        figures
    }
}

/// Figures of `n` rows with their intervals, a line each.
pub(super) fn figure_table(n: usize, rows: &str, figures: Vec<Figure>) -> String {
    let lines = figures.into_iter().map(|Figure { name, value, interval }| {
        let interval = interval.map_or_else(String::new, |[low, high]| format!("   [{low:.4}, {high:.4}]"));
        vec![name, format!("{value:.4}{interval}")]
    });
    table(&[&format!("on {n} {rows}"), "value and 95 % interval"], lines)
}

/// The scores of each group that `name` tells of; rows without a value are in none.
fn groups(context: &Context, features: &FeatureSet, name: &str, judged: &Judged) -> Result<Vec<GroupScores>> {
    let values = features.kept.get(name).map_or(&[][..], Vec::as_slice);
    let (rows, groups): (Vec<usize>, Vec<&String>) =
        values.iter().enumerate().filter_map(|(row, value)| Some((row, value.as_ref()?))).unzip();
    if rows.is_empty() {
        return Err(Error::Data(format!("no row has a `{name}`: there are no groups to tell of")));
    }
    if rows.len() < features.len() {
        let without = counted(features.len() - rows.len(), "row");
        context.console.note(&format!("in no group: {without} without a `{name}`"));
    }
    let truth: Vec<usize> = rows.iter().map(|&row| judged.truth[row]).collect();
    group_scores(&groups, &truth, judged.probabilities.select(Axis(0), &rows).view())
}

/// The groups, a line each; of many only the worst.
fn group_table(groups: &[GroupScores]) -> String {
    let cells = |group: &GroupScores| {
        let [low, high] = group.accuracy_interval;
        let accuracy = format!("{:.4}   [{low:.4}, {high:.4}]", group.accuracy);
        vec![group.group.clone(), group.n.to_string(), accuracy, format!("{:.4}", group.macro_f1)]
    };
    let header = ["group", "rows", "accuracy and 95 % interval", "macro F1"];
    table_of_worst(&header, groups, ("group", "--json has all"), |group| group.accuracy, cells)
}

/// How many classes a confusion matrix is shown for: beyond, it fits no terminal.
const MOST_COLUMNS: usize = 12;
/// How many misclassified rows are named.
const MOST_MISTAKES: usize = 5;

/// Scores of each class, and who is taken for whom.
fn details(report: &Report) -> String {
    let counts = report.per_class.len() <= MOST_COLUMNS;
    let mut header = vec!["class".to_owned(), "precision".into(), "recall".into(), "F1".into(), "rows".into()];
    if counts {
        header.extend(
            report.per_class.iter().map(|class| format!("→{}", class.label.chars().take(7).collect::<String>())),
        );
    }
    let cells = |(class, confusion): &(&ClassReport, &Vec<f64>)| {
        let mut cells = vec![class.label.clone()];
        cells.extend([class.precision, class.recall, class.f1].map(|score| format!("{score:.3}")));
        cells.push(class.support.to_string());
        if counts {
            cells.extend(confusion.iter().map(f64::to_string));
        }
        cells
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let classes: Vec<_> = report.per_class.iter().zip(&report.confusion).collect();
    table_of_worst(&header, &classes, ("class", "--json and --report have all"), |(class, _)| class.f1, cells)
}

/// The misclassified rows that the head was surest of; empty where there are none.
fn worst_rows(features: &FeatureSet, judged: &Judged) -> String {
    let rows = super::report::rows(features, judged);
    let class = |class: usize, p: f32| format!("{} {p:.2}", judged.verdict.report.labels[class]);
    let lines = worst(&rows).into_iter().take(MOST_MISTAKES).map(|row| {
        let row = &rows[row];
        vec![row.id.clone(), class(row.label, row.label_probability), class(row.predicted, row.confidence)]
    });
    match lines.len() {
        0 => String::new(),
        _ => table(&["worst mistakes", "is", "taken for"], lines),
    }
}
