//! `engraft inspect`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde::Serialize;

use super::embed::rejects_beside;
use super::results::table;
use super::{Context, Status};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::features::{RunState, Survey, run_state};

/// Tell what a feature set holds, what made it, and whether its run is finished
///
/// Of a folder with damaged shards it tells what the sound ones hold, lists the others, and ends with exit code 1.
///
/// Example: engraft inspect features/ --json
#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// A .parquet, .npy or .safetensors file, or a folder of Parquet files
    #[arg(value_name = "FEATURES")]
    features: PathBuf,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    survey: Survey,
    /// Inputs that could not be embedded, as the folder's journal or the file beside the features has them.
    rejects: Option<u64>,
    /// Of a folder with a journal.
    run: Option<RunState>,
}

/// Labels in the table; the JSON has them all.
const LABELS: usize = 20;

impl Inspect {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        std::fs::metadata(&self.features).map_err(Error::io("read", &self.features))?;
        let run = run_state(&self.features)?;
        let survey = Survey::of(&self.features, &context.console)?;
        let rejects = match run {
            Some(run) => Some(run.rejects),
            None => self.rejects_beside()?,
        };
        let report = Report { survey, rejects, run };
        context.result(&report, || report.text())?;
        match report.way_out() {
            Some(reason) => Err(Error::malformed(&self.features, reason)),
            None => Ok(Status::Done),
        }
    }

    /// Those of a run into one file.
    fn rejects_beside(&self) -> Result<Option<u64>> {
        let path = rejects_beside(&self.features);
        match std::fs::File::open(&path) {
            Ok(file) => {
                let lines = BufReader::new(file).split(b'\n');
                let count = lines.map(|line| line.map(|_| 1)).sum::<std::io::Result<u64>>();
                Ok(Some(count.map_err(Error::io("read", &path))?))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path)(e)),
        }
    }
}

impl Report {
    /// What is wrong and how it is mended, if a shard is damaged.
    fn way_out(&self) -> Option<String> {
        let damaged = self.survey.damaged.len();
        let way = match self.run {
            Some(_) => "run the same embed command again: only these stretches are made anew",
            None => "no journal tells how it was made: make these files anew, or remove them",
        };
        (damaged > 0).then(|| format!("{} damaged; {way}", counted(damaged, "shard")))
    }

    fn text(&self) -> String {
        let survey = &self.survey;
        let mut lines = vec![
            ["rows".to_owned(), format!("{} of {}", survey.rows, counted(survey.dimension, "value"))],
            ["files".to_owned(), survey.files.to_string()],
        ];
        let mut line = |name: &str, value: String| lines.push([name.to_owned(), value]);
        if let Some(rejects) = self.rejects {
            line("rejects", rejects.to_string());
        }
        match self.run {
            Some(RunState { finished: true, .. }) if !survey.damaged.is_empty() => {}
            Some(RunState { finished: true, .. }) => line("run", "finished".to_owned()),
            Some(RunState { entries: 0, .. }) => {
                line("run", "under way or stopped, and nothing is kept yet: the same command continues".to_owned());
            }
            Some(RunState { entries, .. }) => {
                let done = counted(entries, "input");
                line("run", format!("not finished: {done} done, the same command continues"));
            }
            None => {}
        }
        match &survey.provenance {
            None => line("provenance", "unknown".to_owned()),
            Some(made) => {
                let json = |value: serde_json::Result<String>| value.unwrap_or_default();
                line("backbone", format!("{} (sha256 {})", made.backbone, made.backbone_sha256));
                if let Some(sha256) = &made.tokenizer_sha256 {
                    line("tokenizer", format!("sha256 {sha256}"));
                }
                line("preprocessing", json(serde_json::to_string(&made.preprocessing)));
                let pooling = json(serde_json::to_string(&made.output.pooling));
                let length = if made.output.normalize { ", divided by its length" } else { "" };
                line("output", format!("{}, pooling {}{length}", made.output.tensor, pooling.trim_matches('"')));
                let precisions = survey.precisions.iter().cloned().collect::<Vec<_>>().join(", ");
                line(
                    "precision",
                    if survey.precisions.len() > 1 { format!("mixed: {precisions}") } else { precisions },
                );
                line("provider", survey.providers.iter().cloned().collect::<Vec<_>>().join(", "));
                line(
                    "versions",
                    format!("engraft {}, ONNX Runtime {}", made.engraft_version, made.onnxruntime_version),
                );
            }
        }
        if let Some(norms) = survey.norms {
            line("norms", format!("least {}, median {}, greatest {}", norms.min, norms.median, norms.max));
        }
        line("zero rows", survey.zero_rows.to_string());
        line("NaN or infinite rows", survey.not_finite_rows.to_string());
        line("repeated ids", survey.duplicate_ids.to_string());
        line("repeated inputs", survey.duplicate_contents.to_string());
        line("repeated embeddings", survey.duplicate_vectors.to_string());
        line("labels", survey.labels.len().to_string());
        line("unlabelled rows", survey.unlabelled.to_string());
        let mut text = table(&["features", ""], lines.into_iter().map(Vec::from));
        if !survey.damaged.is_empty() {
            let rows = survey.damaged.iter().map(|damaged| vec![damaged.shard.clone(), damaged.reason.clone()]);
            text += &format!("\n\n{}", table(&["damaged shard", "reason"], rows));
        }
        if !survey.labels.is_empty() {
            let mut labels: Vec<_> = survey.labels.iter().collect();
            labels.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
            let more = labels.len().saturating_sub(LABELS);
            let shown = labels.into_iter().take(LABELS).map(|(label, rows)| vec![label.clone(), rows.to_string()]);
            text += &format!("\n\n{}", table(&["label", "rows"], shown));
            if more > 0 {
                text += &format!("\n... and {}: see --json", counted(more, "more label"));
            }
        }
        text
    }
}
