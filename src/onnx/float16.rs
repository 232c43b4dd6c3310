//! Half precision: the same graph with 16-bit floats where they are safe.
//!
//! Each operation computes in one precision, and a `Cast` stands wherever a tensor is wanted in the other.
//! - Matrix products and convolutions compute in 16 bits: there the time goes.
//! - What squares, sums or exponentiates computes in 32 bits: a layer normalisation's squares pass 65,504 long before its
//!   input does, and its ε is zero in 16 bits.
//! - The rest follows what it is fed, so that between two operations of one kind nothing is cast. `Softmax` and
//!   `LayerNormalization` are among the rest: every runtime sums them in 32 bits inside.
//!
//! The graph's inputs and outputs keep their types.

use std::collections::{HashMap, HashSet};

use half::f16;
use prost::bytes::Bytes;

use super::build;
use super::plain::{check, lift_constants};
use super::proto::tensor_proto::DataType;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, type_proto};
use crate::error::{Error, Result};

/// Compute in 16 bits.
const PRODUCTS: [&str; 6] = ["MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum", "Attention"];

/// Compute in 32 bits: they leave the range of 16 bits, lose their accuracy in it, or are not defined for it.
const SENSITIVE: [&str; 24] = [
    "Pow",
    "Sqrt",
    "Exp",
    "Log",
    "Reciprocal",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceProd",
    "CumSum",
    "Softplus",
    "LpNormalization",
    "InstanceNormalization",
    "GroupNormalization",
    "Resize",
    "Upsample",
    "GridSample",
    "RoiAlign",
    "NonMaxSuppression",
    "Range",
];

/// Give an integer or a truth value whatever they take.
const NOT_FLOATS: [&str; 17] = [
    "Shape",
    "Size",
    "NonZero",
    "ArgMax",
    "ArgMin",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "And",
    "Or",
    "Not",
    "Xor",
    "IsNaN",
    "IsInf",
    "StringNormalizer",
];

/// Take a tensor of either precision as it comes.
const INDIFFERENT: [&str; 3] = ["Cast", "Shape", "Size"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Precision {
    Single,
    Half,
}
use Precision::{Half, Single};

/// Converts a model (called `name` in errors) to half precision. A lone constant beyond ±65,504, as in attention masks,
/// becomes ±65,504; a constant that 16 bits cannot hold otherwise keeps its operation in 32 bits, and so do the nodes whose first
/// output is in `single`.
///
/// # Errors
/// When the model is quantised, has subgraphs or functions of its own, keeps weights in other files, or has nothing to
/// convert.
pub fn to_half(model: ModelProto, single: &HashSet<String>, name: &str) -> Result<ModelProto> {
    let mut graph = model.graph.unwrap_or_default();
    lift_constants(&mut graph);
    check(&graph, !model.functions.is_empty(), "half precision").map_err(|reason| Error::model(name, reason))?;
    let mut converter = Converter::new(&graph, single, name)?;
    let nodes = std::mem::take(&mut graph.node);
    let readers = readers(&nodes);
    for node in &nodes {
        converter.place(node, &readers);
    }
    if !converter.precision.values().any(|p| *p == Half) {
        return Err(Error::model(name, "it has no matrix product or convolution to compute in half precision"));
    }
    for node in nodes {
        converter.emit(node);
    }
    converter.finish(&mut graph);
    Ok(ModelProto { graph: Some(graph), ..model })
}

/// The operations that read each tensor.
fn readers(nodes: &[NodeProto]) -> HashMap<String, Vec<String>> {
    let mut uses: HashMap<String, Vec<String>> = HashMap::new();
    for node in nodes {
        for input in &node.input {
            uses.entry(input.clone()).or_default().push(node.op_type().to_owned());
        }
    }
    uses
}

struct Converter<'a> {
    /// First outputs of nodes that compute in 32 bits whatever they are.
    single: &'a HashSet<String>,
    /// What each float tensor is computed in; constants are not among them, other types neither.
    precision: HashMap<String, Precision>,
    /// What the node that gives the tensor of this name computes in.
    computes: HashMap<String, Precision>,
    constants: HashMap<String, Constant>,
    outputs: HashSet<String>,
    /// Casts and constants that are there already, by name.
    made: HashSet<String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

/// A float initializer in both forms.
struct Constant {
    single: TensorProto,
    half: TensorProto,
    /// Whether 16 bits hold it.
    fits: bool,
}

impl<'a> Converter<'a> {
    fn new(graph: &GraphProto, single: &'a HashSet<String>, name: &str) -> Result<Self> {
        let mut constants = HashMap::new();
        for tensor in graph.initializer.iter().filter(|t| t.data_type() == DataType::Float as i32) {
            let constant = Constant::new(tensor).map_err(|reason| Error::model(name, reason))?;
            constants.insert(tensor.name().to_owned(), constant);
        }
        let float = |v: &&super::proto::ValueInfoProto| element(v) == Some(DataType::Float as i32);
        let inputs = graph.input.iter().filter(float).map(|v| v.name().to_owned());
        let inputs = inputs.filter(|n| !constants.contains_key(n)).map(|n| (n, Single)).collect();
        Ok(Self {
            single,
            precision: inputs,
            computes: HashMap::new(),
            constants,
            outputs: graph.output.iter().map(|v| v.name().to_owned()).collect(),
            made: HashSet::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
        })
    }

    /// Decides what a node computes in, and so what it gives.
    fn place(&mut self, node: &NodeProto, uses: &HashMap<String, Vec<String>>) {
        let op = node.op_type();
        let fed: Vec<Precision> = node.input.iter().filter_map(|i| self.precision.get(i).copied()).collect();
        let unfit = node.input.iter().filter_map(|i| self.constants.get(i)).any(|c| !c.fits);
        let read_by = |ops: &[&str]| {
            let readers = node.output.iter().filter_map(|o| uses.get(o)).flatten();
            readers.into_iter().any(|reader| ops.contains(&reader.as_str()))
        };
        let told = node.output.first().is_some_and(|output| self.single.contains(output));
        let computes = if SENSITIVE.contains(&op) || unfit || told {
            Single
        } else if PRODUCTS.contains(&op) {
            Half
        } else if fed.contains(&Single) && (!fed.contains(&Half) || read_by(&SENSITIVE)) {
            // Between two sensitive operations too: the difference from the mean, before it is squared.
            Single
        } else {
            Half
        };
        let float_out = match op {
            "Cast" => integer(node, "to") == Some(DataType::Float as i64),
            "ConstantOfShape" => node.attribute.iter().all(|a| a.t.as_ref().is_none_or(is_float)),
            op if NOT_FLOATS.contains(&op) => false,
            // The type of these is that of a later input: the condition comes first.
            "Where" | "CastLike" => node.input.get(1).is_some_and(|i| self.is_float(i)),
            "OneHot" => node.input.get(2).is_some_and(|i| self.is_float(i)),
            "Constant" => false,
            _ => node.input.iter().find(|i| !i.is_empty()).is_some_and(|i| self.is_float(i)),
        };
        if let Some(first) = node.output.first() {
            self.computes.insert(first.clone(), computes);
        }
        // A cast to f32 and a filled tensor are left as they are.
        let gives = if matches!(op, "Cast" | "ConstantOfShape") { Single } else { computes };
        if !float_out {
            return;
        }
        for (k, output) in node.output.iter().enumerate().filter(|(_, o)| !o.is_empty()) {
            match op {
                // Indices and masks come after the values, a normalisation's statistics are of 32 bits.
                "TopK" | "MaxPool" | "Dropout" | "Unique" if k > 0 => continue,
                "LayerNormalization" if k > 0 => self.precision.insert(output.clone(), Single),
                _ => self.precision.insert(output.clone(), gives),
            };
        }
    }

    fn is_float(&self, tensor: &str) -> bool {
        self.precision.contains_key(tensor) || self.constants.contains_key(tensor)
    }

    /// The name of a float tensor in a precision. A graph output keeps its name and its 32 bits.
    fn named(&self, tensor: &str, wanted: Precision) -> String {
        let own = self.precision.get(tensor).copied().unwrap_or(Single);
        match wanted {
            Single if own == Single || self.outputs.contains(tensor) => tensor.to_owned(),
            Single => format!("{tensor}/f32"),
            Half if own == Half && !self.outputs.contains(tensor) => tensor.to_owned(),
            Half => format!("{tensor}/f16"),
        }
    }

    /// The name under which a tensor can be read in a precision, after a cast if need be.
    fn read(&mut self, tensor: &str, wanted: Precision) -> String {
        let name = self.named(tensor, wanted);
        if let Some(constant) = self.constants.get(tensor) {
            if self.made.insert(name.clone()) {
                let form = if wanted == Half { &constant.half } else { &constant.single };
                self.initializers.push(TensorProto { name: Some(name.clone()), ..form.clone() });
            }
            return name;
        }
        let Some(&own) = self.precision.get(tensor) else { return tensor.to_owned() };
        if own != wanted && self.made.insert(name.clone()) {
            let from = self.named(tensor, own);
            self.nodes.push(cast(&from, &name, wanted));
        }
        name
    }

    fn emit(&mut self, mut node: NodeProto) {
        let computes = node.output.first().and_then(|o| self.computes.get(o)).copied().unwrap_or(Single);
        let indifferent = INDIFFERENT.contains(&node.op_type());
        for input in &mut node.input {
            let wanted = match self.precision.get(input.as_str()) {
                Some(own) if indifferent => *own,
                _ => computes,
            };
            *input = self.read(input, wanted);
        }
        let given = node.output.clone();
        for output in &mut node.output {
            if let Some(own) = self.precision.get(output.as_str()) {
                *output = self.named(output, *own);
            }
        }
        self.nodes.push(node);
        for output in given {
            if self.outputs.contains(&output) && self.precision.get(&output) == Some(&Half) {
                self.read(&output, Single);
            }
        }
    }

    fn finish(self, graph: &mut GraphProto) {
        let Self { precision, constants, nodes, initializers, outputs, .. } = self;
        graph.node = nodes;
        // A constant may itself be an output.
        graph.initializer.retain(|t| !constants.contains_key(t.name()) || outputs.contains(t.name()));
        let kept: HashSet<String> = graph.initializer.iter().map(|t| t.name().to_owned()).collect();
        graph.initializer.extend(initializers.into_iter().filter(|t| !kept.contains(t.name())));
        graph.input.retain(|v| !constants.contains_key(v.name()));
        for value in &mut graph.value_info {
            if precision.get(value.name()) == Some(&Half)
                && let Some(type_proto::Value::TensorType(tensor)) =
                    value.r#type.as_mut().and_then(|t| t.value.as_mut())
            {
                tensor.elem_type = Some(DataType::Float16 as i32);
            }
        }
    }
}

impl Constant {
    fn new(tensor: &TensorProto) -> Result<Self, String> {
        let values = super::tensor::read_floats(tensor).map_err(|r| format!("tensor {} {r}", tensor.name()))?.values;
        let alone = values.len() == 1;
        let largest = f16::MAX.to_f32();
        let beyond = |v: &f32| v.is_finite() && f16::from_f32(*v).is_infinite();
        let vanishes = |v: &f32| *v != 0.0 && f16::from_f32(*v) == f16::ZERO;
        // Small weights beside large ones may vanish; an ε alone may not.
        let fits = if alone { !values.iter().any(vanishes) } else { !values.iter().any(beyond) };
        let clamped = values.iter().map(|v| if beyond(v) { v.clamp(-largest, largest) } else { *v });
        let raw: Vec<u8> = clamped.flat_map(|v| f16::from_f32(v).to_le_bytes()).collect();
        let half = TensorProto {
            data_type: Some(DataType::Float16 as i32),
            float_data: Vec::new(),
            raw_data: Some(Bytes::from(raw)),
            ..tensor.clone()
        };
        Ok(Self { single: tensor.clone(), half, fits })
    }
}

fn cast(from: &str, to: &str, precision: Precision) -> NodeProto {
    let element = if precision == Half { DataType::Float16 } else { DataType::Float };
    build::node("Cast", &[from], &[to], vec![build::attr_int("to", element as i64)])
}

fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|a: &&AttributeProto| a.name() == name).map(|a| a.i())
}

fn is_float(tensor: &TensorProto) -> bool {
    tensor.data_type() == DataType::Float as i32
}

fn element(value: &super::proto::ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor.elem_type()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Dim, node, tensor_f32, tensor_i64, value};
    use super::super::proto::tensor_proto::DataLocation;
    use super::*;

    fn graph(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> ModelProto {
        build::model(GraphProto {
            input: vec![value("x", DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)])],
            output: vec![value("y", DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)])],
            initializer: constants,
            node: nodes,
            ..Default::default()
        })
    }

    /// Each node as `op(inputs) output`.
    fn shown(model: &ModelProto) -> Vec<String> {
        let nodes = &model.graph.as_ref().unwrap().node;
        nodes.iter().map(|n| format!("{}({}) {}", n.op_type(), n.input.join(","), n.output.join(","))).collect()
    }

    fn element_of(model: &ModelProto, name: &str) -> i32 {
        model.graph.as_ref().unwrap().initializer.iter().find(|t| t.name() == name).unwrap().data_type()
    }

    fn weights() -> TensorProto {
        tensor_f32("w", &[2, 2], &[1.0, 2.0, 3.0, 1e-9])
    }

    #[test]
    fn products_are_halved_between_casts_and_the_ends_keep_their_types() {
        let nodes = vec![node("MatMul", &["x", "w"], &["a"], vec![]), node("Relu", &["a"], &["y"], vec![])];
        let model = to_half(graph(nodes, vec![weights()]), &HashSet::new(), "m").unwrap();
        assert_eq!(shown(&model), ["Cast(x) x/f16", "MatMul(x/f16,w/f16) a", "Relu(a) y/f16", "Cast(y/f16) y"]);
        assert_eq!(element_of(&model, "w/f16"), DataType::Float16 as i32);
        assert_eq!(model.graph.unwrap().initializer.len(), 1);
    }

    #[test]
    fn a_layer_normalisation_written_out_stays_whole_in_32_bits() {
        let nodes = vec![
            node("MatMul", &["x", "w"], &["a"], vec![]),
            node("ReduceMean", &["a"], &["mean"], vec![]),
            node("Sub", &["a", "mean"], &["d"], vec![]),
            node("Pow", &["d", "two"], &["square"], vec![]),
            node("ReduceMean", &["square"], &["variance"], vec![]),
            node("Add", &["variance", "eps"], &["safe"], vec![]),
            node("Sqrt", &["safe"], &["root"], vec![]),
            node("Div", &["d", "root"], &["n"], vec![]),
            node("Mul", &["n", "gamma"], &["scaled"], vec![]),
            node("Add", &["scaled", "a"], &["y"], vec![]),
        ];
        let constants = vec![
            weights(),
            tensor_f32("two", &[], &[2.0]),
            tensor_f32("eps", &[], &[1e-12]),
            tensor_f32("gamma", &[2], &[1.0, 1.0]),
        ];
        let model = to_half(graph(nodes, constants), &HashSet::new(), "m").unwrap();
        assert_eq!(
            shown(&model)[2..],
            [
                "Cast(a) a/f32",
                "ReduceMean(a/f32) mean",
                "Sub(a/f32,mean) d",
                "Pow(d,two) square",
                "ReduceMean(square) variance",
                "Add(variance,eps) safe",
                "Sqrt(safe) root",
                "Div(d,root) n",
                "Mul(n,gamma) scaled",
                "Cast(scaled) scaled/f16",
                "Add(scaled/f16,a) y/f16",
                "Cast(y/f16) y",
            ]
        );
    }

    #[test]
    fn a_mask_is_clamped_and_an_epsilon_is_not_lost() {
        let nodes = vec![
            node("MatMul", &["x", "w"], &["a"], vec![]),
            node("Mul", &["a", "mask"], &["b"], vec![]),
            node("Add", &["b", "eps"], &["y"], vec![]),
        ];
        let constants = vec![weights(), tensor_f32("mask", &[], &[-1e9]), tensor_f32("eps", &[1], &[1e-12])];
        let model = to_half(graph(nodes, constants), &HashSet::new(), "m").unwrap();
        assert_eq!(shown(&model)[2..], ["Mul(a,mask/f16) b", "Cast(b) b/f32", "Add(b/f32,eps) y"]);
        let graph = model.graph.unwrap();
        let mask = graph.initializer.iter().find(|t| t.name() == "mask/f16").unwrap();
        assert_eq!(mask.raw_data.as_deref(), Some(&f16::MIN.to_le_bytes()[..]));
    }

    #[test]
    fn integers_constants_and_what_a_graph_does_with_shapes_stay() {
        let filled = AttributeProto { t: Some(tensor_f32("", &[1], &[7.0])), ..build::attr_int("value", 0) };
        let nodes = vec![
            NodeProto { name: Some("c".into()), ..node("Constant", &[], &["c"], vec![filled.clone()]) },
            node("Shape", &["x"], &["shape"], vec![]),
            node("ConstantOfShape", &["shape"], &["fill"], vec![filled]),
            node("MatMul", &["x", "w"], &["a"], vec![]),
            node("Gather", &["a", "index"], &["g"], vec![]),
            node("Add", &["g", "fill"], &["sum"], vec![]),
            node("Mul", &["sum", "c"], &["y"], vec![]),
        ];
        let model =
            to_half(graph(nodes, vec![weights(), tensor_i64("index", &[1], &[0])]), &HashSet::new(), "m").unwrap();
        assert_eq!(
            shown(&model),
            [
                "Shape(x) shape",
                "ConstantOfShape(shape) fill",
                "Cast(x) x/f16",
                "MatMul(x/f16,w/f16) a",
                "Gather(a,index) g",
                "Cast(fill) fill/f16",
                "Add(g,fill/f16) sum",
                "Mul(sum,c/f16) y/f16",
                "Cast(y/f16) y",
            ]
        );
        assert_eq!(element_of(&model, "index"), DataType::Int64 as i32);
    }

    #[test]
    fn what_cannot_be_halved_is_refused_with_the_reason() {
        let refused = |model: ModelProto| to_half(model, &HashSet::new(), "m").unwrap_err().to_string();
        let relu = || node("Relu", &["x"], &["y"], vec![]);
        assert!(refused(graph(vec![relu()], vec![])).contains("no matrix product"));
        let quantised = node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"], vec![]);
        assert!(refused(graph(vec![quantised], vec![])).contains("quantised"));
        let branch = AttributeProto { g: Some(GraphProto::default()), ..build::attr_int("then_branch", 0) };
        assert!(refused(graph(vec![node("If", &["x"], &["y"], vec![branch])], vec![])).contains("subgraphs"));
        let outside = TensorProto { data_location: Some(DataLocation::External as i32), ..weights() };
        assert!(refused(graph(vec![relu()], vec![outside])).contains("other files"));
        let damaged = TensorProto { dims: vec![7], ..weights() };
        assert!(refused(graph(vec![relu()], vec![damaged])).contains("tensor w"));
    }
}
