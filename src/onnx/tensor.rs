//! Reading constants back out of a graph, and telling whether two graphs compute alike.

use super::build;
use super::opset::opset;
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

/// A constant i64 tensor: its dimensions, and the values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct IntTensor {
    /// Sizes; their product is the number of values.
    pub dims: Vec<usize>,
    /// Row-major.
    pub values: Vec<i64>,
}

/// The graph's constant `name`, or the reason why it cannot be had: it is not there, not f32, stored outside of the
/// file, or its values are more or fewer than its dimensions say.
///
/// # Errors
/// The reason, for the caller to put the file's name to.
pub fn float_constant(model: &ModelProto, name: &str) -> Result<FloatTensor, String> {
    read_floats(constant(model, name)?).map_err(|reason| format!("tensor {name} {reason}"))
}

/// As [`float_constant`], for i64.
///
/// # Errors
/// As [`float_constant`].
pub fn int_constant(model: &ModelProto, name: &str) -> Result<IntTensor, String> {
    let read = |tensor: &TensorProto| {
        check_element(tensor, DataType::Int64, "i64")?;
        let values = match raw::<8>(tensor)? {
            Some(chunks) => chunks.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
            None => tensor.int64_data.clone(),
        };
        Ok(IntTensor { dims: sizes(tensor, values.len())?, values })
    };
    read(constant(model, name)?).map_err(|reason: String| format!("tensor {name} {reason}"))
}

fn constant<'a>(model: &'a ModelProto, name: &str) -> Result<&'a TensorProto, String> {
    let mut constants = model.graph.iter().flat_map(|g| &g.initializer);
    constants.find(|t| t.name() == name).ok_or_else(|| format!("it has no tensor {name}"))
}

/// The values of one tensor, or what is wrong with it.
pub(super) fn read_floats(tensor: &TensorProto) -> Result<FloatTensor, String> {
    check_element(tensor, DataType::Float, "f32")?;
    let values: Vec<f32> = match raw::<4>(tensor)? {
        Some(chunks) => chunks.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        None => tensor.float_data.clone(),
    };
    Ok(FloatTensor { dims: sizes(tensor, values.len())?, values })
}

fn check_element(tensor: &TensorProto, element: DataType, name: &str) -> Result<(), String> {
    if tensor.data_type() != element as i32 {
        return Err(format!("is of element type {}, not {name}", tensor.data_type()));
    }
    if tensor.data_location() == DataLocation::External {
        return Err("is stored in another file".into());
    }
    Ok(())
}

/// The raw bytes in pieces of an element's size, if the values are stored so.
pub(super) fn raw<const SIZE: usize>(tensor: &TensorProto) -> Result<Option<&[[u8; SIZE]]>, String> {
    match &tensor.raw_data {
        Some(raw) if raw.len() % SIZE != 0 => Err(format!("has {} bytes, not a multiple of {SIZE}", raw.len())),
        raw => Ok(raw.as_ref().map(|raw| raw.as_chunks::<SIZE>().0)),
    }
}

/// The dimensions, which must ask for `values` values.
pub(super) fn sizes(tensor: &TensorProto, values: usize) -> Result<Vec<usize>, String> {
    let sizes = tensor.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<Vec<usize>>>();
    let count = sizes.as_ref().and_then(|sizes| sizes.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)));
    let (Some(dims), Some(count)) = (sizes, count) else {
        return Err(format!("has impossible dimensions {:?}", tensor.dims));
    };
    if values != count {
        return Err(format!("has {values} values where its dimensions {dims:?} ask for {count}"));
    }
    Ok(dims)
}

/// Gives the constant f32 tensor `name` other values, as many as it had.
///
/// # Errors
/// The reason, when there is no such constant or its size differs.
pub fn replace_constant(model: &mut ModelProto, name: &str, values: &[f32]) -> Result<(), String> {
    let known = float_constant(model, name)?;
    if known.values.len() != values.len() {
        return Err(format!("tensor {name} has {} values, not {}", known.values.len(), values.len()));
    }
    let dims: Vec<i64> = known.dims.iter().map(|&n| n as i64).collect();
    let tensors = model.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
    if let Some(tensor) = tensors.into_iter().find(|tensor| tensor.name() == name) {
        *tensor = build::tensor_f32(name, &dims, values);
    }
    Ok(())
}

/// Whether two models have the same version of the standard operators, inputs, outputs and nodes. Constants are compared by name only.
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
        && opset(a) == opset(b)
        && (&one.input, &one.output) == (&two.input, &two.output)
        && names(&one.initializer) == names(&two.initializer)
}

#[cfg(test)]
mod tests {
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
        let ints = build::tensor_i64("v", &[2], &[-3, 4]);
        let read = |tensor: TensorProto| int_constant(&model(tensor), "v");
        assert_eq!(read(ints.clone()), Ok(IntTensor { dims: vec![2], values: vec![-3, 4] }));
        assert!(
            read(TensorProto { raw_data: Some(vec![0; 12].into()), ..ints.clone() }).unwrap_err().contains("12 bytes")
        );
        assert!(read(TensorProto { dims: vec![3], ..ints }).unwrap_err().contains("ask for 3"));
        assert!(read(build::tensor_f32("v", &[1], &[1.0])).unwrap_err().contains("not i64"));
        let external = TensorProto { data_location: Some(DataLocation::External as i32), ..good };
        assert!(reason(external).contains("another file"));
    }
}
