//! An exported model in another precision, with any of its layers left in f32.

use std::collections::{HashMap, HashSet};

use super::super::pooling::EMBEDDING;
use super::super::record::{ExportPrecision, ExportRecord};
use crate::error::{Error, Result};
use crate::onnx::{
    Activations, CutPoint, DataType, Layer, Model, Port, WeightRange, cut, cut_between, described, layers, observed,
    outputs_of_nodes, quantize, to_half,
};

/// A model in f32 and what it takes to make a smaller one of it.
#[derive(Debug)]
pub struct Shrinker<'a> {
    whole: &'a Model,
    record: &'a ExportRecord,
    name: &'a str,
    precision: ExportPrecision,
    layers: Vec<Layer>,
    /// Nodes that compute in f32 in any case, by their first output.
    single: HashSet<String>,
    activations: Activations,
    weights: WeightRange,
}

impl<'a> Shrinker<'a> {
    /// For the model `whole`, of which errors speak as `name`.
    ///
    /// # Errors
    /// When it has no embedding, or nothing to make smaller.
    pub fn new(whole: &'a Model, record: &'a ExportRecord, precision: ExportPrecision, name: &'a str) -> Result<Self> {
        let trunk = trunk(whole.clone(), name)?;
        let layers = layers(&trunk);
        let inside: HashSet<&str> = outputs_of_nodes(&trunk).collect();
        let mut single: HashSet<String> =
            outputs_of_nodes(whole).filter(|output| !inside.contains(output)).map(str::to_owned).collect();
        single.extend(outputs_of_nodes(&stream(&trunk, &layers, name)?).map(str::to_owned));
        if layers.is_empty() {
            return Err(Error::model(name, "it has no convolution, matrix product or table that could be smaller"));
        }
        let activations = Activations::Calibrated(HashMap::new());
        Ok(Self { whole, record, name, precision, layers, single, activations, weights: WeightRange::Full })
    }

    /// The same with ranges that each run of an int8 model finds: convolutions stay in f32.
    ///
    /// # Errors
    /// When nothing else could be smaller.
    pub fn dynamic(self) -> Result<Self> {
        let layers: Vec<Layer> = self.layers.into_iter().filter(|layer| layer.dynamic).collect();
        match layers.is_empty() {
            true => Err(Error::model(
                self.name,
                "it has no matrix product or table, and convolutions need calibrated ranges",
            )),
            false => Ok(Self { layers, activations: Activations::Dynamic, ..self }),
        }
    }

    /// What may be made smaller, in the order of the graph.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The tensors whose ranges [`Self::with_ranges`] wants: none but for int8 that is not dynamic.
    ///
    /// # Errors
    /// When the model cannot be quantised.
    pub fn tensors(&self) -> Result<Vec<String>> {
        match (self.precision, &self.activations) {
            (ExportPrecision::Int8, Activations::Calibrated(_)) => {
                observed(self.whole, &self.layers.iter().map(|layer| layer.name.as_str()).collect(), self.name)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The same with the ranges of tensors.
    pub fn with_ranges(self, ranges: HashMap<String, [f32; 2]>) -> Self {
        Self { activations: Activations::Calibrated(ranges), ..self }
    }

    /// The same with these codes for weights in int8; [`WeightRange::Full`] if not told.
    pub fn with_weights(self, weights: WeightRange) -> Self {
        Self { weights, ..self }
    }

    /// The model with all layers in its precision but these.
    ///
    /// # Errors
    /// When it cannot be converted.
    pub fn model(&self, left_out: &HashSet<&str>) -> Result<Model> {
        let whole = self.whole.clone();
        let mut model = match self.precision {
            ExportPrecision::F32 => whole,
            ExportPrecision::F16 => {
                let single = self.single.iter().cloned().chain(left_out.iter().map(|layer| (*layer).to_owned()));
                to_half(whole, &single.collect(), self.name)?
            }
            ExportPrecision::Int8 => {
                let names = self.layers.iter().map(|layer| layer.name.as_str());
                let chosen = names.filter(|name| !left_out.contains(name)).collect();
                quantize(whole, &chosen, &self.activations, self.weights, self.name)?
            }
        };
        let is_int8 = self.precision == ExportPrecision::Int8;
        let record = ExportRecord {
            precision: self.precision,
            reduced_range: is_int8 && self.weights == WeightRange::Reduced,
            dynamic: is_int8 && self.activations == Activations::Dynamic,
            ..self.record.clone()
        };
        record.attach(&mut model)?;
        Ok(model)
    }
}

/// The model up to its embedding.
pub(super) fn trunk(model: Model, name: &str) -> Result<Model> {
    let points = embedding(&model);
    cut(model, &points, name)
}

/// What adds up and normalises what the layers give, on the way to the embedding: a head may make much of numbers that 16 bits do not
/// hold, and here nothing is gained by them.
fn stream(trunk: &Model, layers: &[Layer], name: &str) -> Result<Model> {
    let port = |layer: &Layer| Port { name: layer.name.clone(), element: DataType::Undefined, shape: None };
    cut_between(trunk.clone(), &layers.iter().map(port).collect::<Vec<_>>(), &embedding(trunk), name)
}

fn embedding(model: &Model) -> Vec<CutPoint> {
    let point = |output| CutPoint { tensor: EMBEDDING.to_owned(), token: None, output };
    described(model, EMBEDDING).into_iter().map(point).collect()
}
