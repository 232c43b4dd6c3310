//! Every tensor in a model, wherever it stands, and whether its sizes can be true.

use super::external::is_external;
use super::proto::tensor_proto::DataType;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};

/// More values than a file may hold, even of half a byte each.
const MAX_VALUES: u64 = 1 << 32;

/// The tensors of a model: in graphs, inner graphs, functions and attributes, sparse ones included.
pub(super) fn every_tensor(model: &ModelProto) -> Vec<&TensorProto> {
    Found::of(model).tensors
}

/// Does the same to each of these tensors, and stops where it fails.
pub(super) fn change_every_tensor<E>(
    model: &mut ModelProto,
    change: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    model.graph.iter_mut().try_for_each(|graph| change_graph(graph, change))?;
    for training in &mut model.training_info {
        let mut graphs = training.initialization.iter_mut().chain(&mut training.algorithm);
        graphs.try_for_each(|graph| change_graph(graph, change))?;
    }
    for function in &mut model.functions {
        change_attributes(&mut function.attribute_proto, change)?;
        function.node.iter_mut().try_for_each(|node| change_attributes(&mut node.attribute, change))?;
    }
    Ok(())
}

fn change_graph<E>(
    graph: &mut GraphProto,
    change: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    graph.initializer.iter_mut().try_for_each(&mut *change)?;
    graph.sparse_initializer.iter_mut().try_for_each(|sparse| change_sparse(sparse, change))?;
    graph.node.iter_mut().try_for_each(|node| change_attributes(&mut node.attribute, change))
}

fn change_attributes<E>(
    attributes: &mut [AttributeProto],
    change: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    for attribute in attributes {
        attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(&mut *change)?;
        let mut sparse = attribute.sparse_tensor.iter_mut().chain(&mut attribute.sparse_tensors);
        sparse.try_for_each(|sparse| change_sparse(sparse, change))?;
        attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|graph| change_graph(graph, change))?;
    }
    Ok(())
}

fn change_sparse<E>(
    sparse: &mut SparseTensorProto,
    change: &mut impl FnMut(&mut TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    sparse.values.iter_mut().chain(&mut sparse.indices).try_for_each(change)
}

/// Fails when a tensor says to have other sizes than its values fill. Whoever opens the model next allocates what the
/// sizes ask for.
pub(super) fn check_sizes(model: &ModelProto) -> Result<(), String> {
    let Found { tensors, sparse } = Found::of(model);
    for tensor in tensors {
        check(tensor).map_err(|reason| format!("tensor {} {reason}", tensor.name()))?;
    }
    match sparse.iter().find(|s| count(&s.dims).is_none_or(|n| n > MAX_VALUES)) {
        Some(bad) => Err(format!("a sparse tensor has impossible dimensions {:?}", bad.dims)),
        None => Ok(()),
    }
}

#[derive(Default)]
struct Found<'a> {
    tensors: Vec<&'a TensorProto>,
    sparse: Vec<&'a SparseTensorProto>,
}

impl<'a> Found<'a> {
    fn of(model: &'a ModelProto) -> Self {
        let mut found = Self::default();
        model.graph.iter().for_each(|graph| found.graph(graph));
        for training in &model.training_info {
            training.initialization.iter().chain(&training.algorithm).for_each(|graph| found.graph(graph));
        }
        for function in &model.functions {
            found.attributes(&function.attribute_proto);
            found.nodes(&function.node);
        }
        found
    }

    /// The depth is bounded by the reader's limit of nested messages.
    fn graph(&mut self, graph: &'a GraphProto) {
        self.tensors.extend(&graph.initializer);
        graph.sparse_initializer.iter().for_each(|sparse| self.sparse(sparse));
        self.nodes(&graph.node);
    }

    fn nodes(&mut self, nodes: &'a [NodeProto]) {
        nodes.iter().for_each(|node| self.attributes(&node.attribute));
    }

    fn attributes(&mut self, attributes: &'a [AttributeProto]) {
        for attribute in attributes {
            self.tensors.extend(attribute.t.iter().chain(&attribute.tensors));
            attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors).for_each(|sparse| self.sparse(sparse));
            attribute.g.iter().chain(&attribute.graphs).for_each(|graph| self.graph(graph));
        }
    }

    fn sparse(&mut self, sparse: &'a SparseTensorProto) {
        self.tensors.extend(sparse.values.iter().chain(&sparse.indices));
        self.sparse.push(sparse);
    }
}

fn count(dims: &[i64]) -> Option<u64> {
    dims.iter().try_fold(1_u64, |n, &d| n.checked_mul(u64::try_from(d).ok()?))
}

fn check(tensor: &TensorProto) -> Result<(), String> {
    let count = count(&tensor.dims).ok_or_else(|| format!("has impossible dimensions {:?}", tensor.dims))?;
    if is_external(tensor) {
        return Ok(());
    }
    if let (Some(raw), Some(_)) = (&tensor.raw_data, bits(tensor.data_type())) {
        return match raw_bytes(tensor) == Some(raw.len() as u64) {
            true => Ok(()),
            false => Err(format!("has {} bytes, which its dimensions {:?} do not fill", raw.len(), tensor.dims)),
        };
    }
    let listed = [
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.string_data.len(),
        tensor.int64_data.len(),
        tensor.double_data.len(),
        tensor.uint64_data.len(),
        tensor.raw_data.as_ref().map_or(0, |raw| raw.len()),
    ];
    // Of the smallest types, eight share one number.
    match listed.into_iter().max().unwrap_or(0) as u64 {
        values if count <= values.saturating_mul(8) => Ok(()),
        values => Err(format!("has {values} values where its dimensions {:?} ask for {count}", tensor.dims)),
    }
}

/// How many values a tensor has by its dimensions; 0 where they cannot be.
pub(super) fn values_of(tensor: &TensorProto) -> u64 {
    count(&tensor.dims).unwrap_or(0)
}

/// How many bytes the values of a tensor take; none where its dimensions cannot be, or how its type is packed is not known.
pub(super) fn raw_bytes(tensor: &TensorProto) -> Option<u64> {
    count(&tensor.dims)?.checked_mul(bits(tensor.data_type())?).map(|n| n.div_ceil(8))
}

/// How many bits a value has among raw bytes; none where that is not known.
fn bits(element: i32) -> Option<u64> {
    Some(match DataType::try_from(element).ok()? {
        DataType::Uint8 | DataType::Int8 | DataType::Bool => 8,
        DataType::Float8e4m3fn | DataType::Float8e4m3fnuz | DataType::Float8e5m2 | DataType::Float8e5m2fnuz => 8,
        DataType::Float8e8m0 => 8,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64 => 64,
        DataType::Complex128 => 128,
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => 4,
        DataType::Uint2 | DataType::Int2 => 2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, tensor_f32};
    use super::*;

    fn reason(tensor: TensorProto) -> String {
        let inner = GraphProto { initializer: vec![tensor], ..Default::default() };
        let branch = AttributeProto { g: Some(inner), ..Default::default() };
        let graph = GraphProto { node: vec![build::node("If", &[], &[], vec![branch])], ..Default::default() };
        check_sizes(&build::model(graph)).err().unwrap_or_default()
    }

    #[test]
    fn sizes_that_values_do_not_fill_are_refused() {
        let good = tensor_f32("w", &[2, 2], &[1.0; 4]);
        assert_eq!(reason(good.clone()), "");
        assert_eq!(reason(tensor_f32("w", &[3, 0], &[])), "");
        let nibbles = TensorProto { dims: vec![7], data_type: Some(DataType::Int4 as i32), ..good.clone() };
        assert_eq!(reason(TensorProto { raw_data: Some(vec![0; 4].into()), ..nibbles.clone() }), "");
        assert_eq!(reason(TensorProto { raw_data: None, int32_data: vec![0; 4], ..nibbles }), "");
        for dims in [vec![2], vec![2, 3], vec![1 << 40], vec![1 << 62], vec![]] {
            let reason = reason(TensorProto { dims, ..good.clone() });
            assert!(reason.contains("tensor w has 16 bytes"), "{reason}");
        }
        for dims in [vec![-1], vec![1 << 62, 4], vec![i64::MAX; 5]] {
            let reason = reason(TensorProto { dims, ..good.clone() });
            assert!(reason.contains("impossible"), "{reason}");
        }
        let listed = TensorProto { raw_data: None, float_data: vec![0.0; 4], dims: vec![1 << 40], ..good };
        assert!(reason(listed).contains("has 4 values"));
        let sparse = SparseTensorProto { dims: vec![1 << 62], ..Default::default() };
        let model = build::model(GraphProto { sparse_initializer: vec![sparse], ..Default::default() });
        assert!(check_sizes(&model).unwrap_err().contains("sparse"));
    }
}
