//! Which layers bear a smaller precision.

use std::collections::HashSet;

use serde::Serialize;

use super::contract::{Contract, Kept};
use super::shrinker::Shrinker;
use crate::error::{Error, Result};
use crate::head::Scored;
use crate::onnx::Model;
use crate::progress::Progress;

/// So many times the layers are tried alone at most; of deeper models several neighbours are tried together.
const TRIALS: usize = 64;

/// Which samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A few, for trials of single layers.
    Trial,
    /// All that the contract is about.
    Judged,
}

/// Runs models on samples.
pub trait Run {
    /// What an exported model says of some samples, which are the same at every call.
    ///
    /// # Errors
    /// Those of running it.
    fn score(&mut self, model: &Model, part: Part) -> Result<Scored>;

    /// Shows `each` the rows that a model of one output ([`OBSERVED`](crate::onnx::OBSERVED)) gives for the samples that are for calibrating.
    ///
    /// # Errors
    /// Those of running it.
    fn observe(&mut self, model: &Model, each: &mut dyn FnMut(&[f32])) -> Result<()>;
}

/// What is known of a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    /// The tensor that it gives.
    pub layer: String,
    /// The operator.
    pub op: String,
    /// How many weights it has.
    pub weights: usize,
    /// How far the logits move when this layer alone (with its neighbours, in deep models) is of the smaller precision: the root of the
    /// mean square of the changes as a share of that of the logits' deviations from the mean of their row.
    pub sensitivity: f64,
    /// Whether it stays in f32.
    pub in_f32: bool,
}

/// A smaller model that is good enough.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The model.
    pub model: Model,
    /// Its layers, in the order of the graph.
    pub layers: Vec<LayerReport>,
    /// What it kept of the accuracy.
    pub kept: Kept,
}

/// Makes the model smaller: all layers, or all but the fewest of the most sensitive ones (as doubling and halving finds them) with
/// which the contract holds.
///
/// # Errors
/// [`Error::Data`] when it holds with no layer left out of all but one; those of the runs; [`Error::Interrupted`].
pub fn search(
    shrinker: &Shrinker,
    contract: &Contract,
    single: &Scored,
    run: &mut dyn Run,
    progress: &dyn Progress,
) -> Result<Shrunk> {
    let mut layers = sensitivities(shrinker, single, run, progress)?;
    let mut order: Vec<usize> = (0..layers.len()).collect();
    order.sort_by(|&a, &b| layers[b].sensitivity.total_cmp(&layers[a].sensitivity));
    let names: Vec<&str> = shrinker.layers().iter().map(|layer| layer.name.as_str()).collect();
    let first = |count: usize| order.iter().take(count).map(|&place| names[place]).collect::<HashSet<&str>>();
    progress.begin("holding the smaller model against f32", None);
    let mut attempt = |count: usize| {
        stop(progress)?;
        let model = shrinker.model(&first(count))?;
        let kept = contract.kept(&run.score(&model, Part::Judged)?)?;
        progress.advance(1);
        Ok::<_, Error>((model, kept))
    };
    // The last count that was too small, and the first that was enough.
    let (mut low, mut high) = (None, 0);
    let (mut model, mut kept) = loop {
        let (model, kept) = attempt(high)?;
        if contract.holds(&kept) {
            break (model, kept);
        }
        low = Some(high);
        if high + 1 >= names.len() {
            let Kept { accuracy_before, accuracy_after, .. } = kept;
            return Err(Error::Data(format!(
                "no smaller model is good enough: even with {high} of {} layers in f32 the accuracy on {} is {:.2} % where it was \
                 {:.2} %; allow more with --max-drop, or give more --samples",
                names.len(),
                crate::counted::counted(kept.comparison.n, "sample"),
                100.0 * accuracy_after,
                100.0 * accuracy_before
            )));
        }
        high = (2 * high).max(1).min(names.len() - 1);
    };
    while let Some(fails) = low.filter(|fails| fails + 1 < high) {
        let middle = (fails + high) / 2;
        let (other, its) = attempt(middle)?;
        if contract.holds(&its) {
            (model, kept, high) = (other, its, middle);
        } else {
            low = Some(middle);
        }
    }
    progress.end();
    let left_out = first(high);
    layers.iter_mut().for_each(|layer| layer.in_f32 = left_out.contains(layer.layer.as_str()));
    Ok(Shrunk { model, layers, kept })
}

fn stop(progress: &dyn Progress) -> Result<()> {
    if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
}

fn sensitivities(
    shrinker: &Shrinker,
    single: &Scored,
    run: &mut dyn Run,
    progress: &dyn Progress,
) -> Result<Vec<LayerReport>> {
    let layers = shrinker.layers();
    let all: HashSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    let at_once = layers.len().div_ceil(TRIALS).max(1);
    progress.begin("trying each layer alone", Some(layers.len() as u64));
    let mut reports = Vec::with_capacity(layers.len());
    for group in layers.chunks(at_once) {
        stop(progress)?;
        let tried: HashSet<&str> = group.iter().map(|layer| layer.name.as_str()).collect();
        let model = shrinker.model(&all.difference(&tried).copied().collect())?;
        let sensitivity = moved(single, &run.score(&model, Part::Trial)?);
        reports.extend(group.iter().map(|layer| LayerReport {
            layer: layer.name.clone(),
            op: layer.op.clone(),
            weights: layer.weights,
            sensitivity,
            in_f32: false,
        }));
        progress.advance(group.len() as u64);
    }
    progress.end();
    Ok(reports)
}

/// How far logits moved; infinitely far where that cannot be told.
fn moved(single: &Scored, other: &Scored) -> f64 {
    let (mut change, mut size) = (0.0, 0.0);
    for (row, moved) in single.logits.outer_iter().zip(other.logits.outer_iter()) {
        let mean = row.iter().map(|&z| f64::from(z)).sum::<f64>() / row.len().max(1) as f64;
        for (&z, &moved) in row.iter().zip(moved) {
            let z = f64::from(z);
            change += (f64::from(moved) - z).powi(2);
            size += (z - mean).powi(2);
        }
    }
    match (change / size.max(f64::MIN_POSITIVE)).sqrt() {
        moved if moved.is_finite() => moved,
        _ => f64::INFINITY,
    }
}
