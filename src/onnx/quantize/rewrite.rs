//! The nodes of a plan.

use std::collections::{HashMap, HashSet};

use super::super::build::{attr_int, node, tensor, tensor_f32};
use super::super::proto::tensor_proto::DataType;
use super::super::proto::{GraphProto, NodeProto, TensorProto};
use super::super::tensor::{FloatTensor, read_floats};
use super::affine::{Affine, Channels, WeightRange};
use super::layers::{Form, constants};
use super::plan::Plan;

/// Steps of an int32 that a bias may take: beyond, the sums that it is added to could overflow.
const MOST_OF_BIAS: f32 = (1 << 30) as f32;

/// Writes a graph anew, node by node.
pub(super) struct Rewriter<'a> {
    graph: &'a GraphProto,
    plan: &'a Plan<'a>,
    constants: HashMap<&'a str, &'a TensorProto>,
    codes: HashMap<&'a str, Affine>,
    pub(super) weights: WeightRange,
    /// Tensors of floats whose codes are there already.
    pub(super) rounded: HashSet<&'a str>,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) added: Vec<TensorProto>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn of(
        graph: &'a GraphProto,
        plan: &'a Plan<'a>,
        ranges: &HashMap<String, [f32; 2]>,
        weights: WeightRange,
    ) -> Result<Self, String> {
        let mut codes = HashMap::new();
        for &(tensor, range) in &plan.rounded {
            let found = ranges.get(range).filter(|range| range.iter().all(|bound| bound.is_finite()));
            let found = found.ok_or_else(|| format!("no range is known of the tensor {range}"))?;
            codes.insert(tensor, Affine::of(*found));
        }
        let (rounded, nodes, added) = (HashSet::new(), Vec::new(), Vec::new());
        Ok(Self { graph, plan, constants: constants(graph), codes, weights, rounded, nodes, added })
    }

    pub(super) fn run(mut self) -> Result<(Vec<NodeProto>, Vec<TensorProto>), String> {
        for node in &self.graph.node {
            let output = node.output.first().map_or("", String::as_str);
            if self.plan.left_out.contains(output) {
                continue;
            }
            match self.plan.layers.get(output) {
                Some(Form::Table) => self.table(node, output)?,
                Some(Form::Convolution) => self.layer(node, output, 0)?,
                Some(Form::Product { axis }) if self.plan.dynamic => self.dynamic_product(node, output, *axis)?,
                Some(Form::Product { axis }) => self.layer(node, output, *axis)?,
                None => self.passed(node.clone(), output),
            }
        }
        Ok((self.nodes, self.added))
    }

    /// Adds a node, and the codes of its output where that exists as codes alone.
    fn passed(&mut self, mut node: NodeProto, output: &str) {
        let target = self.plan.folded.get(output).copied().unwrap_or(output);
        if !self.plan.made.contains(target) {
            self.nodes.push(node);
            return;
        }
        let raw = format!("{output}/raw");
        if let Some(first) = node.output.first_mut() {
            first.clone_from(&raw);
        }
        self.nodes.push(node);
        self.round(&raw, target, target);
    }

    /// `from` as codes and back as `to`; the codes are those of `tensor`.
    fn round(&mut self, from: &str, tensor: &str, to: &str) {
        let Some(&Affine { scale, zero }) = self.codes.get(tensor) else { return };
        let [scales, zeros, codes] = ["scale", "zero", "u8"].map(|part| format!("{tensor}/{part}"));
        self.added.push(tensor_f32(&scales, &[], &[scale]));
        self.added.push(self::tensor(&zeros, &[], DataType::Uint8, vec![zero]));
        self.nodes.push(node("QuantizeLinear", &[from, &scales, &zeros], &[&codes], vec![]));
        self.nodes.push(node("DequantizeLinear", &[&codes, &scales, &zeros], &[to], vec![]));
    }

    /// The name under which a layer reads a tensor: what its codes mean.
    fn read(&mut self, tensor: &'a str) -> String {
        if self.plan.made.contains(tensor) {
            return tensor.to_owned();
        }
        let name = format!("{tensor}/rounded");
        if self.rounded.insert(tensor) {
            self.round(tensor, tensor, &name);
        }
        name
    }

    pub(super) fn floats(&self, name: &str) -> Result<FloatTensor, String> {
        let found = self.constants.get(name).ok_or_else(|| format!("there is no constant {name}"))?;
        let floats = read_floats(found).map_err(|reason| format!("tensor {name} {reason}"))?;
        match floats.values.iter().all(|value| value.is_finite()) {
            true => Ok(floats),
            false => Err(format!("tensor {name} has a value that is not finite")),
        }
    }

    fn layer(&mut self, old: &'a NodeProto, output: &str, axis: usize) -> Result<(), String> {
        let [input, weights, rest @ ..] = &old.input[..] else { return Err(format!("{output} has no weights")) };
        let step = self.codes.get(input.as_str()).map_or(1.0, |codes| codes.scale);
        let weights = self.floats(weights)?;
        let bias = rest.first().filter(|name| !name.is_empty()).map(|name| self.floats(name)).transpose()?;
        // The bias counts in steps of both scales: where those are too small for it, the weights' is widened.
        let least = |channel: usize| {
            let bias = bias.as_ref().and_then(|bias| bias.values.get(channel)).map_or(0.0, |bias| bias.abs());
            bias / step / MOST_OF_BIAS
        };
        let Channels { codes, scales } = Channels::of(&weights, axis, self.weights, least);
        let mut new = NodeProto { input: vec![self.read(input)], ..old.clone() };
        let constant = tensor(&format!("{output}/weight/i8"), &dims(&weights.dims), DataType::Int8, bytes(&codes));
        new.input.push(self.constant(constant, &scales, axis, &format!("{output}/weight/rounded")));
        if let Some(bias) = bias {
            let scales: Vec<f32> = scales.iter().map(|scale| scale * step).collect();
            let codes = bias.values.iter().zip(&scales).map(|(bias, scale)| (bias / scale).round_ties_even() as i32);
            let bytes = codes.flat_map(i32::to_le_bytes).collect();
            let constant = tensor(&format!("{output}/bias/i32"), &dims(&bias.dims), DataType::Int32, bytes);
            new.input.push(self.constant(constant, &scales, 0, &format!("{output}/bias/rounded")));
        }
        self.passed(new, output);
        Ok(())
    }

    /// Adds codes with a scale for each index of an axis; returns the name of what they mean.
    fn constant(&mut self, codes: TensorProto, scales: &[f32], axis: usize, name: &str) -> String {
        let channels = scales.len() as i64;
        let (scale, zero) = (format!("{name}/scale"), format!("{name}/zero"));
        self.added.push(tensor_f32(&scale, &[channels], scales));
        let kind = if codes.data_type() == DataType::Int8 as i32 { DataType::Int8 } else { DataType::Int32 };
        let width = if kind == DataType::Int8 { 1 } else { 4 };
        self.added.push(tensor(&zero, &[channels], kind, vec![0; width * scales.len()]));
        let of_axis = vec![attr_int("axis", axis as i64)];
        self.nodes.push(node("DequantizeLinear", &[codes.name(), &scale, &zero], &[name], of_axis));
        self.added.push(codes);
        name.to_owned()
    }

    /// Rows of codes, each times its scale: a table that was dequantised first would be so at every run.
    fn table(&mut self, old: &NodeProto, output: &str) -> Result<(), String> {
        let [table, indices] = &old.input[..] else { return Err(format!("{output} takes no rows of a table")) };
        let values = self.floats(table)?;
        let Channels { codes, scales } = Channels::of(&values, 0, WeightRange::Full, |_| 0.0);
        let [names, steps, rows, floats, scale] =
            ["table/i8", "table/scale", "i8", "codes", "scale"].map(|part| format!("{output}/{part}"));
        self.added.push(tensor(&names, &dims(&values.dims), DataType::Int8, bytes(&codes)));
        self.added.push(tensor_f32(&steps, &[scales.len() as i64, 1], &scales));
        self.nodes.push(node("Gather", &[&names, indices], &[&rows], vec![]));
        self.nodes.push(node("Cast", &[&rows], &[&floats], vec![attr_int("to", DataType::Float as i64)]));
        self.nodes.push(node("Gather", &[&steps, indices], &[&scale], vec![]));
        self.nodes.push(node("Mul", &[&floats, &scale], &[output], vec![]));
        Ok(())
    }
}

pub(super) fn bytes(codes: &[i8]) -> Vec<u8> {
    codes.iter().map(|code| code.to_ne_bytes()[0]).collect()
}

pub(super) fn dims(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}
