//! `engraft demo`: the whole way on real data.

mod data;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::embed::Files;
use super::fit::FitArgs;
use super::inputs::{self, SourceArgs};
use super::results::table;
use super::train::Trained;
use super::{Context, Status, prediction};
use crate::backbone::{self, Flavour, registry};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::extract::Summary;
use crate::features::{Existing, FeatureSet};
use crate::file;
use crate::head::HeadFile;
use crate::progress::Progress;

/// All of it on real data, in minutes: fetch, embed, train, evaluate, predict
///
/// Images: 1,250 emoji of Google's Noto set in 7 categories, embedded with efficientnet-lite0. With --text: 4,000 tweets,
/// positive or negative, embedded with all-minilm-l6-v2. The second run downloads nothing.
///
/// Example: engraft demo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Demo {
    /// Tweets instead of images
    #[arg(long)]
    text: bool,
    /// Where to write the features, the head and the report; what the demo wrote there before is replaced
    /// [default: engraft-demo, or engraft-demo-text]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    fit: FitArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// One line of the closing table.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    what: String,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    trained: Trained,
    embed: Summary,
    predictions: Vec<prediction::Prediction>,
    steps: Vec<Step>,
    files: Vec<PathBuf>,
}

/// Times the steps and announces each.
struct Steps<'a> {
    context: &'a Context,
    done: Vec<Step>,
}

impl Steps<'_> {
    fn run<T>(&mut self, step: &'static str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        if self.context.console.interrupted() {
            return Err(Error::Interrupted);
        }
        let started = Instant::now();
        let (value, what) = work()?;
        let seconds = started.elapsed().as_secs_f64();
        self.context.console.say(&format!("{step}: {what} ({seconds:.1} s)"));
        self.done.push(Step { step, what, seconds });
        Ok(value)
    }
}

impl Demo {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        self.fit.check_flags()?;
        let mut steps = Steps { context, done: Vec::new() };
        let source = self.source.with_id_column(self.text.then_some("id"));
        let console = &context.console;
        let name = if self.text { "all-minilm-l6-v2" } else { "efficientnet-lite0" };
        let out =
            self.out.unwrap_or_else(|| PathBuf::from(if self.text { "engraft-demo-text" } else { "engraft-demo" }));
        let (features_path, head_path, report_path) =
            (out.join("features.parquet"), out.join("head.onnx"), out.join("report.json"));

        steps.run("setup", || {
            // Whatever runtime is here serves; only where there is none it is fetched.
            if let Err(Error::Runtime(_)) = context.runtime() {
                backbone::setup(&context.home, Flavour::Cpu, console)?;
            }
            Ok(((), format!("ONNX Runtime {}", context.runtime()?.version)))
        })?;
        let backbone = steps.run("backbone", || {
            let backbone = registry::pull(&registry::find(name)?, &context.home, console)?;
            let licence = backbone.licence.clone().unwrap_or_default();
            Ok((backbone, format!("{name} ({licence})")))
        })?;
        let input = steps.run("data", || match self.text {
            true => Ok((data::tweets(&context.home, console)?, "tweets rated by twenty people each".to_owned())),
            false => Ok((data::emoji(&context.home, console)?, "Google's emoji in 7 categories".to_owned())),
        })?;
        let embed = steps.run("embed", || {
            let mut files = Files::new(&features_path, Existing::Replace)?;
            let summary = inputs::embed(context, std::slice::from_ref(&input), (&source, &[]), &backbone, &mut files)?;
            let rejected = files.finish()?;
            if summary.rows == 0 {
                return Err(inputs::nothing_embedded(rejected.first.as_ref(), summary.rejects));
            }
            let rate = summary.rows_per_second.map_or_else(String::new, |rate| format!(", {rate:.0} rows/s"));
            let what = format!("{} of {}{rate}", counted(summary.rows, "row"), counted(summary.dimension, "value"));
            Ok((summary, what))
        })?;
        let trained = steps.run("train", || {
            let trained = self.fit.train(context, FeatureSet::read(&features_path)?, &head_path)?;
            let iterations =
                trained.certificate.map_or_else(String::new, |c| format!(", {}", counted(c.iterations, "iteration")));
            let what =
                format!("{}, {}{iterations}", counted(trained.classes, "class"), counted(trained.n_train, "row"));
            Ok((trained, what))
        })?;
        let predictions = steps.run("predict", || {
            let held_out = &trained.held_out;
            let few: Vec<usize> = (0..held_out.len()).step_by((held_out.len() / 6).max(1)).take(6).collect();
            let few = held_out.select(&few);
            let head = HeadFile::read(&head_path)?;
            let mut predictions = prediction::predictions(&head, &few.ids, &head.score(few.matrix.view())?, 3)?;
            let right = predictions.iter().zip(&few.labels).filter(|(p, l)| Some(&p.label) == l.as_ref()).count();
            if self.text {
                // A number says nothing of a tweet.
                for prediction in &mut predictions {
                    prediction.id = data::tweet(&input, &prediction.id)?;
                }
            }
            Ok((predictions, format!("{right} of {} held-out samples right", few.ids.len())))
        })?;
        let files = vec![features_path, head_path, report_path.clone()];
        let outcome = Outcome { trained, embed, predictions, steps: steps.done, files };
        let json = serde_json::to_vec_pretty(&outcome).map_err(|e| Error::malformed(&report_path, e))?;
        file::write_atomic(&report_path, &json)?;
        context.result(&outcome, || outcome.text())?;
        Ok(self.source.status(outcome.embed.rejects, outcome.embed.rows))
    }
}

impl Outcome {
    fn text(&self) -> String {
        let predictions = self.predictions.iter().map(|p| {
            let mut cells = vec![p.id.clone()];
            cells.extend(p.top.iter().map(|c| format!("{} {:.2}", c.label, c.probability)));
            cells
        });
        let steps = self.steps.iter().map(|s| vec![s.step.to_owned(), s.what.clone(), format!("{:.1}", s.seconds)]);
        let files = self.files.iter().map(|f| format!("\n  {}", f.display())).collect::<String>();
        format!(
            "\n{}\n\n{}\n\n{}\n\nwritten:{files}",
            self.trained.text(),
            table(&["held-out sample", "first", "second", "third"], predictions),
            table(&["step", "", "seconds"], steps),
        )
    }
}
