//! Arithmetic as nodes of a graph: each operation is a tensor with a name of its own.

use crate::onnx::build::{Dim, attr_graph, attr_int};
use crate::onnx::{Attribute, DataType, GraphBuilder, Model};

/// A graph under construction, of which the inner tensors are numbered. Methods return the name of the tensor that they define.
pub(super) struct Formula {
    pub(super) graph: GraphBuilder,
    prefix: &'static str,
    tensors: usize,
}

impl Formula {
    /// Inner tensors will be called `prefix/1`, `prefix/2`, ...
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { graph: GraphBuilder::new(prefix), prefix, tensors: 0 }
    }

    fn name(&mut self) -> String {
        self.tensors += 1;
        format!("{}/{}", self.prefix, self.tensors)
    }

    /// `operator(inputs)`.
    pub(super) fn of(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.with(operator, inputs, vec![])
    }

    /// `operator(inputs)` with attributes.
    pub(super) fn with(&mut self, operator: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let name = self.name();
        self.graph.node(operator, inputs, &name, attributes)
    }

    /// `operator(inputs)` along an axis.
    pub(super) fn along(&mut self, axis: i64, operator: &str, inputs: &[&str]) -> String {
        self.with(operator, inputs, vec![attr_int("axis", axis)])
    }

    /// `operator(x)`, one number: the greatest, the least.
    pub(super) fn reduced(&mut self, operator: &str, x: &str) -> String {
        self.with(operator, &[x], vec![attr_int("keepdims", 0)])
    }

    pub(super) fn cast(&mut self, x: &str, to: DataType) -> String {
        self.with("Cast", &[x], vec![attr_int("to", to as i64)])
    }

    /// A constant of no dimensions, i64.
    pub(super) fn int(&mut self, value: i64) -> String {
        let name = self.name();
        self.graph.tensor_i64(&name, &[], &[value])
    }

    /// A constant of one dimension, i64.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let name = self.name();
        self.graph.tensor_i64(&name, &[values.len() as i64], values)
    }

    /// A constant of no dimensions, f64.
    pub(super) fn double(&mut self, value: f64) -> String {
        let name = self.name();
        self.graph.tensor_f64(&name, &[], &[value])
    }

    /// `operator(x, value)` with a constant, i64.
    pub(super) fn with_int(&mut self, operator: &str, x: &str, value: i64) -> String {
        let value = self.int(value);
        self.of(operator, &[x, &value])
    }

    /// `operator(x, value)` with a constant, f64.
    pub(super) fn with_double(&mut self, operator: &str, x: &str, value: f64) -> String {
        let value = self.double(value);
        self.of(operator, &[x, &value])
    }

    /// The numbers, which have no dimensions, as one tensor of one dimension.
    pub(super) fn list(&mut self, numbers: &[&str]) -> String {
        let first = self.ints(&[0]);
        let parts: Vec<String> = numbers.iter().map(|number| self.of("Unsqueeze", &[number, &first])).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.along(0, "Concat", &parts)
    }

    /// The size of an axis, i64 of no dimensions.
    pub(super) fn size(&mut self, x: &str, axis: i64) -> String {
        let (shape, axis) = (self.of("Shape", &[x]), self.int(axis));
        self.along(0, "Gather", &[&shape, &axis])
    }

    /// The part of `x` from one place up to another along an axis.
    pub(super) fn part(&mut self, x: &str, axis: i64, [from, to]: [&str; 2]) -> String {
        let (from, to, axis) = (self.list(&[from]), self.list(&[to]), self.ints(&[axis]));
        self.of("Slice", &[x, &from, &to, &axis])
    }

    /// `yes` where the condition holds, else `no`, of which only one is computed: bytes of four dimensions.
    pub(super) fn either(
        &mut self,
        condition: &str,
        yes: impl FnOnce(&mut Self) -> String,
        no: impl FnOnce(&mut Self) -> String,
    ) -> String {
        let branches = vec![attr_graph("then_branch", self.branch(yes)), attr_graph("else_branch", self.branch(no))];
        self.with("If", &[condition], branches)
    }

    fn branch(&mut self, body: impl FnOnce(&mut Self) -> String) -> Model {
        let name = self.name();
        let outside = std::mem::replace(&mut self.graph, GraphBuilder::new(&name));
        let result = body(self);
        self.graph.output(&result, DataType::Uint8, &[Dim::Unknown; 4]);
        std::mem::replace(&mut self.graph, outside).finish()
    }
}
