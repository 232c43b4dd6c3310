//! A graph under construction.

use super::build::{self, Dim};
use super::proto::tensor_proto::DataType;
use super::proto::{AttributeProto, GraphProto, ModelProto};

/// Collects the parts of a graph, in the order in which they are to run. Methods that define a tensor return its name,
/// so that calls chain.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: GraphProto,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: Some(name.to_owned()), ..Default::default() } }
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, element: DataType, dims: &[Dim]) {
        self.graph.input.push(build::value(name, element, dims));
    }

    /// Declares that the tensor `name` is an output.
    pub fn output(&mut self, name: &str, element: DataType, dims: &[Dim]) {
        self.graph.output.push(build::value(name, element, dims));
    }

    /// Adds a constant f32 tensor.
    pub fn tensor_f32(&mut self, name: &str, dims: &[i64], values: &[f32]) -> String {
        self.graph.initializer.push(build::tensor_f32(name, dims, values));
        name.to_owned()
    }

    /// Adds a constant f64 tensor.
    pub fn tensor_f64(&mut self, name: &str, dims: &[i64], values: &[f64]) -> String {
        self.graph.initializer.push(build::tensor_f64(name, dims, values));
        name.to_owned()
    }

    /// Adds a constant i64 tensor.
    pub fn tensor_i64(&mut self, name: &str, dims: &[i64], values: &[i64]) -> String {
        self.graph.initializer.push(build::tensor_i64(name, dims, values));
        name.to_owned()
    }

    /// Adds a node `op(inputs) -> output`.
    pub fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) -> String {
        self.graph.node.push(build::node(op, inputs, &[output], attributes));
        output.to_owned()
    }

    /// Adds a node `op(inputs) -> outputs` with several outputs.
    pub fn node_of_many(&mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) {
        self.graph.node.push(build::node(op, inputs, outputs, attributes));
    }

    /// The finished model. It does not carry engraft's version: the same weights give the same bytes whichever version
    /// wrote them, so that manifests can pin their digest.
    pub fn finish(self) -> ModelProto {
        ModelProto { producer_version: None, ..build::model(self.graph) }
    }
}
