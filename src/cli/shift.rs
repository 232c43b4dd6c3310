//! `engraft shift`.

use std::path::PathBuf;

use serde::Serialize;

use super::adaptation::{AdaptArgs, Target, learner};
use super::fit::probe;
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::results::table_of_worst;
use super::train::labelled;
use super::{Context, Status};
use crate::adapt::{ClassShift, Discrepancy, Domains, Separability, Shift as Measured, ShiftOptions};
use crate::error::Result;

/// Measure how far a target domain is from a labelled source, and what to do about it
///
/// Tells how well a classifier tells the domains apart (0.5: not at all), whether their distributions differ by a permutation test of
/// the maximum mean discrepancy, how far each class has moved, and how the shares of the classes differ. Labels of the target are not
/// needed and not looked at.
///
/// Examples:
///   engraft shift photos.parquet sketches.parquet
///   engraft shift tweets.csv reviews.csv --model all-minilm-l6-v2
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Shift {
    /// Labelled features, images or texts
    #[arg(value_name = "SOURCE")]
    source_input: PathBuf,
    /// Features, images or texts of the other domain
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// What was measured, and what follows.
#[derive(Debug, Serialize)]
struct Outcome {
    labels: Vec<String>,
    #[serde(flatten)]
    shift: Measured,
    recommendation: &'static str,
}

impl Shift {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let backbone = || self.model.resolve(context);
        let sources = [self.source_input.clone()];
        let loaded = inputs::load(context, &sources, &self.source, backbone)?;
        let mut rejects = loaded.rejects.len();
        let source = labelled(context, loaded.features)?;
        let targets = [self.target.clone()];
        let loaded = inputs::load(context, &targets, &self.source.with_label_column(None), backbone)?;
        rejects += loaded.rejects.len();
        let target = Target { rows: loaded.features, labelled: None };
        AdaptArgs::check_same_making(&source, &sources, &target.rows, &targets)?;
        let labels = source.class_names();
        let classes = source.class_indices(&labels)?;
        let domains = Domains::new(source.matrix.view(), &classes, target.rows.matrix.view())?;
        let shift = measure(context, &domains)?;
        let rows = source.len() + target.rows.len();
        let outcome = Outcome { recommendation: recommendation(&shift), labels, shift };
        context.result(&outcome, || text(&outcome.shift, &outcome.labels) + "\n\n" + outcome.recommendation)?;
        Ok(self.source.status(rejects, rows))
    }
}

/// The shift between two domains, with the probe of the defaults as the head.
pub(super) fn measure(context: &Context, domains: &Domains) -> Result<Measured> {
    let options = ShiftOptions { seed: context.seed, ..ShiftOptions::default() };
    Measured::measure(domains, &learner(probe(context)), options, &context.console)
}

/// The level of the permutation test.
const LEVEL: f64 = 0.05;
/// From which estimated difference of the classes' shares on it is worth a word.
const SHARES: f64 = 0.1;

/// What to do about a shift.
pub(super) fn recommendation(shift: &Measured) -> &'static str {
    let apart = shift.separability.accuracy_interval[0] > 0.5 || shift.discrepancy.p_value < LEVEL;
    let shares = shift.label_shift.is_some_and(|shift| shift > SHARES);
    match (shift.identical, apart, shares) {
        (true, ..) => "the target is the source: there is nothing to adapt to",
        (_, false, false) => "no shift that these rows could show: train on the source alone",
        (_, false, true) => {
            "the inputs look alike, but the shares of the classes seem to differ: `train --target` with --adapt em or bbse"
        }
        (_, true, _) => "the domains differ: `train --target` tries what can be done, and not to adapt as well",
    }
}

/// The measures as lines, and a table of the classes.
pub(super) fn text(shift: &Measured, labels: &[String]) -> String {
    let rows = rows(shift, labels);
    let near = |(_, class, _): &OfClass| -class.distance.unwrap_or(f64::INFINITY);
    lines(shift).join("\n") + "\n\n" + &table_of_worst(&HEADER, &rows, ("class", "--json has all"), near, cells)
}

/// The measures of the domains as a whole.
pub(super) fn lines(shift: &Measured) -> Vec<String> {
    let Separability { accuracy, accuracy_interval: [low, high], n } = shift.separability;
    let Discrepancy { squared, p_value, .. } = shift.discrepancy;
    let mut lines = vec![
        format!(
            "a classifier tells the domains apart on {accuracy:.4} of {n} rows [{low:.4}, {high:.4}]; 0.5 is chance"
        ),
        format!("squared maximum mean discrepancy {squared:.3e}, p {p_value:.3} by permutation"),
    ];
    lines.extend(
        shift.label_shift.map(|label_shift| {
            format!("shares of the classes differ by {label_shift:.3} (total variation, estimated)")
        }),
    );
    lines
}

/// A class by its name, how it is shifted, and its estimated share in the target.
pub(super) type OfClass<'a> = (&'a String, &'a ClassShift, Option<f64>);

/// What [`cells`] tells of a class.
pub(super) const HEADER: [&str; 5] =
    ["class", "share in source", "predicted in target", "estimated in target", "moved by"];

/// All classes.
pub(super) fn rows<'a>(shift: &'a Measured, labels: &'a [String]) -> Vec<OfClass<'a>> {
    labels
        .iter()
        .zip(&shift.classes)
        .enumerate()
        .map(|(class, (label, shift_of))| (label, shift_of, shift.priors.as_ref().map(|priors| priors[class])))
        .collect()
}

/// What a table tells of a class.
pub(super) fn cells((label, class, prior): &OfClass) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let numbers = [Some(class.source_share), Some(class.predicted_share), *prior, class.distance];
    [(*label).clone()].into_iter().chain(numbers.map(number)).collect()
}
