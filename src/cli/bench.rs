//! `engraft bench`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::classifier::Classifier;
use super::eval::judge;
use super::export::raw;
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::results::table;
use super::{Context, Status};
use crate::backbone::Backbone;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::eval::Interval;
use crate::export::{ExportPrecision, Exported, built_in};
use crate::extract::latency;
use crate::head::Link;
use crate::onnx::stored_bytes;
use crate::progress::Progress;
use crate::source::{Entry, Sample};

/// Samples in a batch when the throughput is measured.
const BATCH: usize = 16;
/// Inputs that are timed at most.
const TIMED: usize = 64;
/// What a process that measures one model is told anew: flags may be given once, and these exclude one another.
const LOUDNESS: [&str; 5] = ["--json", "-q", "--quiet", "-v", "--verbose"];
const LOUDNESS_VARIABLES: [&str; 3] = ["ENGRAFT_JSON", "ENGRAFT_QUIET", "ENGRAFT_VERBOSE"];

/// Compare exported models: size, latency, throughput, memory, and accuracy where labelled data is given
///
/// Each model runs in a process of its own, one session, so that its peak memory is its own. Latency is of one prepared sample,
/// throughput of batches of 16 (of one image, where the preprocessing is in the file: sizes differ); reading and decoding are not
/// in it. A model is marked with * where no other is at least as good
/// in size, latency and accuracy and better in one of them.
///
/// Examples:
///   engraft bench model.onnx model-int8.onnx
///   engraft bench model.onnx model-int8.onnx --data test-photos/ --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Bench {
    /// Models from `engraft export`
    #[arg(required = true, value_name = "MODEL.onnx")]
    models: Vec<PathBuf>,
    /// Images or texts to run; with labels, to tell the accuracy [default: drawn pictures, common sentences]
    #[arg(long, value_name = "INPUT")]
    data: Vec<PathBuf>,
    /// Seconds that each of the two timings takes
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    model: ModelArgs,
}

/// What one model costs, and what it is worth.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measured {
    model: PathBuf,
    /// `f32`, `f16` or `int8`.
    precision: ExportPrecision,
    /// Of the file, in bytes, with those of its weights beside it.
    size: u64,
    /// Of one sample, in milliseconds.
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    /// In batches of 16; of one, where images are taken as they are decoded.
    rows_per_second: f64,
    /// Peak memory of the process, in bytes, before any evaluation; where the system tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy_interval: Option<Interval>,
    /// Whether no other model is at least as good in all and better in one.
    pareto: bool,
}

impl Bench {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        self.seconds()?;
        let mut all = match &self.models[..] {
            [only] => vec![self.measure(context, only)?],
            several => {
                // What cannot be measured is told before any time is spent.
                several.iter().try_for_each(|model| self.exported(model).map(|_| ()))?;
                several.iter().map(|model| self.alone(context, model)).collect::<Result<_>>()?
            }
        };
        for i in 0..all.len() {
            all[i].pareto = !all.iter().any(|other| other.beats(&all[i]));
        }
        context.result(&all, || text(&all))?;
        Ok(Status::Done)
    }

    fn exported(&self, path: &Path) -> Result<Exported> {
        match Classifier::read(path, &self.model)? {
            Classifier::Exported(exported) => Ok(exported),
            Classifier::Head(..) => Err(Error::Usage(format!("{} is a head: export it first", path.display()))),
        }
    }

    fn seconds(&self) -> Result<Duration> {
        let seconds = Duration::try_from_secs_f64(self.seconds).ok().filter(|seconds| !seconds.is_zero());
        seconds.ok_or_else(|| Error::Usage("--seconds must be above 0, and no more than a clock can count".into()))
    }

    /// Measures one model in a process of its own.
    fn alone(&self, context: &Context, model: &PathBuf) -> Result<Measured> {
        context.console.say(&format!("{} ...", model.display()));
        let this = std::env::current_exe().map_err(Error::io("find", "engraft"))?;
        // The same command, less the other models and how much is said.
        let mut others: Vec<OsString> = std::env::args_os().skip(1).collect();
        others.retain(|argument| self.models.iter().all(|known| known != argument));
        others.retain(|argument| LOUDNESS.iter().all(|flag| argument != flag));
        let mut command = Command::new(this);
        // What comes last may come after a `--`.
        command.args(["--json", "--quiet"]).args(others).arg(model);
        for name in LOUDNESS_VARIABLES {
            command.env_remove(name);
        }
        let output = command.output().map_err(Error::io("start", "engraft bench"))?;
        if context.console.interrupted() || output.status.code() == Some(130) {
            return Err(Error::Interrupted);
        }
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            let reason = reason.trim().trim_start_matches("engraft: ").to_owned();
            return Err(match output.status.code() {
                Some(2) => Error::Usage(reason),
                _ => Error::Data(reason),
            });
        }
        let found: Result<[Measured; 1], _> = serde_json::from_slice(&output.stdout);
        found.map(|[one]| one).map_err(|e| Error::model(model.display(), format!("its measurements: {e}")))
    }

    fn measure(&self, context: &Context, path: &Path) -> Result<Measured> {
        let exported = self.exported(path)?;
        let precision = exported.record.precision;
        let classifier = Classifier::Exported(exported);
        let backbone = classifier.backbone(&self.model, context)?;
        let samples = self.samples(context, &backbone)?;
        let seconds = self.seconds()?;
        let time = |batch| {
            let how = (context.device, context.threads.get(), batch);
            latency((context.runtime()?, &context.home), &backbone, &samples, how, seconds, &context.console)
        };
        let (one, many) = (time(1)?, time(BATCH)?);
        let peak_memory = peak_memory();
        let (accuracy, accuracy_interval) = self.accuracy(context, &classifier)?.unzip();
        Ok(Measured {
            model: path.to_path_buf(),
            precision,
            size: stored_bytes(path)?,
            latency_p50_ms: one.p50_ms,
            latency_p99_ms: one.p99_ms,
            rows_per_second: many.rows_per_second(),
            peak_memory,
            accuracy,
            accuracy_interval,
            pareto: true,
        })
    }

    /// What is timed.
    fn samples(&self, context: &Context, backbone: &Backbone) -> Result<Vec<Sample>> {
        let modality = inputs::modality(&backbone.preprocessing);
        let entries = match self.data.is_empty() {
            true => built_in(modality)?,
            false => {
                raw(&self.data)?;
                inputs::draw(&self.data, &self.source.options(modality, &[]), TIMED, context.seed)?
            }
        };
        let sample = |entry| match entry {
            Entry::Sample(sample) => Some(sample),
            Entry::Reject(_) => None,
        };
        Ok(entries.into_iter().filter_map(sample).collect())
    }

    /// On the rows of the data that have a label that the model knows, if there are any.
    fn accuracy(&self, context: &Context, classifier: &Classifier) -> Result<Option<(f64, Interval)>> {
        let head = classifier.head();
        if self.data.is_empty() || head.link == Link::Sigmoid {
            return Ok(None);
        }
        let backbone = || classifier.backbone(&self.model, context);
        let features = inputs::load(context, &self.data, &self.source, backbone)?.features;
        let known = features.rows_labelled(&head.labels);
        if known.len() < features.len() {
            context.console.say(&format!(
                "warning: of {} {} no label that the model knows: the accuracy is of the others",
                counted(features.len(), "row"),
                features.len() - known.len()
            ));
        }
        if known.is_empty() {
            return Ok(None);
        }
        let mut features = features.into_rows(&known);
        let scored = classifier.score(context, &self.data, &mut features)?;
        let report = judge(head, &features, scored, context.seed)?.verdict.report;
        Ok(Some((report.accuracy, report.accuracy_interval)))
    }
}

impl Measured {
    /// Whether it is at least as good as another in all, and better in one.
    fn beats(&self, other: &Self) -> bool {
        let costs = |m: &Self| [m.size as f64, m.latency_p50_ms, -m.accuracy.unwrap_or(0.0)];
        let pairs: Vec<(f64, f64)> = costs(self).into_iter().zip(costs(other)).collect();
        pairs.iter().all(|(a, b)| a <= b) && pairs.iter().any(|(a, b)| a < b)
    }
}

/// The most memory that this process has had resident, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.split_whitespace().next()?.parse::<u64>().ok()?)
}

fn text(all: &[Measured]) -> String {
    let rows = all.iter().map(|m| {
        let accuracy = match (m.accuracy, m.accuracy_interval) {
            (Some(accuracy), Some([low, high])) => format!("{accuracy:.4} [{low:.4}, {high:.4}]"),
            _ => "-".to_owned(),
        };
        vec![
            format!("{}{}", if m.pareto { "* " } else { "  " }, m.model.display()),
            m.precision.name().to_owned(),
            format!("{:.1}", m.size as f64 / 1e6),
            format!("{:.2}", m.latency_p50_ms),
            format!("{:.2}", m.latency_p99_ms),
            format!("{:.0}", m.rows_per_second),
            m.peak_memory.map_or_else(|| "-".to_owned(), |bytes| format!("{:.0}", bytes as f64 / 1e6)),
            accuracy,
        ]
    });
    let header = ["  model", "precision", "MB", "p50 ms", "p99 ms", "rows/s", "peak MB", "accuracy"];
    table(&header, rows)
}
