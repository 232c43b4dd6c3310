//! A sample for a model of which nothing is known but its graph.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::onnx::{Data, DataType, Dimension, Port, Value};

/// Height and width of images, where neither the graph nor anything else says them.
const IMAGE: [usize; 2] = [224, 224];
/// Tokens of a text, where the graph leaves their number open.
const TOKENS: usize = 128;
/// Values of an input at most.
const MOST: usize = 1 << 28;

/// How sizes are filled that a graph leaves open: one sample, three channels, and these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenSizes {
    /// Whole shapes, by the names of the inputs.
    pub shapes: HashMap<String, Vec<usize>>,
    /// Height and width of images.
    pub image: Option<[usize; 2]>,
}

/// Values for each input: floats between −1 and 1, and else ones, which are a valid token and a mask that hides nothing.
///
/// # Errors
/// [`Error::Usage`] when a shape is given for no input; [`Error::Model`] when an input is no tensor, its number of dimensions is not
/// known, or it would be too large.
pub(super) fn sample(inputs: &[Port], open: &OpenSizes, name: &str) -> Result<Vec<(String, Value)>> {
    if let Some(stranger) = open.shapes.keys().find(|shape| inputs.iter().all(|input| input.name != **shape)) {
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(Error::Usage(format!("{name} has no input {stranger:?}; there are {}", names.join(", "))));
    }
    let mut random = fastrand::Rng::with_seed(0);
    inputs
        .iter()
        .map(|input| Ok((input.name.clone(), value(input, shape(input, open, name)?, &mut random, name)?)))
        .collect()
}

fn shape(input: &Port, open: &OpenSizes, name: &str) -> Result<Vec<usize>> {
    if let Some(shape) = open.shapes.get(&input.name) {
        return Ok(shape.clone());
    }
    let Some(dims) = &input.shape else {
        let reason = format!(
            "it does not say how many dimensions its input {:?} has: give its shape, such as --shape {}=1x3x224x224",
            input.name, input.name
        );
        return Err(Error::model(name, reason));
    };
    let [height, width] = open.image.unwrap_or(IMAGE);
    let image = dims.len() == 4 && !is_integer(input.element);
    // Channels last where the graph says so.
    let last = image
        && matches!(dims.get(3), Some(Dimension::Fixed(1 | 3)))
        && !matches!(dims.get(1), Some(Dimension::Fixed(1 | 3)));
    let size = |(axis, dim): (usize, &Dimension)| match (dim, axis) {
        (Dimension::Fixed(n), _) => usize::try_from(*n).unwrap_or(1),
        (_, 0) => 1,
        (_, 1) if image => {
            if last {
                height
            } else {
                3
            }
        }
        (_, 2) if image => {
            if last {
                width
            } else {
                height
            }
        }
        (_, 3) if image => width,
        _ => TOKENS,
    };
    Ok(dims.iter().enumerate().map(size).collect())
}

fn is_integer(element: DataType) -> bool {
    matches!(element, DataType::Int64 | DataType::Int32)
}

fn value(input: &Port, dims: Vec<usize>, random: &mut fastrand::Rng, name: &str) -> Result<Value> {
    let refused = |reason: String| Error::model(name, format!("its input {:?} {reason}", input.name));
    let count = dims.iter().try_fold(1_usize, |n, &size| n.checked_mul(size)).filter(|&n| n <= MOST);
    let count = count.ok_or_else(|| refused(format!("of the shape {dims:?} is too large to try")))?;
    let each = |bytes: &[u8]| bytes.repeat(count);
    let numbers = match input.element {
        DataType::Float => (0..count).flat_map(|_| (2.0 * random.f32() - 1.0).to_le_bytes()).collect(),
        DataType::Double => (0..count).flat_map(|_| (2.0 * random.f64() - 1.0).to_le_bytes()).collect(),
        DataType::Float16 => each(&half::f16::ONE.to_le_bytes()),
        DataType::Bfloat16 => each(&half::bf16::ONE.to_le_bytes()),
        DataType::Bool | DataType::Uint8 | DataType::Int8 => each(&[1]),
        DataType::Uint16 | DataType::Int16 => each(&1_u16.to_le_bytes()),
        DataType::Uint32 | DataType::Int32 => each(&1_u32.to_le_bytes()),
        DataType::Uint64 | DataType::Int64 => each(&1_u64.to_le_bytes()),
        DataType::String => {
            return Ok(Value { element: input.element, dims, data: Data::Texts(vec![String::new(); count]) });
        }
        DataType::Undefined => return Err(refused("is no tensor of a known type".to_owned())),
        other => return Err(refused(format!("is of {other:?}, which is not filled here"))),
    };
    Ok(Value { element: input.element, dims, data: Data::Numbers(numbers) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, element: DataType, shape: &[i64]) -> Port {
        let dim = |&n: &i64| if n > 0 { Dimension::Fixed(n) } else { Dimension::Unknown };
        Port { name: name.to_owned(), element, shape: Some(shape.iter().map(dim).collect()) }
    }

    fn shapes(inputs: &[Port], open: &OpenSizes) -> Vec<Vec<usize>> {
        sample(inputs, open, "m").unwrap().into_iter().map(|(_, value)| value.dims).collect()
    }

    #[test]
    fn open_sizes_are_filled() {
        let none = OpenSizes::default();
        let float = |shape: &[i64]| [port("x", DataType::Float, shape)];
        assert_eq!(shapes(&float(&[-1, 3, -1, -1]), &none), [[1, 3, 224, 224]]);
        assert_eq!(shapes(&float(&[-1, -1, -1, 3]), &none), [[1, 224, 224, 3]]);
        assert_eq!(
            shapes(&float(&[-1, 3, 260, -1]), &OpenSizes { image: Some([96, 80]), ..none.clone() }),
            [[1, 3, 260, 80]]
        );
        assert_eq!(shapes(&float(&[4, 7]), &none), [[4, 7]]);
        let text = ["input_ids", "attention_mask"].map(|name| port(name, DataType::Int64, &[-1, -1]));
        assert_eq!(shapes(&text, &none), [[1, 128], [1, 128]]);
        let given = OpenSizes { shapes: HashMap::from([("x".to_owned(), vec![2, 5])]), ..none };
        assert_eq!(shapes(&float(&[-1, -1]), &given), [[2, 5]]);
        let error = sample(&text, &given, "m").unwrap_err().to_string();
        assert!(error.contains("no input \"x\"; there are input_ids, attention_mask"), "{error}");
    }

    #[test]
    fn what_cannot_be_filled_is_said() {
        let told = |port: Port| sample(&[port], &OpenSizes::default(), "m").unwrap_err().to_string();
        assert!(told(Port { shape: None, ..port("x", DataType::Float, &[]) }).contains("--shape x=1x3x224x224"));
        assert!(told(port("x", DataType::Float, &[1 << 20, 1 << 20])).contains("too large"));
        assert!(told(port("x", DataType::Undefined, &[1])).contains("no tensor"));
        let values = sample(&[port("m", DataType::Bool, &[2])], &OpenSizes::default(), "m").unwrap();
        assert_eq!(values[0].1.data, Data::Numbers(vec![1, 1]));
    }
}
