//! `engraft curve`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use ndarray::ArrayView2;
use serde::Serialize;

use super::fit::HeadArgs;
use super::inputs::{self, SourceArgs, count};
use super::judging::HoldoutArgs;
use super::model_args::ModelArgs;
use super::results::table;
use super::train::labelled;
use super::{Context, Status};
use crate::counted::counted;
use crate::curate::{Known, ShotPoint, Shots, few_shot_curve, forecast};
use crate::error::{Error, Result};
use crate::eval::{Forecast, Interval};
use crate::progress::{Progress, Unstaged};

/// At how many times the labels the law is read; once beside what was measured there.
const AHEAD: [usize; 3] = [1, 2, 4];

/// Rows of each class unless told otherwise.
const SHOTS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// A curve is measured in any case.
const HOLDOUT: &str = "Share of each class that is held out to measure on, above 0 and below 1";

/// Tell what more labels would bring: accuracy by the number of labels, and a forecast
///
/// INPUT is as for `engraft train`. A fifth of the rows is held out. Heads are fitted to 1, 2, 4, … rows of each class (of a
/// smaller class, to all it has), drawn several times, and to all rows that are left, and measured on the rows held out.
/// Intervals are 95 %: mean ± t·√(S²/R + V/n), S² the variance of the accuracy over R draws, V that over the n rows held out
/// of the share of draws that have a row right; of all rows, Wilson's. The forecast is the law error = c + a·labels^(−b),
/// fitted to all of that and read at all, twice and four times the labels: no promise, for its interval does not know whether the
/// law goes on to hold.
///
/// Examples:
///   engraft curve photos.parquet
///   engraft curve reviews.csv --model all-minilm-l6-v2 --head centroid --shots 1,5,25 --repeats 20 --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, mut_arg("holdout", |arg| arg.help(HOLDOUT).long_help(HOLDOUT)))]
pub(super) struct Curve {
    /// Features, or labelled images or texts
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// Rows of each class, with commas between; sizes that would take all rows are left out [default: 1,2,4,8,16,32,64]
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', value_parser = count)]
    shots: Vec<NonZeroUsize>,
    /// Draws of each
    #[arg(long, value_name = "R", default_value = "10", value_parser = count)]
    repeats: NonZeroUsize,
    #[command(flatten)]
    holdout: HoldoutArgs,
    #[command(flatten)]
    head: HeadArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Serialize)]
struct Measured {
    /// Rows held out.
    n: usize,
    classes: usize,
    repeats: usize,
    points: Vec<Point>,
    /// error = floor + scale · labels^(−exponent); none of fewer than three sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    law: Option<Law>,
    forecast: Vec<Ahead>,
}

#[derive(Debug, Serialize)]
struct Point {
    /// Rows of each class; null for all rows.
    shots: Option<usize>,
    labels: usize,
    accuracy: f64,
    accuracy_interval: Interval,
}

#[derive(Debug, Serialize)]
struct Law {
    floor: f64,
    scale: f64,
    exponent: f64,
}

#[derive(Debug, Serialize)]
struct Ahead {
    /// As many times the labels.
    times: usize,
    labels: usize,
    accuracy: f64,
    accuracy_interval: Option<Interval>,
}

impl Curve {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        self.head.check_flags()?;
        if self.holdout.holdout == 0.0 {
            return Err(Error::Usage("--holdout must be above 0: the accuracy is measured on rows held out".into()));
        }
        let columns = self.holdout.columns();
        let loaded =
            inputs::load_keeping(context, &self.inputs, (&self.source, columns), || self.model.resolve(context))?;
        let status = self.source.status(loaded.rejects.len(), loaded.features.len());
        let features = labelled(context, loaded.features)?;
        let split = self.holdout.split(context, &features)?;
        let divided = self.holdout.arrange(features, split)?;
        let (known, others) = (divided.known(), divided.held_out());
        let (labels, truth, classes) = (known.labels, others.1, divided.names.len());
        let mut sizes: Vec<usize> = self.shots.iter().map(|size| size.get()).collect();
        if sizes.is_empty() {
            sizes = SHOTS.to_vec();
        }
        sizes.sort_unstable();
        sizes.dedup();
        let mut rows = vec![0; classes];
        labels.iter().for_each(|&label| rows[label] += 1);
        self.tell_of_large_sizes(context, &rows);
        tell_of_small_classes(context, &rows, &sizes);
        let shots = Shots { sizes: &sizes, draws: self.repeats.get(), seed: context.seed };
        let points = points(context, &self.head, known, others, shots)?;
        let law = match points.len() {
            0..3 => None,
            _ => Some(forecast(&points, truth.len(), context.seed)?),
        };
        if law.is_none() {
            context.console.note("no forecast: it takes three sizes, all rows among them");
        }
        let ahead = |times: usize| {
            let labels = times * labels.len();
            let Forecast { error, error_interval, .. } = law.as_ref()?.at(labels as f64).measured_on(truth.len());
            let accuracy_interval = error_interval.map(|[low, high]| [1.0 - high, 1.0 - low]);
            Some(Ahead { times, labels, accuracy: 1.0 - error, accuracy_interval })
        };
        let measured = Measured {
            n: truth.len(),
            classes,
            repeats: self.repeats.get(),
            points: points.iter().map(Point::from).collect(),
            forecast: AHEAD.into_iter().filter_map(ahead).collect(),
            law: law.as_ref().map(|law| Law { floor: law.floor, scale: law.scale, exponent: law.exponent }),
        };
        context.result(&measured, || measured.text())?;
        Ok(status)
    }
}

impl Curve {
    /// Says so when sizes that were asked for would take all rows; `rows` are those of each class.
    fn tell_of_large_sizes(&self, context: &Context, rows: &[usize]) {
        let most = rows.iter().copied().max().unwrap_or(0);
        let large: Vec<String> =
            self.shots.iter().filter(|size| size.get() >= most).map(|size| size.to_string()).collect();
        if !large.is_empty() {
            context.console.note(&format!(
                "left out of --shots: {}: no class has more than {} to learn from, and all rows are measured anyway",
                large.join(", "),
                counted(most, "row")
            ));
        }
    }
}

/// Says so when classes have fewer rows than a size asks for; `rows` are those of each class.
fn tell_of_small_classes(context: &Context, rows: &[usize], sizes: &[usize]) {
    let most = rows.iter().copied().max().unwrap_or(0);
    let largest = sizes.iter().copied().filter(|&size| size < most).max().unwrap_or(0);
    let small = rows.iter().filter(|&&rows| rows < largest).count();
    if small > 0 {
        let small = counted(small, "class");
        context.console.note(&format!("{small} with fewer than {largest} rows to learn from: all of theirs are drawn"));
    }
}

/// Heads of these flags, fitted to parts of the known rows and measured on the others.
pub(super) fn points(
    context: &Context,
    head: &HeadArgs,
    known: Known,
    others: (ArrayView2<f32>, &[usize]),
    shots: Shots,
) -> Result<Vec<ShotPoint>> {
    let watched = Unstaged(&context.console);
    let fit = |known: Known| Ok(head.fit(context, known, &watched)?.head);
    few_shot_curve(known, others, &fit, shots, &context.console)
}

impl From<&ShotPoint> for Point {
    fn from(point: &ShotPoint) -> Self {
        Self {
            shots: point.shots,
            labels: point.rows,
            accuracy: point.measured.accuracy,
            accuracy_interval: point.measured.accuracy_interval,
        }
    }
}

impl Measured {
    fn text(&self) -> String {
        let line = |name: String, labels: usize, accuracy: f64, interval: Option<Interval>| {
            let interval = interval.map_or_else(String::new, |[low, high]| format!("   [{low:.4}, {high:.4}]"));
            vec![name, labels.to_string(), format!("{accuracy:.4}{interval}")]
        };
        let points = self.points.iter().map(|p| {
            let name = p.shots.map_or_else(|| "all".to_owned(), |shots| format!("{shots} a class"));
            line(name, p.labels, p.accuracy, Some(p.accuracy_interval))
        });
        let ahead = self.forecast.iter().map(|ahead| {
            let name = match ahead.times {
                1 => "all, by the law".to_owned(),
                times => format!("{times} times, forecast"),
            };
            line(name, ahead.labels, ahead.accuracy, ahead.accuracy_interval)
        });
        let on = format!("on {} held-out rows, {}", self.n, counted(self.repeats, "draw"));
        table(&[&on, "labels", "accuracy and 95 % interval"], points.chain(ahead))
    }
}
