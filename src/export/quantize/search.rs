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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use ndarray::array;

    use super::*;
    use crate::export::{ExportInput, ExportPrecision, ExportRecord};
    use crate::head::{Link, softmax};
    use crate::onnx::build::Dim;
    use crate::onnx::{DataType, GraphBuilder, has_tensor};

    /// x → a → b → c → embedding → logits.
    fn model() -> Model {
        let mut graph = GraphBuilder::new("m");
        let dims = [Dim::Named("n"), Dim::Fixed(2)];
        graph.input("x", DataType::Float, &dims);
        for (from, to) in [("x", "a"), ("a", "b"), ("b", "c"), ("embedding", "logits")] {
            let weights = graph.tensor_f32(&format!("{to}/weights"), &[2, 2], &[1.0, 2.0, -3.0, 4.0]);
            graph.node("MatMul", &[from, &weights], to, vec![]);
            if to == "c" {
                graph.node("Flatten", &["c"], "embedding", vec![]);
            }
        }
        graph.output("embedding", DataType::Float, &dims);
        graph.output("logits", DataType::Float, &dims);
        graph.finish()
    }

    fn record() -> ExportRecord {
        ExportRecord {
            input: ExportInput::Pixels,
            tokenizer: None,
            licence: None,
            precision: ExportPrecision::F32,
            reduced_range: false,
            dynamic: false,
        }
    }

    fn single() -> Scored {
        let logits = array![[2.0_f32, 1.0], [1.0, 2.0], [0.0, 3.0]];
        Scored { probabilities: softmax(logits.clone()), logits, ood_scores: None }
    }

    /// Gives other labels wherever one of these layers is in eight bits, and how many models were judged.
    struct Spoiled<'a>(&'a [&'a str], usize);

    impl Run for Spoiled<'_> {
        fn score(&mut self, model: &Model, part: Part) -> Result<Scored> {
            self.1 += usize::from(part == Part::Judged);
            assert!(!has_tensor(model, "logits/weight/rounded") && has_tensor(model, "logits/weights"));
            let mut scored = single();
            for layer in self.0.iter().filter(|layer| has_tensor(model, &format!("{layer}/weight/rounded"))) {
                scored.logits.mapv_inplace(|z| if *layer == "b" { -z } else { -2.0 * z });
            }
            scored.probabilities = softmax(scored.logits.clone());
            Ok(scored)
        }

        fn observe(&mut self, _: &Model, _: &mut dyn FnMut(&[f32])) -> Result<()> {
            Ok(())
        }
    }

    fn searched(spoiled: &[&str]) -> Result<(Shrunk, usize)> {
        let (whole, record, single) = (model(), record(), single());
        let shrinker = Shrinker::new(&whole, &record, ExportPrecision::Int8, "m")?;
        let tensors = shrinker.tensors()?;
        assert_eq!(tensors, ["x", "a", "b"]);
        let ranges: HashMap<_, _> = tensors.into_iter().map(|tensor| (tensor, [-1.0, 1.0])).collect();
        let contract = Contract::new(None, &single, Link::Softmax, 0.0);
        let mut run = Spoiled(spoiled, 0);
        let shrunk = search(&shrinker.with_ranges(ranges), &contract, &single, &mut run, &())?;
        Ok((shrunk, run.1))
    }

    #[test]
    fn the_layers_that_spoil_the_labels_stay_in_f32_and_no_others() {
        let in_f32 = |shrunk: &Shrunk| {
            let kept = shrunk.layers.iter().filter(|layer| layer.in_f32);
            kept.map(|layer| layer.layer.clone()).collect::<Vec<String>>()
        };
        let (shrunk, judged) = searched(&[]).unwrap();
        assert!(in_f32(&shrunk).is_empty() && judged == 1);
        assert!(shrunk.layers.iter().all(|layer| layer.sensitivity == 0.0));
        let (shrunk, judged) = searched(&["b"]).unwrap();
        assert_eq!((in_f32(&shrunk), judged), (vec!["b".to_owned()], 2));
        // The change is twice the logits; of their deviations from the row's mean that is √(4 · 19 / 5.5).
        assert_eq!(shrunk.layers[1].weights, 4);
        assert!((shrunk.layers[1].sensitivity - (4.0_f64 * 19.0 / 5.5).sqrt()).abs() < 1e-9);
        assert!(has_tensor(&shrunk.model, "a/weight/rounded") && !has_tensor(&shrunk.model, "b/weight/rounded"));
        // Both, or neither: each alone turns the labels, both do not.
        assert_eq!(in_f32(&searched(&["a", "b"]).unwrap().0).len(), 0);
    }

    #[test]
    fn where_every_layer_spoils_them_there_is_no_smaller_model() {
        struct Never;
        impl Run for Never {
            fn score(&mut self, _: &Model, _: Part) -> Result<Scored> {
                let logits = -single().logits;
                Ok(Scored { probabilities: softmax(logits.clone()), logits, ood_scores: None })
            }
            fn observe(&mut self, _: &Model, _: &mut dyn FnMut(&[f32])) -> Result<()> {
                Ok(())
            }
        }
        let (whole, record, single) = (model(), record(), single());
        let shrinker = Shrinker::new(&whole, &record, ExportPrecision::F16, "m").unwrap();
        let contract = Contract::new(None, &single, Link::Softmax, 0.5);
        let error = search(&shrinker, &contract, &single, &mut Never, &()).unwrap_err().to_string();
        assert!(error.contains("2 of 3 layers in f32") && error.contains("--max-drop"), "{error}");
    }
}
