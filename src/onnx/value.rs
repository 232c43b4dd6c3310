//! The values of a tensor of whatever type, outside of a graph.

use prost::bytes::Bytes;

use super::every_tensor::raw_bytes;
use super::external::is_external;
use super::proto::TensorProto;
use super::proto::tensor_proto::DataType;

/// A tensor: its type, its dimensions, its values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Type of the elements.
    pub element: DataType,
    /// Sizes; their product is the number of values.
    pub dims: Vec<usize>,
    /// The values.
    pub data: Data,
}

/// Values of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Numbers as ONNX stores them raw: little-endian, of types below eight bits several in a byte.
    Numbers(Vec<u8>),
    /// Texts.
    Texts(Vec<String>),
}

impl Value {
    /// The values of a tensor, or what is wrong with it.
    ///
    /// # Errors
    /// The reason: it lies in another file, has another size than its dimensions ask for, or is of an unknown type.
    pub fn of(tensor: &TensorProto) -> Result<Self, String> {
        let reason = |what: String| format!("tensor {} {what}", tensor.name());
        if is_external(tensor) {
            return Err(reason("is stored in another file".to_owned()));
        }
        let element = DataType::try_from(tensor.data_type()).map_err(|e| reason(e.to_string()))?;
        let sizes = tensor.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
        let dims = sizes.map_err(|_| reason(format!("has impossible dimensions {:?}", tensor.dims)))?;
        if element == DataType::String {
            let texts = tensor.string_data.iter().map(|text| String::from_utf8(text.to_vec()));
            let texts = texts.collect::<Result<Vec<_>, _>>().map_err(|e| reason(e.to_string()))?;
            let count = dims.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
            return match count == Some(texts.len()) {
                true => Ok(Self { element, dims, data: Data::Texts(texts) }),
                false => Err(reason(format!("has {} texts, which its dimensions {dims:?} do not fill", texts.len()))),
            };
        }
        let bytes = match &tensor.raw_data {
            Some(raw) if !raw.is_empty() => raw.to_vec(),
            _ => listed(tensor, element),
        };
        match raw_bytes(tensor) {
            Some(wanted) if wanted == bytes.len() as u64 => Ok(Self { element, dims, data: Data::Numbers(bytes) }),
            _ => Err(reason(format!("of {element:?} has {} bytes, which {dims:?} do not fill", bytes.len()))),
        }
    }

    /// The same as a constant of a graph.
    pub(super) fn to_tensor(&self, name: &str) -> TensorProto {
        let (raw_data, string_data) = match &self.data {
            Data::Numbers(bytes) => (Some(Bytes::copy_from_slice(bytes)), Vec::new()),
            Data::Texts(texts) => (None, texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()),
        };
        TensorProto {
            name: Some(name.to_owned()),
            dims: self.dims.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect(),
            data_type: Some(self.element as i32),
            raw_data,
            string_data,
            ..Default::default()
        }
    }

    /// Bytes of its numbers, or of its texts.
    pub fn bytes(&self) -> usize {
        match &self.data {
            Data::Numbers(bytes) => bytes.len(),
            Data::Texts(texts) => texts.iter().map(String::len).sum(),
        }
    }
}

/// The raw bytes of values that are listed: which list, and how much of its numbers, depends on the type.
fn listed(tensor: &TensorProto, element: DataType) -> Vec<u8> {
    use DataType::{
        Bfloat16, Complex64, Complex128, Double, Float, Float16, Int16, Int32, Int64, Uint16, Uint32, Uint64,
    };
    let ints = || tensor.int32_data.iter().map(|value| value.to_le_bytes());
    match element {
        Float | Complex64 => tensor.float_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Double | Complex128 => tensor.double_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Int64 => tensor.int64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Uint64 => tensor.uint64_data.iter().flat_map(|value| value.to_le_bytes()).collect(),
        // Wrapping is not reached: what was written as 64 bits had 32.
        Uint32 => tensor.uint64_data.iter().flat_map(|&value| (value as u32).to_le_bytes()).collect(),
        Int32 => ints().flatten().collect(),
        Int16 | Uint16 | Float16 | Bfloat16 => ints().flat_map(|[a, b, ..]| [a, b]).collect(),
        _ => ints().map(|[a, ..]| a).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{tensor_f32, tensor_string};
    use super::*;

    #[test]
    fn every_form_of_values_is_read() {
        let of = |element: DataType, dims: &[i64], tensor: TensorProto| {
            let tensor = TensorProto { data_type: Some(element as i32), dims: dims.to_vec(), ..tensor };
            Value::of(&tensor).map(|value| value.data)
        };
        let ints = |values: &[i32]| TensorProto { int32_data: values.to_vec(), ..Default::default() };
        let numbers = |bytes: &[u8]| Ok(Data::Numbers(bytes.to_vec()));
        assert_eq!(of(DataType::Int32, &[1], ints(&[-2])), numbers(&[0xfe, 0xff, 0xff, 0xff]));
        assert_eq!(of(DataType::Float16, &[2], ints(&[0x3c00, 0xc000])), numbers(&[0, 0x3c, 0, 0xc0]));
        assert_eq!(of(DataType::Int8, &[2], ints(&[-1, 5])), numbers(&[0xff, 5]));
        assert_eq!(of(DataType::Uint4, &[3], ints(&[0x21, 0x03])), numbers(&[0x21, 0x03]));
        let wide = TensorProto { uint64_data: vec![7], ..Default::default() };
        assert_eq!(of(DataType::Uint32, &[1], wide.clone()), numbers(&[7, 0, 0, 0]));
        assert_eq!(of(DataType::Uint64, &[], wide), numbers(&[7, 0, 0, 0, 0, 0, 0, 0]));
        let reals = TensorProto { float_data: vec![1.0, -1.0], ..Default::default() };
        assert_eq!(of(DataType::Complex64, &[1], reals), numbers(&[0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xbf]));
        assert!(of(DataType::Int32, &[2], ints(&[1])).unwrap_err().contains("do not fill"));
        assert!(of(DataType::Undefined, &[1], ints(&[1])).is_err());
    }

    #[test]
    fn values_become_tensors_again() {
        let texts = tensor_string("t", &[2], &["a".to_owned(), String::new()]);
        for tensor in [tensor_f32("w", &[2, 1], &[1.5, -2.0]), tensor_f32("none", &[0], &[]), texts] {
            assert_eq!(Value::of(&Value::of(&tensor).unwrap().to_tensor(tensor.name())), Value::of(&tensor));
        }
        assert_eq!(Value::of(&tensor_f32("w", &[3], &[1.0; 3])).unwrap().bytes(), 12);
    }
}
