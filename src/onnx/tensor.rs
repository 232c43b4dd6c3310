//! Reading constants back out of a graph, and telling whether two graphs compute alike.

use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::{ModelProto, TensorProto};

/// A constant f32 tensor: its dimensions, and the values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatTensor {
    /// Sizes; their product is the number of values.
    pub dims: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// The graph's constant `name`, or the reason why it cannot be had: it is not there, not f32, stored outside of the
/// file, or its values are more or fewer than its dimensions say.
///
/// # Errors
/// The reason, for the caller to put the file's name to.
pub fn float_constant(model: &ModelProto, name: &str) -> Result<FloatTensor, String> {
    let constants = model.graph.iter().flat_map(|g| &g.initializer);
    let tensor = constants.into_iter().find(|t| t.name() == name).ok_or_else(|| format!("it has no tensor {name}"))?;
    read_floats(tensor).map_err(|reason| format!("tensor {name} {reason}"))
}

/// The values of one tensor, or what is wrong with it.
pub(super) fn read_floats(tensor: &TensorProto) -> Result<FloatTensor, String> {
    if tensor.data_type() != DataType::Float as i32 {
        return Err(format!("is of element type {}, not f32", tensor.data_type()));
    }
    if tensor.data_location() == DataLocation::External {
        return Err("is stored in another file".into());
    }
    let sizes = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<usize>>>();
    let count = sizes.as_ref().and_then(|sizes| sizes.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)));
    let (Some(dims), Some(count)) = (sizes, count) else {
        return Err(format!("has impossible dimensions {:?}", tensor.dims));
    };
    let values: Vec<f32> = match &tensor.raw_data {
        Some(raw) if raw.len() % 4 != 0 => return Err(format!("has {} bytes, not a multiple of 4", raw.len())),
        Some(raw) => raw.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        None => tensor.float_data.clone(),
    };
    if values.len() != count {
        return Err(format!("has {} values where its dimensions {dims:?} ask for {count}", values.len()));
    }
    Ok(FloatTensor { dims, values })
}

/// Whether two models have the same operator set, inputs, outputs and nodes. Constants are compared by name only.
pub fn same_computation(a: &ModelProto, b: &ModelProto) -> bool {
    let (Some(one), Some(two)) = (&a.graph, &b.graph) else { return false };
    let nodes = one.node.iter().zip(&two.node).all(|(x, y)| {
        x.op_type() == y.op_type()
            && x.domain() == y.domain()
            && (&x.input, &x.output, &x.attribute) == (&y.input, &y.output, &y.attribute)
    });
    let names = |constants: &[TensorProto]| constants.iter().map(|t| t.name().to_owned()).collect::<Vec<_>>();
    nodes
        && one.node.len() == two.node.len()
        && a.opset_import == b.opset_import
        && (&one.input, &one.output) == (&two.input, &two.output)
        && names(&one.initializer) == names(&two.initializer)
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::proto::GraphProto;
    use super::*;

    fn model(tensor: TensorProto) -> ModelProto {
        build::model(GraphProto { initializer: vec![tensor], ..Default::default() })
    }

    #[test]
    fn values_come_back_from_both_encodings() {
        let raw = build::tensor_f32("w", &[2, 1], &[1.5, -2.0]);
        let listed = TensorProto { raw_data: None, float_data: vec![1.5, -2.0], ..raw.clone() };
        let want = FloatTensor { dims: vec![2, 1], values: vec![1.5, -2.0] };
        assert_eq!(float_constant(&model(raw), "w"), Ok(want.clone()));
        assert_eq!(float_constant(&model(listed), "w"), Ok(want));
    }

    #[test]
    fn broken_tensors_are_refused() {
        let good = build::tensor_f32("w", &[2], &[1.0, 2.0]);
        let reason = |tensor: TensorProto| float_constant(&model(tensor), "w").unwrap_err();
        assert!(reason(TensorProto { dims: vec![3], ..good.clone() }).contains("ask for 3"));
        assert!(reason(TensorProto { dims: vec![-1], ..good.clone() }).contains("impossible"));
        assert!(reason(TensorProto { dims: vec![i64::MAX, i64::MAX], ..good.clone() }).contains("impossible"));
        assert!(reason(TensorProto { raw_data: Some(vec![0; 7].into()), ..good.clone() }).contains("7 bytes"));
        assert!(reason(build::tensor_i64("w", &[1], &[1])).contains("not f32"));
        assert!(reason(TensorProto { name: Some("v".into()), ..good.clone() }).contains("no tensor w"));
        let external = TensorProto { data_location: Some(DataLocation::External as i32), ..good };
        assert!(reason(external).contains("another file"));
    }
}
