//! An exported model in another precision, with any of its layers left in f32.

use std::collections::{HashMap, HashSet};

use super::super::pooling::EMBEDDING;
use super::super::record::{ExportPrecision, ExportRecord};
use crate::error::Result;
use crate::onnx::{CutPoint, Layer, Model, cut, described, layers, observed, outputs_of_nodes, quantize, to_half};

/// A model in f32 and what it takes to make a smaller one of it.
#[derive(Debug)]
pub struct Shrinker<'a> {
    whole: &'a Model,
    record: &'a ExportRecord,
    name: &'a str,
    precision: ExportPrecision,
    layers: Vec<Layer>,
    /// What gives the head's tensors.
    head: HashSet<String>,
    ranges: HashMap<String, [f32; 2]>,
}

impl<'a> Shrinker<'a> {
    /// For the model `whole`, of which errors speak as `name`.
    ///
    /// # Errors
    /// When it has no embedding.
    pub fn new(whole: &'a Model, record: &'a ExportRecord, precision: ExportPrecision, name: &'a str) -> Result<Self> {
        let trunk = trunk(whole.clone(), name)?;
        let inside: HashSet<&str> = outputs_of_nodes(&trunk).collect();
        let head = outputs_of_nodes(whole).filter(|output| !inside.contains(output)).map(str::to_owned).collect();
        Ok(Self { whole, record, name, precision, layers: layers(&trunk), head, ranges: HashMap::new() })
    }

    /// What may be made smaller, in the order of the graph.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The tensors whose ranges [`Self::with_ranges`] wants: none but for int8.
    ///
    /// # Errors
    /// When the model cannot be quantised.
    pub fn tensors(&self) -> Result<Vec<String>> {
        match self.precision {
            ExportPrecision::Int8 => {
                observed(self.whole, &self.layers.iter().map(|layer| layer.name.as_str()).collect(), self.name)
            }
            ExportPrecision::F32 | ExportPrecision::F16 => Ok(Vec::new()),
        }
    }

    /// The same with the ranges of tensors.
    pub fn with_ranges(self, ranges: HashMap<String, [f32; 2]>) -> Self {
        Self { ranges, ..self }
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
                let single = self.head.iter().cloned().chain(left_out.iter().map(|layer| (*layer).to_owned()));
                to_half(whole, &single.collect(), self.name)?
            }
            ExportPrecision::Int8 => {
                let names = self.layers.iter().map(|layer| layer.name.as_str());
                quantize(whole, &names.filter(|name| !left_out.contains(name)).collect(), &self.ranges, self.name)?
            }
        };
        ExportRecord { precision: self.precision, ..self.record.clone() }.attach(&mut model)?;
        Ok(model)
    }
}

/// The model up to its embedding.
pub(super) fn trunk(model: Model, name: &str) -> Result<Model> {
    let point = |output| CutPoint { tensor: EMBEDDING.to_owned(), token: None, output };
    let points: Vec<CutPoint> = described(&model, EMBEDDING).into_iter().map(point).collect();
    cut(model, &points, name)
}
