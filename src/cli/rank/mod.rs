//! `engraft rank`.

mod cache;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use ndarray::{Array2, ArrayView2, Axis};
use serde::Serialize;

use super::inputs::{self, SourceArgs};
use super::results::table;
use super::{Context, Status};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::eval::{Interval, PairedComparison};
use crate::features::{Existing, FeatureSet};
use crate::head::softmax;
use crate::progress::Progress;
use crate::rank::{LeaveOneOut, Spectrum, leave_one_out, leep, log_me, nce};
use crate::source::{exist, stratified_split};
use cache::Cache;

/// Tell which backbone suits a labelled data set, before anything is trained
///
/// INPUT is labelled images or texts, embedded once with each of --models and kept, so that a second run only reads; or
/// feature files of one data set, one for each backbone. Ranked by the leave-one-out accuracy of a ridge classifier, with
/// LogME beside it, and compared with the best on the same rows: where the interval of the difference holds 0, take the
/// faster. name@-2 takes the layer before the last.
///
/// Examples:
///   engraft rank photos/ --models efficientnet-lite0,efficientnet-lite2
///   engraft rank by-lite0.parquet by-lite2.parquet --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Rank {
    /// Labelled images or texts, or a feature file for each backbone
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The backbones to compare, with commas between
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    models: Vec<String>,
    /// Where the features are kept [default: ranked/ in engraft's home]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Embed again what is in the cache. What has changed since, by name, size or time of a file, is in any case
    #[arg(long)]
    overwrite: bool,
    /// Rows to rank on at most, drawn from each class alike
    #[arg(long, value_name = "N", default_value = "10000", value_parser = inputs::count)]
    samples: NonZeroUsize,
    /// Also tell LEEP and NCE of backbones that have a head of their own, which takes another run
    #[arg(long)]
    leep: bool,
    #[command(flatten)]
    source: SourceArgs,
}

/// A backbone with its features.
struct Candidate {
    name: String,
    features: FeatureSet,
    logits: Option<FeatureSet>,
    milliseconds: Option<f64>,
    megabytes: Option<f64>,
}

/// The rows that all candidates have.
struct Rows {
    ids: Vec<String>,
    labels: Vec<usize>,
    classes: usize,
}

/// A candidate's scores.
struct Scores {
    log_me: f64,
    held_out: LeaveOneOut,
    transfer: Option<(f64, f64)>,
}

#[derive(Debug, Serialize)]
struct Ranked {
    n: usize,
    classes: usize,
    /// The best first.
    models: Vec<Row>,
    /// Of the scores alone.
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    model: String,
    dimension: usize,
    log_me: f64,
    accuracy: f64,
    accuracy_interval: Interval,
    /// To the best.
    difference: f64,
    difference_interval: Option<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leep: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nce: Option<f64>,
    milliseconds_per_sample: Option<f64>,
    megabytes: Option<f64>,
}

impl Rank {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let of_features = self.inputs.iter().map(|path| inputs::are_features(path)).collect::<Result<Vec<_>>>()?;
        let (candidates, status) = match (of_features.iter().all(|&are| are), self.models.is_empty()) {
            (true, true) => {
                inputs::note_unused_device(context);
                (self.read()?, Status::Done)
            }
            (false, false) if !of_features.contains(&true) => self.embed(context)?,
            (false, true) => {
                return Err(Error::Usage("which backbones? Give --models A,B,C (see `engraft models list`)".into()));
            }
            _ => {
                return Err(Error::Usage(
                    "give labelled images or texts with --models, or feature files without".into(),
                ));
            }
        };
        let started = Instant::now();
        let rows = common(&candidates, self.samples.get(), context)?;
        let scores = scores(&candidates, &rows, context.threads)?;
        let ranked = ranked(&candidates, &rows, scores, started)?;
        context.result(&ranked, || ranked.text())?;
        Ok(status)
    }

    /// A candidate for each file.
    fn read(&self) -> Result<Vec<Candidate>> {
        let candidate = |path: &PathBuf| {
            let features = FeatureSet::read(path)?.finite().map_err(|e| inputs::named(e, &[path]))?;
            Ok(Candidate {
                name: path.display().to_string(),
                features,
                logits: None,
                milliseconds: None,
                megabytes: None,
            })
        };
        self.inputs.iter().map(candidate).collect()
    }

    /// A candidate for each model.
    fn embed(&self, context: &Context) -> Result<(Vec<Candidate>, Status)> {
        exist(&self.inputs)?;
        if self.inputs.iter().any(|input| input.as_os_str() == "-") {
            return Err(Error::Usage("stdin can be read once only: give files to rank several backbones on".into()));
        }
        if let Some((_, name)) = self.models.iter().enumerate().find(|(i, name)| self.models[..*i].contains(name)) {
            return Err(Error::Usage(format!("--models names {name} twice")));
        }
        let cache = Cache {
            folder: self.cache.clone().unwrap_or_else(|| context.home.ranked()),
            existing: if self.overwrite { Existing::Replace } else { Existing::Refuse },
            inputs: &self.inputs,
            source: &self.source,
        };
        let mut status = Status::Done;
        let mut candidates: Vec<Candidate> = Vec::new();
        for name in &self.models {
            let backbone = cache::resolve(context, name)?;
            let embedded = cache.features(context, &backbone)?;
            let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            if self.source.status(count(embedded.rejects), embedded.features.len()) != Status::Done {
                status = Status::TooManyRejects;
            }
            let logits = match self.leep.then(|| cache::with_logits(context, name)).flatten() {
                Some(backbone) => Some(cache.features(context, &backbone)?.features),
                None => None,
            };
            let size = std::fs::metadata(&backbone.model).ok().map(|file| file.len() as f64 / 1e6);
            candidates.push(Candidate {
                name: name.clone(),
                features: embedded.features,
                logits,
                milliseconds: embedded.milliseconds,
                megabytes: size,
            });
        }
        Ok((candidates, status))
    }
}

/// The labelled rows that every candidate has, `most` of them, with their classes.
fn common(candidates: &[Candidate], most: usize, context: &Context) -> Result<Rows> {
    let Some((first, others)) = candidates.split_first() else {
        return Err(Error::Usage("there is no backbone to rank".into()));
    };
    let others: Vec<(&str, HashMap<&str, &Option<String>>)> = others
        .iter()
        .map(|other| {
            (other.name.as_str(), other.features.ids.iter().map(String::as_str).zip(&other.features.labels).collect())
        })
        .collect();
    let mut kept = Vec::new();
    for (row, (id, label)) in first.features.ids.iter().zip(&first.features.labels).enumerate() {
        let labels = others.iter().map(|(name, labels)| (name, labels.get(id.as_str())));
        let mut in_all = label.is_some();
        for (name, other) in labels {
            match (label, other) {
                (Some(label), Some(Some(other))) if other != label => {
                    let first = &first.name;
                    return Err(Error::Data(format!("{id} is {other:?} in {name} and {label:?} in {first}")));
                }
                (_, other) => in_all &= other.is_some(),
            }
        }
        if in_all {
            kept.push(row);
        }
    }
    if kept.is_empty() {
        let names: Vec<&String> = candidates.iter().map(|candidate| &candidate.name).collect();
        return Err(match first.features.labels.iter().all(Option::is_none) {
            true => inputs::named(super::train::no_labels(), &names[..1]),
            false => {
                let nothing = Error::Data("no row is in the features of every backbone and has a label there".into());
                inputs::named(nothing, &names)
            }
        });
    }
    let largest = candidates.iter().map(|candidate| candidate.features.len()).max().unwrap_or(0);
    if kept.len() < largest {
        let n = kept.len();
        context
            .console
            .note(&format!("{n} of {} with a label and in the features of every backbone", counted(largest, "row")));
    }
    let mut set = first.features.select(&kept);
    if set.len() > most {
        let drawn = stratified_split(&set.labels, most as f64 / set.len() as f64, context.seed)?.test;
        context.console.note(&format!("ranked on {} of {}: see --samples", drawn.len(), counted(set.len(), "row")));
        set = set.select(&drawn);
    }
    let names = set.class_names();
    let labels = set.class_indices(&names)?;
    Ok(Rows { ids: set.ids, labels, classes: names.len() })
}

/// The values of these ids, in their order.
fn of_rows(set: &FeatureSet, ids: &[String]) -> Result<Array2<f32>> {
    let place: HashMap<&str, usize> = set.ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let row = |id: &String| {
        place
            .get(id.as_str())
            .copied()
            .ok_or_else(|| Error::Data(format!("{id} has no logits of the backbone's own head")))
    };
    Ok(set.matrix.select(Axis(0), &ids.iter().map(row).collect::<Result<Vec<_>>>()?))
}

/// Scores all candidates, as many at a time as there are threads.
fn scores(candidates: &[Candidate], rows: &Rows, threads: NonZeroUsize) -> Result<Vec<Scores>> {
    let mut scores = Vec::with_capacity(candidates.len());
    for some in candidates.chunks(threads.get()) {
        let found: Vec<Result<Scores>> = std::thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|candidate| scope.spawn(|| score(candidate, rows))).collect();
            let joined = running.into_iter().map(|thread| match thread.join() {
                Ok(score) => score,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        });
        for score in found {
            scores.push(score?);
        }
    }
    Ok(scores)
}

fn score(candidate: &Candidate, rows: &Rows) -> Result<Scores> {
    scored(candidate, rows).map_err(|e| inputs::named(e, &[&candidate.name]))
}

fn scored(candidate: &Candidate, rows: &Rows) -> Result<Scores> {
    let spectrum = Spectrum::new(of_rows(&candidate.features, &rows.ids)?.view())?;
    let transfer = |source: ArrayView2<f32>| -> Result<(f64, f64)> {
        Ok((leep(source, &rows.labels, rows.classes)?, nce(source, &rows.labels, rows.classes)?))
    };
    let transfer = match &candidate.logits {
        Some(logits) => Some(transfer(softmax(of_rows(logits, &rows.ids)?).view())?),
        None => None,
    };
    Ok(Scores {
        log_me: log_me(&spectrum, &rows.labels, rows.classes)?,
        held_out: leave_one_out(&spectrum, &rows.labels, rows.classes)?,
        transfer,
    })
}

fn ranked(candidates: &[Candidate], rows: &Rows, scores: Vec<Scores>, started: Instant) -> Result<Ranked> {
    let mut order: Vec<(&Candidate, &Scores)> = candidates.iter().zip(&scores).collect();
    order.sort_by(|(_, a), (_, b)| {
        b.held_out.accuracy.total_cmp(&a.held_out.accuracy).then(b.log_me.total_cmp(&a.log_me))
    });
    let mut models = Vec::new();
    for (place, (candidate, scores)) in order.iter().enumerate() {
        let against = PairedComparison::of_correct(&scores.held_out.correct, &order[0].1.held_out.correct)?;
        models.push(Row {
            model: candidate.name.clone(),
            dimension: candidate.features.dimension(),
            log_me: scores.log_me,
            accuracy: scores.held_out.accuracy,
            accuracy_interval: scores.held_out.interval,
            difference: against.difference,
            difference_interval: (place > 0).then_some(against.difference_interval),
            leep: scores.transfer.map(|(leep, _)| leep),
            nce: scores.transfer.map(|(_, nce)| nce),
            milliseconds_per_sample: candidate.milliseconds,
            megabytes: candidate.megabytes,
        });
    }
    Ok(Ranked { n: rows.ids.len(), classes: rows.classes, models, seconds: started.elapsed().as_secs_f64() })
}

impl Ranked {
    fn text(&self) -> String {
        let optional = |value: Option<f64>, digits: usize| value.map_or("-".to_owned(), |v| format!("{v:.digits$}"));
        let transfer = self.models.iter().any(|row| row.leep.is_some());
        let cells = |row: &Row| {
            let difference = match row.difference_interval {
                Some([low, high]) => format!("{:+.4} [{low:+.4}, {high:+.4}]", row.difference),
                None => "best".to_owned(),
            };
            let [low, high] = row.accuracy_interval;
            let mut cells = vec![
                row.model.clone(),
                row.dimension.to_string(),
                format!("{:.4}", row.log_me),
                format!("{:.4} [{low:.4}, {high:.4}]", row.accuracy),
                difference,
                optional(row.milliseconds_per_sample, 2),
                optional(row.megabytes, 1),
            ];
            if transfer {
                cells.extend([optional(row.leep, 4), optional(row.nce, 4)]);
            }
            cells
        };
        let mut header =
            vec!["backbone", "dimension", "LogME", "leave-one-out accuracy", "to the best", "ms a sample", "MB"];
        if transfer {
            header.extend(["LEEP", "NCE"]);
        }
        let (n, classes) = (self.n, self.classes);
        format!(
            "on {} of {}, with 95 % intervals\n\n{}",
            counted(n, "row"),
            counted(classes, "class"),
            table(&header, self.models.iter().map(cells))
        )
    }
}
