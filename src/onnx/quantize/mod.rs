//! Eight bits: weights and activations as integers, in the form that every runtime reads and fuses.
//!
//! Each tensor that a layer takes is put through `QuantizeLinear` and `DequantizeLinear`, and so is each constant in the form
//! of its codes: standard operators, so that the file runs anywhere, and where a runtime finds an operation between such pairs
//! it computes with the codes themselves. Activations have one scale and unsigned codes, weights signed ones with a scale
//! for each output: the pair that processors multiply at their fastest. Where ranges are not known before, each run finds those of what it is
//! given ([`Activations::Dynamic`]).

mod affine;
mod dynamic;
mod layers;
mod plan;
mod rewrite;

use std::collections::{HashMap, HashSet};

pub use affine::{Affine, WeightRange};
pub use layers::{Layer, layers};
use plan::Plan;
use rewrite::Rewriter;

use super::opset::raise;
use super::plain::{check, lift_constants};
use super::proto::ModelProto;
use crate::error::{Error, Result};

/// The first operator set whose `DequantizeLinear` knows a scale for each index.
const OPSET: i64 = 13;

/// Where the codes of activations come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Activations {
    /// The least and the greatest value of each tensor that [`observed`] names; what is beyond is cut off.
    Calibrated(HashMap<String, [f32; 2]>),
    /// From what each run finds, over all rows that it is given: what a row gets depends on those beside it. Convolutions stay as they are.
    Dynamic,
}

/// The tensors whose ranges [`quantize`] needs for these layers or any of them: what they take, and what they give.
///
/// # Errors
/// When the model has subgraphs or functions of its own, is quantised, or keeps weights in other files.
pub fn observed(model: &ModelProto, layers: &HashSet<&str>, name: &str) -> Result<Vec<String>> {
    let mut graph = model.graph.clone().unwrap_or_default();
    lift_constants(&mut graph);
    check(&graph, !model.functions.is_empty(), "int8").map_err(|reason| Error::model(name, reason))?;
    let plan = Plan::of(&graph, layers);
    Ok(plan.rounded.iter().filter(|(tensor, range)| tensor == range).map(|(tensor, _)| (*tensor).to_owned()).collect())
}

/// `model` (called `name` in errors) with these layers in eight bits, and what lies between them where they feed one another.
/// Tables have the full range of codes in any case: they are looked up, not multiplied.
///
/// # Errors
/// As [`observed`]; when a range is missing or not finite, or a weight is not finite.
pub fn quantize(
    model: ModelProto,
    layers: &HashSet<&str>,
    activations: &Activations,
    weights: WeightRange,
    name: &str,
) -> Result<ModelProto> {
    let mut model = raise(model, OPSET, name)?;
    let mut graph = model.graph.take().unwrap_or_default();
    lift_constants(&mut graph);
    // Those that could be overridden have values here all the same.
    let constants: HashSet<String> = graph.initializer.iter().map(|t| t.name().to_owned()).collect();
    graph.input.retain(|input| !constants.contains(input.name()));
    let functions = !model.functions.is_empty();
    let done = check(&graph, functions, "int8").and_then(|()| match activations {
        Activations::Calibrated(ranges) => Rewriter::of(&graph, &Plan::of(&graph, layers), ranges, weights)?.run(),
        Activations::Dynamic => Rewriter::of(&graph, &Plan::dynamic(&graph, layers), &HashMap::new(), weights)?.run(),
    });
    let (nodes, added) = done.map_err(|reason| Error::model(name, reason))?;
    graph.node = nodes;
    graph.initializer.extend(added);
    let used: HashSet<&str> = graph.node.iter().flat_map(|n| &n.input).map(String::as_str).collect();
    let outputs: HashSet<&str> = graph.output.iter().map(|v| v.name()).collect();
    graph.initializer.retain(|t| used.contains(t.name()) || outputs.contains(t.name()));
    model.graph = Some(graph);
    Ok(model)
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, Dim, attr_int, node, tensor_f32, value};
    use super::super::proto::tensor_proto::DataType;
    use super::super::proto::{GraphProto, NodeProto};
    use super::*;

    fn model(nodes: Vec<NodeProto>) -> ModelProto {
        let dims = [Dim::Named("n"), Dim::Fixed(1), Dim::Fixed(4), Dim::Fixed(4)];
        build::model(GraphProto {
            input: vec![value("x", DataType::Float, &dims)],
            output: vec![value("y", DataType::Float, &dims)],
            initializer: vec![
                tensor_f32("w", &[1, 1, 1, 1], &[0.5]),
                tensor_f32("bias", &[1], &[0.25]),
                tensor_f32("m", &[2, 2], &[1.0, 2.0, 3.0, -4.0]),
                tensor_f32("zero", &[], &[0.0]),
                tensor_f32("six", &[], &[6.0]),
                tensor_f32("one", &[], &[1.0]),
                tensor_f32("table", &[256, 64], &[1.0; 256 * 64]),
            ],
            node: nodes,
            ..Default::default()
        })
    }

    fn conv(input: &str, output: &str) -> NodeProto {
        node("Conv", &[input, "w", "bias"], &[output], vec![])
    }

    /// Each node as `op(inputs) output`, those of constants left out.
    fn shown(nodes: Vec<NodeProto>, chosen: &[&str]) -> Vec<String> {
        let (model, chosen) = (model(nodes), chosen.iter().copied().collect());
        let ranges = observed(&model, &chosen, "m").unwrap().into_iter().map(|tensor| (tensor, [-1.0, 6.0])).collect();
        told(&quantize(model, &chosen, &Activations::Calibrated(ranges), WeightRange::Full, "m").unwrap())
    }

    fn told(model: &ModelProto) -> Vec<String> {
        let graph = model.graph.as_ref().unwrap();
        let nodes = graph.node.iter().filter(|n| !n.output[0].contains("/weight") && !n.output[0].contains("/bias"));
        nodes.map(|n| format!("{}({}) {}", n.op_type(), n.input[0], n.output[0])).collect()
    }

    #[test]
    fn a_convolution_takes_and_gives_codes_and_what_cuts_off_is_left_to_them() {
        let nodes = || {
            vec![
                conv("x", "a"),
                node("Clip", &["a", "zero", "six"], &["b"], vec![]),
                conv("b", "c"),
                node("Clip", &["c", "one", "six"], &["y"], vec![]),
            ]
        };
        let x = ["QuantizeLinear(x) x/u8", "DequantizeLinear(x/u8) x/rounded"];
        let a = ["Conv(x/rounded) a/raw", "QuantizeLinear(a/raw) b/u8", "DequantizeLinear(b/u8) b"];
        // Codes have a zero, and 1 to 6 has none: that cut stays.
        let c = ["Conv(b) c/raw", "QuantizeLinear(c/raw) c/u8", "DequantizeLinear(c/u8) c", "Clip(c) y"];
        assert_eq!(shown(nodes(), &["a", "c"]), [&x[..], &a, &c].concat());
        let alone = ["Conv(x) a", "Clip(a) b", "QuantizeLinear(b) b/u8", "DequantizeLinear(b/u8) b/rounded"];
        let c = ["Conv(b/rounded) c/raw", "QuantizeLinear(c/raw) c/u8", "DequantizeLinear(c/u8) c", "Clip(c) y"];
        assert_eq!(shown(nodes(), &["c"]), [&alone[..], &c].concat());
        assert_eq!(observed(&model(nodes()), &["a", "c"].into(), "m").unwrap(), ["x", "b", "c"]);
    }

    #[test]
    fn sums_and_pools_between_convolutions_stay_codes_and_at_the_end_become_floats() {
        let nodes = vec![
            conv("x", "a"),
            node("MaxPool", &["a"], &["p"], vec![]),
            conv("p", "b"),
            node("Add", &["b", "p"], &["s"], vec![]),
            conv("s", "c"),
            node("GlobalAveragePool", &["c"], &["y"], vec![]),
        ];
        let got = shown(nodes.clone(), &["a", "b", "c"]);
        let codes = |tensor: &str| got.contains(&format!("DequantizeLinear({tensor}/u8) {tensor}"));
        assert!(["a", "p", "b", "s", "c"].into_iter().all(codes), "{got:?}");
        assert_eq!(got.last().unwrap(), "GlobalAveragePool(c) y");
        // A pool gives what it takes: its codes are those of its input.
        assert_eq!(observed(&model(nodes.clone()), &["a", "b", "c"].into(), "m").unwrap(), ["x", "a", "b", "s", "c"]);
        // A pool that is cut off gives less than what it takes.
        let cut_off = vec![
            conv("x", "a"),
            node("MaxPool", &["a"], &["p"], vec![]),
            node("Relu", &["p"], &["r"], vec![]),
            conv("r", "y"),
        ];
        assert_eq!(observed(&model(cut_off.clone()), &["a", "y"].into(), "m").unwrap(), ["x", "a", "r", "y"]);
        let got = shown(cut_off, &["a", "y"]);
        assert!(
            got.contains(&"DequantizeLinear(r/u8) r".to_owned()) && !got.contains(&"Relu(p) r".to_owned()),
            "{got:?}"
        );
        // A sum of floats is no sum of codes.
        let got = shown(nodes, &["a", "c"]);
        assert!(got.contains(&"Add(b) s".to_owned()) && got.contains(&"Conv(s/rounded) c/raw".to_owned()), "{got:?}");
    }

    #[test]
    fn products_take_codes_and_give_floats_and_tables_are_looked_up_before_they_are_scaled() {
        let nodes = vec![
            node("Cast", &["x"], &["ids"], vec![attr_int("to", DataType::Int64 as i64)]),
            node("Gather", &["table", "ids"], &["rows"], vec![]),
            node("MatMul", &["rows", "m"], &["k"], vec![]),
            node("MatMul", &["rows", "m"], &["q"], vec![]),
            node("Add", &["q", "rows"], &["y"], vec![]),
        ];
        assert_eq!(
            shown(nodes.clone(), &["rows", "k", "q"]),
            [
                "Cast(x) ids",
                "Gather(rows/table/i8) rows/i8",
                "Cast(rows/i8) rows/codes",
                "Gather(rows/table/scale) rows/scale",
                "Mul(rows/codes) rows",
                "QuantizeLinear(rows) rows/u8",
                "DequantizeLinear(rows/u8) rows/rounded",
                "MatMul(rows/rounded) k",
                "MatMul(rows/rounded) q",
                "Add(q) y",
            ]
        );
        let names: Vec<(String, usize)> = layers(&model(nodes)).into_iter().map(|l| (l.name, l.weights)).collect();
        assert_eq!(names, [("rows".to_owned(), 256 * 64), ("k".to_owned(), 4), ("q".to_owned(), 4)]);
    }

    #[test]
    fn where_each_run_finds_the_ranges_products_read_them_once_and_convolutions_stay() {
        let nodes = vec![
            conv("x", "a"),
            node("MatMul", &["a", "m"], &["b"], vec![]),
            node("Gemm", &["a", "m", "bias"], &["y"], vec![attr_int("transB", 1)]),
        ];
        let mut whole = model(nodes);
        whole.graph.as_mut().unwrap().initializer[1] = tensor_f32("bias", &[2], &[0.25, 0.5]);
        let quantised =
            quantize(whole, &["a", "b", "y"].into(), &Activations::Dynamic, WeightRange::Full, "m").unwrap();
        let product =
            ["MatMulInteger(a/u8) b/sums", "Cast(b/sums) b/floats", "Mul(a/scale) b/scale", "Mul(b/floats) b"];
        let gemm =
            ["MatMulInteger(a/u8) y/sums", "Cast(y/sums) y/floats", "Mul(a/scale) y/scale", "Mul(y/floats) y/product"];
        let first = ["Conv(x) a", "DynamicQuantizeLinear(a) a/u8"];
        assert_eq!(told(&quantised), [&first[..], &product, &gemm, &["Add(y/product) y"]].concat());
        // [[1, 2], [3, −4]]: of the first matrix a column is an output, of the second a row.
        let graph = quantised.graph.unwrap();
        let codes = |name: &str| graph.initializer.iter().find(|t| t.name() == name).unwrap().raw_data().to_vec();
        assert_eq!(codes("b/weight/i8"), [42, 64, 127, -127_i8 as u8]);
        assert_eq!(codes("y/weight/i8"), [64, 95, 127, -127_i8 as u8]);
    }

    #[test]
    fn weights_of_constant_nodes_are_weights_and_such_of_no_values_are_none() {
        let product = |weights| vec![node("MatMul", &["x", weights], &["y"], vec![])];
        let weights = build::attr_tensor("value", tensor_f32("", &[4, 2], &[0.5; 8]));
        let constant = node("Constant", &[], &["c"], vec![weights]);
        let written_out = model([vec![constant], product("c")].concat());
        let [layer] = &layers(&written_out)[..] else { panic!("one layer") };
        assert_eq!((layer.name.as_str(), layer.weights), ("y", 8));
        // The product of the sizes is 0, and a scale for each column would not fit into any memory.
        let mut empty = model(product("none"));
        empty.graph.as_mut().unwrap().initializer.push(tensor_f32("none", &[0, 1 << 60], &[]));
        assert!(layers(&empty).is_empty());
        let chosen = ["y"].into();
        assert!(observed(&empty, &chosen, "m").unwrap().is_empty());
        assert_eq!(
            quantize(empty.clone(), &chosen, &Activations::Calibrated(HashMap::new()), WeightRange::Full, "m")
                .unwrap()
                .graph
                .unwrap()
                .node
                .len(),
            1
        );
    }

    #[test]
    fn weights_that_are_listed_as_inputs_are_none_afterwards() {
        let mut listed = model(vec![conv("x", "y")]);
        listed.graph.as_mut().unwrap().input.push(value("w", DataType::Float, &[Dim::Fixed(1); 4]));
        let ranges = Activations::Calibrated(["x", "y"].map(|tensor| (tensor.to_owned(), [0.0, 1.0])).into());
        let graph = quantize(listed, &["y"].into(), &ranges, WeightRange::Full, "m").unwrap().graph.unwrap();
        assert_eq!(graph.input.iter().map(|input| input.name()).collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn what_cannot_be_quantised_is_refused_with_the_reason() {
        let chosen: HashSet<&str> = ["y"].into();
        let of = |ranges| {
            let ranges = Activations::Calibrated(ranges);
            quantize(model(vec![conv("x", "y")]), &chosen, &ranges, WeightRange::Full, "m").map_err(|e| e.to_string())
        };
        assert!(of(HashMap::new()).unwrap_err().contains("no range is known of the tensor x"));
        let bad = HashMap::from([("x".to_owned(), [0.0, f32::NAN]), ("y".to_owned(), [0.0, 1.0])]);
        assert!(of(bad).unwrap_err().contains("tensor x"));
        let again = of(HashMap::from([("x".to_owned(), [0.0, 1.0]), ("y".to_owned(), [0.0, 1.0])])).unwrap();
        let error = observed(&again, &chosen, "m").unwrap_err().to_string();
        assert!(error.contains("int8 is not to be had for a quantised model"), "{error}");
        let mut infinite = model(vec![conv("x", "y")]);
        infinite.graph.as_mut().unwrap().initializer[0] = tensor_f32("w", &[1, 1, 1, 1], &[f32::INFINITY]);
        let ranges = Activations::Calibrated(["x", "y"].map(|tensor| (tensor.to_owned(), [0.0, 1.0])).into());
        assert!(
            quantize(infinite, &chosen, &ranges, WeightRange::Full, "m")
                .unwrap_err()
                .to_string()
                .contains("tensor w has a value")
        );
    }
}
