//! Looking at inner tensors while a model runs: their ranges and histograms, which are computed in the graph, so that no tensor has
//! to leave it.

use super::build::{attr_int, attr_string, node, tensor_f32, tensor_i64};
use super::cut::{CutPoint, cut};
use super::opset::raise;
use super::plain::lift_constants;
use super::proto::ModelProto;
use super::proto::tensor_proto::DataType;
use super::proto::{NodeProto, TensorProto, ValueInfoProto};
use super::signature::{Port, signature};
use crate::error::{Error, Result};

/// The output of what this module makes.
pub const OBSERVED: &str = "observed";
/// The first operator set that adds where it scatters.
const OPSET: i64 = 16;

/// Cuts `model` (called `name` in errors) down to one output, [`OBSERVED`]: for each of n samples the least and the greatest
/// value of each of k tensors in the whole batch, `[n, 2k]`.
///
/// # Errors
/// When there is no such tensor, or the model has no input.
pub fn observe_ranges(model: ModelProto, tensors: &[&str], name: &str) -> Result<ModelProto> {
    let mut looking = Looking::default();
    for (i, tensor) in tensors.iter().enumerate() {
        for (op, part) in [("ReduceMin", "least"), ("ReduceMax", "greatest")] {
            let scalar = looking.node(op, &[tensor], i, part, vec![attr_int("keepdims", 0)]);
            looking.part(&scalar, i, part);
        }
    }
    looking.onto(model, tensors, name)
}

/// The same of how many of a tensor's values lie in each of so many equal `bins` of its range, divided by n: `[n, k · bins]`, of
/// which the sums over the rows are counts. What is beyond a range is in its first or last bin.
///
/// # Errors
/// As [`observe_ranges`].
pub fn observe_counts(model: ModelProto, tensors: &[(&str, [f32; 2])], bins: usize, name: &str) -> Result<ModelProto> {
    let mut looking = Looking::default();
    looking.constants.push(tensor_i64("observed/line", &[1], &[-1]));
    looking.constants.push(tensor_f32("observed/one", &[], &[1.0]));
    looking.constants.push(tensor_f32("observed/first", &[], &[0.0]));
    looking.constants.push(tensor_f32("observed/last", &[], &[bins as f32 - 1.0]));
    looking.constants.push(tensor_f32("observed/none", &[bins as i64], &vec![0.0; bins]));
    for (i, &(tensor, [low, high])) in tensors.iter().enumerate() {
        let [start, width] = ["start", "width"].map(|part| format!("observed/{i}/{part}"));
        looking.constants.push(tensor_f32(&start, &[], &[low]));
        looking.constants.push(tensor_f32(&width, &[], &[((high - low) / bins as f32).max(f32::MIN_POSITIVE)]));
        let values = looking.node("Reshape", &[tensor, "observed/line"], i, "values", vec![]);
        let above = looking.node("Sub", &[&values, &start], i, "above", vec![]);
        let steps = looking.node("Div", &[&above, &width], i, "steps", vec![]);
        let clipped = looking.node("Clip", &[&steps, "observed/first", "observed/last"], i, "clipped", vec![]);
        let to_integers = vec![attr_int("to", DataType::Int64 as i64)];
        let places = looking.node("Cast", &[&clipped], i, "places", to_integers);
        let size = looking.node("Shape", &[&places], i, "size", vec![]);
        let ones = looking.node("Expand", &["observed/one", &size], i, "ones", vec![]);
        let add = vec![attr_string("reduction", "add")];
        let counts = looking.node("ScatterElements", &["observed/none", &places, &ones], i, "counts", add);
        let share = looking.node("Div", &[&counts, "observed/rows"], i, "share", vec![]);
        looking.part(&share, i, "share");
    }
    looking.onto(model, &tensors.iter().map(|(tensor, _)| *tensor).collect::<Vec<_>>(), name)
}

#[derive(Default)]
struct Looking {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    parts: Vec<String>,
}

impl Looking {
    /// Adds a node of the i-th tensor; returns its output.
    fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        i: usize,
        part: &str,
        attributes: Vec<super::proto::AttributeProto>,
    ) -> String {
        let output = format!("observed/{i}/{part}");
        self.nodes.push(node(op, inputs, &[&output], attributes));
        output
    }

    /// Adds numbers of the i-th tensor to what is returned.
    fn part(&mut self, tensor: &str, i: usize, part: &str) {
        let row = self.node("Reshape", &[tensor, "observed/row"], i, &format!("{part}/row"), vec![]);
        self.parts.push(row);
    }

    fn onto(self, model: ModelProto, tensors: &[&str], name: &str) -> Result<ModelProto> {
        let input = signature(&model).inputs.into_iter().next();
        let input = input.ok_or_else(|| Error::model(name, "it has no input"))?.name;
        let mut model = raise(model, OPSET, name)?;
        model.graph.iter_mut().for_each(lift_constants);
        let point = |tensor: &&str| CutPoint {
            tensor: (*tensor).to_owned(),
            token: None,
            output: Port { name: (*tensor).to_owned(), element: DataType::Undefined, shape: None },
        };
        let mut points: Vec<CutPoint> = tensors.iter().map(point).collect();
        // It tells how many samples there are.
        if !tensors.contains(&input.as_str()) {
            points.push(point(&input.as_str()));
        }
        let mut model = cut(model, &points, name)?;
        let Some(graph) = &mut model.graph else { return Ok(model) };
        graph.initializer.push(tensor_i64("observed/row", &[2], &[1, -1]));
        graph.initializer.push(tensor_i64("observed/as many", &[1], &[1]));
        graph.initializer.extend(self.constants);
        let (to_float, first) = (vec![attr_int("to", DataType::Float as i64)], vec![attr_int("end", 1)]);
        graph.node.push(node("Shape", &[&input], &["observed/n"], first));
        graph.node.push(node("Cast", &["observed/n"], &["observed/rows"], to_float));
        graph.node.extend(self.nodes);
        let parts: Vec<&str> = self.parts.iter().map(String::as_str).collect();
        let columns = || vec![attr_int("axis", 1)];
        graph.node.push(node("Concat", &parts, &["observed/all"], columns()));
        let along = vec![attr_int("axis", 0)];
        graph.node.push(node("Concat", &["observed/n", "observed/as many"], &["observed/shape"], along));
        graph.node.push(node("Expand", &["observed/all", "observed/shape"], &[OBSERVED], vec![]));
        graph.output = vec![ValueInfoProto { name: Some(OBSERVED.to_owned()), ..Default::default() }];
        Ok(model)
    }
}
