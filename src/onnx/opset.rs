//! Which version of the standard operators a model uses, and how it comes to a newer one.

use super::build::{attr_int, attr_string, attr_tensor, node, operators, tensor_i64};
use super::model::unlist_constants;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto};
use crate::error::{Error, Result};

/// The oldest operator set that is raised: before it, too much had another meaning.
const OLDEST: i64 = 11;
/// The newest to which is raised: what later ones change is not known here.
const NEWEST: i64 = 23;
/// Where a version of the file format is asked for by operator sets: the first set that each goes with, newest first.
const FORMATS: [(i64, i64); 5] = [(23, 11), (21, 10), (19, 9), (15, 8), (13, 7)];

/// The version of the standard operator set that the model uses; 1 when the file does not say, as ONNX defines.
pub fn opset(model: &ModelProto) -> i64 {
    model.opset_import.iter().find(|o| is_standard(o.domain())).map_or(1, |o| o.version())
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The same computation in version `to` of the standard operators; a model of that version or a newer one stays as it is. `name` is what
/// errors call it.
///
/// What has changed since version 11, by the operators' change log: where an attribute became an input it becomes a constant;
/// softmaxes of the time before 13, which flatten, are put between reshapes; defaults that changed are written out.
///
/// # Errors
/// [`Error::Model`] when the model is older than version 11, `to` is above 23, or a node cannot be converted.
pub fn raise(mut model: ModelProto, to: i64, name: &str) -> Result<ModelProto> {
    let from = opset(&model);
    if from >= to {
        return Ok(model);
    }
    if from < OLDEST || to > NEWEST {
        let reason = format!(
            "it uses version {from} of ONNX's operators, which cannot be raised to {to} here (only from {OLDEST} to {NEWEST}): \
             convert it with onnx.version_converter first"
        );
        return Err(Error::model(name, reason));
    }
    // The format of newer operators takes listed constants for such that can be overridden.
    unlist_constants(&mut model);
    let raise = Raise { from, to };
    let failed = |reason| Error::model(name, reason);
    if let Some(graph) = &mut model.graph {
        raise.graph(graph).map_err(failed)?;
    }
    for function in &mut model.functions {
        let own = function.opset_import.iter_mut().find(|o| is_standard(o.domain()));
        if let Some(own) = own.filter(|own| own.version() < to) {
            Raise { from: own.version().max(OLDEST), to }.nodes(&mut function.node).map_err(failed)?;
            own.version = Some(to);
        }
    }
    match model.opset_import.iter_mut().find(|o| is_standard(o.domain())) {
        Some(import) => import.version = Some(to),
        None => model.opset_import.push(operators("", to)),
    }
    let format = FORMATS.iter().find(|(first, _)| to >= *first).map(|(_, format)| *format);
    model.ir_version = model.ir_version.max(format);
    Ok(model)
}

#[derive(Clone, Copy)]
struct Raise {
    from: i64,
    to: i64,
}

impl Raise {
    /// Whether version `at` lies on the way.
    fn passes(self, at: i64) -> bool {
        self.from < at && at <= self.to
    }

    fn graph(self, graph: &mut GraphProto) -> Result<(), String> {
        self.nodes(&mut graph.node)
    }

    fn nodes(self, nodes: &mut Vec<NodeProto>) -> Result<(), String> {
        let mut raised = Vec::with_capacity(nodes.len());
        for mut node in std::mem::take(nodes) {
            for attribute in &mut node.attribute {
                attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|inner| self.graph(inner))?;
            }
            if is_standard(node.domain()) {
                self.node(node, &mut raised).map_err(|(node, reason)| format!("node {node:?}: {reason}"))?;
            } else {
                raised.push(node);
            }
        }
        *nodes = raised;
        Ok(())
    }

    /// One node, with what it needs before and after it.
    fn node(self, mut node: NodeProto, out: &mut Vec<NodeProto>) -> Result<(), (String, String)> {
        let named = node.name().to_owned();
        let failed = |reason| (named.clone(), reason);
        match node.op_type() {
            "Softmax" | "LogSoftmax" | "Hardmax" if self.passes(13) => {
                flattened(node, out);
                return Ok(());
            }
            "Squeeze" | "Unsqueeze" | "ReduceSum" if self.passes(13) => {
                list_to_input(&mut node, "axes", out).map_err(failed)?;
            }
            "Split" => {
                if self.passes(13) {
                    list_to_input(&mut node, "split", out).map_err(failed)?;
                }
                if self.passes(18) && node.input.get(1).is_none_or(String::is_empty) {
                    node.attribute.push(attr_int("num_outputs", node.output.len() as i64));
                }
            }
            "ReduceMax" | "ReduceMin" | "ReduceMean" | "ReduceProd" | "ReduceL1" | "ReduceL2" | "ReduceLogSum"
            | "ReduceLogSumExp" | "ReduceSumSquare"
                if self.passes(18) =>
            {
                list_to_input(&mut node, "axes", out).map_err(failed)?;
            }
            // At inference it passes its input through.
            "Dropout" if self.passes(12) && node.output.get(1).is_none_or(String::is_empty) => {
                node.op_type = Some("Identity".to_owned());
                node.input.truncate(1);
                node.output.truncate(1);
                node.attribute.clear();
            }
            "Dropout" if self.passes(12) => return Err(failed("the mask of a Dropout is used".to_owned())),
            "BatchNormalization" if self.passes(14) && node.output.iter().skip(1).any(|o| !o.is_empty()) => {
                return Err(failed("a BatchNormalization is in training".to_owned()));
            }
            "BatchNormalization" if self.passes(14) => node.output.truncate(1),
            "RoiAlign" if self.passes(16) && attribute(&node, "coordinate_transformation_mode").is_none() => {
                node.attribute.push(attr_string("coordinate_transformation_mode", "output_half_pixel"));
            }
            "GridSample" if self.passes(20) => {
                for mode in node.attribute.iter_mut().filter(|a| a.name() == "mode") {
                    mode.s = match mode.s().strip_prefix(b"bi") {
                        Some(rest) => Some(rest.to_vec().into()),
                        None => mode.s.take(),
                    };
                }
            }
            "DFT" if self.passes(20) => return Err(failed("DFT took its axis as an attribute".to_owned())),
            "GroupNormalization" if self.passes(21) => {
                return Err(failed("GroupNormalization had a scale for each group".to_owned()));
            }
            _ => {}
        }
        out.push(node);
        Ok(())
    }
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name() == name)
}

/// The attribute `name`, a list of integers, as the second input.
fn list_to_input(node: &mut NodeProto, name: &str, out: &mut Vec<NodeProto>) -> Result<(), String> {
    let Some(place) = node.attribute.iter().position(|a| a.name() == name) else { return Ok(()) };
    let list = node.attribute.remove(place);
    if !list.ref_attr_name().is_empty() {
        return Err(format!("its {name} are an attribute of the function around it"));
    }
    let constant = format!("{}/{name}", node.output.first().map_or("", String::as_str));
    out.push(constant_node(&constant, &list.ints));
    node.input.truncate(1);
    node.input.push(constant);
    Ok(())
}

fn constant_node(name: &str, values: &[i64]) -> NodeProto {
    let tensor = tensor_i64(name, &[values.len() as i64], values);
    node("Constant", &[], &[name], vec![attr_tensor("value", tensor)])
}

/// Before version 13 a softmax ran over all axes from its own on, 1 by default, as if they were one.
fn flattened(mut softmax: NodeProto, out: &mut Vec<NodeProto>) {
    let axis = attribute(&softmax, "axis").map_or(1, |a| a.i());
    softmax.attribute = vec![attr_int("axis", -1)];
    // The last axis alone.
    if axis == -1 {
        out.push(softmax);
        return;
    }
    let (input, output) = (softmax.input.concat(), softmax.output.concat());
    let [shape, flat, soft] = ["shape", "flat", "soft"].map(|step| format!("{output}/{step}"));
    out.push(node("Shape", &[&input], &[&shape], vec![]));
    out.push(node("Flatten", &[&input], &[&flat], vec![attr_int("axis", axis)]));
    out.push(NodeProto { input: vec![flat], output: vec![soft.clone()], ..softmax });
    out.push(node("Reshape", &[&soft, &shape], &[&output], vec![]));
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, tensor_f32};
    use super::*;

    fn model(version: i64, nodes: Vec<NodeProto>) -> ModelProto {
        let graph = GraphProto { node: nodes, initializer: vec![tensor_f32("w", &[1], &[1.0])], ..Default::default() };
        let import = build::operators("", version);
        ModelProto { opset_import: vec![import], ..build::model(graph) }
    }

    fn raised(version: i64, to: i64, nodes: Vec<NodeProto>) -> Vec<NodeProto> {
        let raised = raise(model(version, nodes), to, "m").unwrap();
        assert_eq!(opset(&raised), to);
        raised.graph.unwrap().node
    }

    fn operators(nodes: &[NodeProto]) -> Vec<&str> {
        nodes.iter().map(|n| n.op_type()).collect()
    }

    #[test]
    fn lists_become_inputs_when_they_pass_the_version_that_asks_for_it() {
        let axes = || vec![build::attr_ints("axes", &[1, 2])];
        for (operator, at) in [("Squeeze", 13), ("ReduceSum", 13), ("ReduceMean", 18), ("ReduceL2", 18)] {
            let node = build::node(operator, &["x"], &["y"], axes());
            let before = raised(11, at - 1, vec![node.clone()]);
            assert_eq!((before.len(), &before[0]), (1, &node), "{operator}");
            let after = raised(11, at, vec![node]);
            assert_eq!(operators(&after), ["Constant", operator]);
            assert_eq!(
                (&after[1].input[..], after[1].attribute.len()),
                (&["x".to_owned(), "y/axes".to_owned()][..], 0)
            );
            assert_eq!(after[0].attribute[0].t.as_ref().unwrap().dims, [2]);
        }
        let split = build::node("Split", &["x"], &["a", "b"], vec![build::attr_int("axis", 1)]);
        let after = raised(12, 18, vec![split]);
        assert_eq!((operators(&after), after[0].attribute[1].i()), (vec!["Split"], 2));
    }

    #[test]
    fn an_old_softmax_flattens_but_over_the_last_axis() {
        let softmax = |axis| build::node("Softmax", &["x"], &["y"], axis);
        assert_eq!(operators(&raised(12, 13, vec![softmax(vec![])])), ["Shape", "Flatten", "Softmax", "Reshape"]);
        let last = raised(12, 13, vec![softmax(vec![build::attr_int("axis", -1)])]);
        assert_eq!((operators(&last), last[0].attribute[0].i()), (vec!["Softmax"], -1));
        assert_eq!(operators(&raised(13, 18, vec![softmax(vec![])])), ["Softmax"]);
    }

    #[test]
    fn constants_that_the_oldest_format_lists_stay_constants() {
        let mut old = model(11, vec![build::node("Relu", &["w"], &["y"], vec![])]);
        old.ir_version = Some(3);
        let listed = build::value("w", super::super::proto::tensor_proto::DataType::Float, &[build::Dim::Fixed(1)]);
        old.graph.as_mut().unwrap().input.push(listed);
        assert!(raise(old, 17, "m").unwrap().graph.unwrap().input.is_empty());
    }

    #[test]
    fn branches_are_raised_too_and_other_domains_are_not() {
        let inner = build::node("Unsqueeze", &["x"], &["z"], vec![build::attr_ints("axes", &[0])]);
        let branch = GraphProto { node: vec![inner.clone()], ..Default::default() };
        let attribute = AttributeProto { g: Some(branch), ..build::attr_int("then_branch", 0) };
        let after = raised(11, 13, vec![build::node("If", &["c"], &["y"], vec![attribute])]);
        assert_eq!(operators(&after[0].attribute[0].g.as_ref().unwrap().node), ["Constant", "Unsqueeze"]);
        let custom = NodeProto { domain: Some("com.example".into()), ..inner };
        assert_eq!(raised(11, 13, vec![custom.clone()]), [custom]);
    }

    #[test]
    fn what_cannot_be_raised_is_said() {
        let reason = |from, to, node| raise(model(from, vec![node]), to, "m").unwrap_err().to_string();
        let node = |operator, outputs: &[&str]| build::node(operator, &["x"], outputs, vec![]);
        assert!(reason(10, 13, node("Relu", &["y"])).contains("version 10"));
        assert!(reason(13, 24, node("Relu", &["y"])).contains("onnx.version_converter"));
        assert!(reason(11, 12, node("Dropout", &["y", "mask"])).contains("mask"));
        assert!(reason(18, 21, node("GroupNormalization", &["y"])).contains("each group"));
        assert!(reason(13, 14, node("BatchNormalization", &["y", "mean"])).contains("in training"));
        assert_eq!(raised(13, 14, vec![node("BatchNormalization", &["y", ""])])[0].output, ["y"]);
        // From 14 on the others are the running mean and variance, which others may read.
        assert_eq!(raised(14, 15, vec![node("BatchNormalization", &["y", "mean"])])[0].output, ["y", "mean"]);
        assert_eq!(operators(&raised(11, 12, vec![node("Dropout", &["y"])])), ["Identity"]);
        assert_eq!(opset(&raise(model(21, vec![node("Relu", &["y"])]), 17, "m").unwrap()), 21);
    }
}
