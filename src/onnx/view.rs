//! A graph as plain values, for those who compute with it: nothing of the protobuf is left.

use std::collections::{BTreeMap, HashMap};

use half::{bf16, f16};

use super::external::is_external;
use super::opset::opset;
use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::DataType;
use super::proto::{AttributeProto, ModelProto, NodeProto, TensorProto};
use super::signature::{Port, signature};
use super::tensor::{FloatTensor, IntTensor, raw, read_floats, sizes};

/// The top level of a model's graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GraphView {
    /// Version of the standard operators.
    pub opset: i64,
    /// What must be fed; constants are not among them.
    pub inputs: Vec<Port>,
    /// The names of what the graph gives.
    pub outputs: Vec<String>,
    /// In an order in which they can run.
    pub nodes: Vec<NodeView>,
    /// Initializers and the values of `Constant` nodes, which are not among the nodes.
    pub constants: HashMap<String, Constant>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeView {
    /// The operator.
    pub op: String,
    /// The operator set it is from; empty for the standard.
    pub domain: String,
    /// The node's own name, or else that of its first output.
    pub name: String,
    /// The tensors it reads; empty names stand for inputs that are left out.
    pub inputs: Vec<String>,
    /// The tensors it gives; empty names stand for outputs that nobody reads.
    pub outputs: Vec<String>,
    /// By name.
    pub attributes: BTreeMap<String, AttributeView>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeView {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// A text.
    Text(String),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// A tensor.
    Tensor(Constant),
    /// A subgraph, a sparse tensor, or whatever else there is.
    Other,
}

/// A constant tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// 32-bit floats.
    Float(FloatTensor),
    /// Floats of 16 or 64 bits, as the nearest of 32: to be read, but not to be written back.
    OtherFloat(FloatTensor),
    /// Integers of 64 bits.
    Int(IntTensor),
    /// Integers of other sizes.
    OtherInt(IntTensor),
    /// Truth values, as 0 and 1.
    Bool(IntTensor),
    /// Nothing to compute with, and why.
    Unreadable(String),
}

/// The graph of `model`; empty when it has none.
pub fn view(model: &ModelProto) -> GraphView {
    let Some(graph) = &model.graph else { return GraphView::default() };
    let mut constants: HashMap<String, Constant> =
        graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), constant(tensor))).collect();
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    constants.extend(sparse.map(|t| (t.name().to_owned(), Constant::Unreadable("is sparse".into()))));
    let mut nodes = Vec::with_capacity(graph.node.len());
    for node in &graph.node {
        match (node.op_type(), &node.output[..], &node.attribute[..]) {
            ("Constant", [output], [value]) => {
                constants.insert(output.clone(), listed(value));
            }
            _ => nodes.push(viewed(node)),
        }
    }
    let outputs = graph.output.iter().map(|v| v.name().to_owned()).collect();
    GraphView { opset: opset(model), inputs: signature(model).inputs, outputs, nodes, constants }
}

fn viewed(node: &NodeProto) -> NodeView {
    let first = node.output.first().map_or("", String::as_str);
    let domain = if node.domain() == "ai.onnx" { "" } else { node.domain() };
    NodeView {
        op: node.op_type().to_owned(),
        domain: domain.to_owned(),
        name: if node.name().is_empty() { first } else { node.name() }.to_owned(),
        inputs: node.input.clone(),
        outputs: node.output.clone(),
        attributes: node.attribute.iter().map(|a| (a.name().to_owned(), attribute(a))).collect(),
    }
}

fn attribute(attribute: &AttributeProto) -> AttributeView {
    match attribute.r#type() {
        AttributeType::Int => AttributeView::Int(attribute.i()),
        AttributeType::Float => AttributeView::Float(attribute.f()),
        AttributeType::String => AttributeView::Text(String::from_utf8_lossy(attribute.s()).into_owned()),
        AttributeType::Ints => AttributeView::Ints(attribute.ints.clone()),
        AttributeType::Floats => AttributeView::Floats(attribute.floats.clone()),
        AttributeType::Tensor => {
            attribute.t.as_ref().map_or(AttributeView::Other, |t| AttributeView::Tensor(constant(t)))
        }
        _ => AttributeView::Other,
    }
}

/// The value of a `Constant` node.
fn listed(value: &AttributeProto) -> Constant {
    let floats = |dims, values| Constant::Float(FloatTensor { dims, values });
    let ints = |dims, values| Constant::Int(IntTensor { dims, values });
    match (value.name(), attribute(value)) {
        (_, AttributeView::Tensor(constant)) => constant,
        (_, AttributeView::Float(v)) => floats(Vec::new(), vec![v]),
        (_, AttributeView::Floats(v)) => floats(vec![v.len()], v),
        (_, AttributeView::Int(v)) => ints(Vec::new(), vec![v]),
        (_, AttributeView::Ints(v)) => ints(vec![v.len()], v),
        (name, _) => Constant::Unreadable(format!("is given by {name}")),
    }
}

fn constant(tensor: &TensorProto) -> Constant {
    read(tensor).unwrap_or_else(Constant::Unreadable)
}

fn read(tensor: &TensorProto) -> Result<Constant, String> {
    if is_external(tensor) {
        return Err("is stored in another file".into());
    }
    let kind = DataType::try_from(tensor.data_type()).unwrap_or(DataType::Undefined);
    let small = || tensor.int32_data.iter().map(|&v| i64::from(v)).collect::<Vec<i64>>();
    // Of 16 bits, what is listed lies in the lower half.
    let low = || tensor.int32_data.iter().map(|&v| v as u16).collect::<Vec<u16>>();
    let float = |values: Vec<f32>| Ok::<_, String>(FloatTensor { dims: sizes(tensor, values.len())?, values });
    let int = |values: Vec<i64>| Ok::<_, String>(IntTensor { dims: sizes(tensor, values.len())?, values });
    Ok(match kind {
        DataType::Float => Constant::Float(read_floats(tensor)?),
        DataType::Double => Constant::OtherFloat(float(match raw::<8>(tensor)? {
            Some(chunks) => chunks.iter().map(|&b| f64::from_le_bytes(b) as f32).collect(),
            None => tensor.double_data.iter().map(|&v| v as f32).collect(),
        })?),
        DataType::Float16 | DataType::Bfloat16 => {
            let bits = match raw::<2>(tensor)? {
                Some(chunks) => chunks.iter().map(|&b| u16::from_le_bytes(b)).collect(),
                None => low(),
            };
            let half = |bits: u16| match kind {
                DataType::Float16 => f16::from_bits(bits).to_f32(),
                _ => bf16::from_bits(bits).to_f32(),
            };
            Constant::OtherFloat(float(bits.into_iter().map(half).collect())?)
        }
        DataType::Int64 => Constant::Int(int(match raw::<8>(tensor)? {
            Some(chunks) => chunks.iter().map(|&b| i64::from_le_bytes(b)).collect(),
            None => tensor.int64_data.clone(),
        })?),
        DataType::Int32 => Constant::OtherInt(int(match raw::<4>(tensor)? {
            Some(chunks) => chunks.iter().map(|&b| i64::from(i32::from_le_bytes(b))).collect(),
            None => small(),
        })?),
        DataType::Uint8 | DataType::Int8 | DataType::Bool => {
            let wide = |[b]: &[u8; 1]| if kind == DataType::Int8 { i64::from(*b as i8) } else { i64::from(*b) };
            let values = int(raw::<1>(tensor)?.map_or_else(small, |chunks| chunks.iter().map(wide).collect()))?;
            if kind == DataType::Bool { Constant::Bool(values) } else { Constant::OtherInt(values) }
        }
        kind => return Err(format!("is of type {}", kind.as_str_name())),
    })
}

#[cfg(test)]
mod tests {
    use super::super::GraphBuilder;
    use super::super::build::{self, Dim};
    use super::*;

    #[test]
    fn a_graph_is_plain_values() {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", DataType::Float, &[Dim::Named("n")]);
        graph.tensor_f32("w", &[2], &[1.0, 2.0]);
        graph.node("Constant", &[], "k", vec![build::attr_ints("value_ints", &[3, 4])]);
        graph.node("Mul", &["x", "w"], "y", vec![build::attr_string("mode", "fast")]);
        graph.output("y", DataType::Float, &[]);
        let view = view(&graph.finish());
        assert_eq!(view.opset, build::OPSET);
        assert_eq!((view.nodes.len(), view.outputs), (1, vec!["y".to_owned()]));
        assert_eq!(view.nodes[0].attributes["mode"], AttributeView::Text("fast".into()));
        assert_eq!(view.constants["k"], Constant::Int(IntTensor { dims: vec![2], values: vec![3, 4] }));
        assert_eq!(view.constants["w"], Constant::Float(FloatTensor { dims: vec![2], values: vec![1.0, 2.0] }));
    }

    #[test]
    fn every_element_type_is_read_as_its_values() {
        let dims = [2];
        let of = |kind, raw: &[u8]| constant(&build::tensor("t", &dims, kind, raw.to_vec()));
        let floats = |values: [f32; 2]| Constant::OtherFloat(FloatTensor { dims: vec![2], values: values.into() });
        let ints = |values: [i64; 2]| IntTensor { dims: vec![2], values: values.into() };
        assert_eq!(of(DataType::Float16, &[0, 0x3c, 0, 0xc0]), floats([1.0, -2.0]));
        assert_eq!(of(DataType::Bfloat16, &[0x80, 0x3f, 0, 0xc0]), floats([1.0, -2.0]));
        let doubles: Vec<u8> = [1.5_f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(of(DataType::Double, &doubles), floats([1.5, -2.0]));
        assert_eq!(of(DataType::Int8, &[255, 3]), Constant::OtherInt(ints([-1, 3])));
        assert_eq!(of(DataType::Uint8, &[255, 3]), Constant::OtherInt(ints([255, 3])));
        assert_eq!(of(DataType::Bool, &[1, 0]), Constant::Bool(ints([1, 0])));
        assert_eq!(of(DataType::Int32, &[255, 255, 255, 255, 7, 0, 0, 0]), Constant::OtherInt(ints([-1, 7])));
        assert!(matches!(of(DataType::Complex64, &[0; 16]), Constant::Unreadable(_)));
        assert!(matches!(of(DataType::Float, &[0; 4]), Constant::Unreadable(_)));
    }
}
