//! Named tensors of a weight file: views into its bytes, each taken once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};

use crate::error::{Error, Result};

/// Torch itself stops at 64 dimensions; no weight here has more than 4.
pub(super) const MAX_DIMENSIONS: usize = 8;

/// What the elements of a stored tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    F16,
    Bf16,
    /// Counters and position numbers: read past, never a weight.
    I64,
}

impl Element {
    pub(super) fn size(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 | Element::Bf16 => 2,
            Element::I64 => 8,
        }
    }
}

/// A strided view of little-endian elements. Every index of `shape` lies inside `bytes`: checked when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor<'a> {
    shape: Vec<usize>,
    strides: Vec<usize>,
    element: Element,
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// A view of row-major elements that fill `bytes`.
    pub(super) fn dense(shape: Vec<usize>, element: Element, bytes: &'a [u8]) -> Result<Self, String> {
        let mut strides = vec![1usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis].checked_mul(shape[axis]).ok_or("more elements than can be counted")?;
        }
        Self::strided(shape, strides, 0, element, bytes)
    }

    /// A view from element `offset` of a storage; `strides` count elements.
    pub(super) fn strided(
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        element: Element,
        storage: &'a [u8],
    ) -> Result<Self, String> {
        let held = storage.len() / element.size();
        if shape.len() > MAX_DIMENSIONS || shape.len() != strides.len() {
            return Err(format!("{} sizes and {} strides", shape.len(), strides.len()));
        }
        // A zero stride could repeat few bytes without limit.
        let elements = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n <= held);
        let last = shape.iter().zip(&strides).try_fold(offset, |at, (&size, &stride)| {
            size.saturating_sub(1).checked_mul(stride).and_then(|step| at.checked_add(step))
        });
        match (elements, last) {
            (Some(0), _) => Ok(Self { shape, strides, element, bytes: &[] }),
            (Some(_), Some(last)) if last < held => {
                let bytes = storage.get(offset * element.size()..).unwrap_or_default();
                Ok(Self { shape, strides, element, bytes })
            }
            _ => Err(format!("shape {shape:?} at offset {offset} goes beyond the {held} elements stored")),
        }
    }

    /// Its elements as f32, row-major; none of another type than the floats.
    pub(super) fn to_f32(&self) -> Option<Vec<f32>> {
        let size = self.element.size();
        let decode: fn(&[u8]) -> f32 = match self.element {
            Element::F32 => |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Element::F16 => |b| f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Element::Bf16 => |b| bf16::from_le_bytes([b[0], b[1]]).to_f32(),
            Element::I64 => return None,
        };
        let mut offsets = vec![0];
        for (&n, &stride) in self.shape.iter().zip(&self.strides) {
            offsets = offsets.iter().flat_map(|o| (0..n).map(move |i| o + i * stride)).collect();
        }
        Some(offsets.iter().map(|o| decode(&self.bytes[o * size..][..size])).collect())
    }
}

/// The tensors of one file by name.
#[derive(Debug)]
pub(super) struct Weights<'a> {
    origin: PathBuf,
    tensors: BTreeMap<String, Tensor<'a>>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(origin: &Path, tensors: impl IntoIterator<Item = (String, Tensor<'a>)>) -> Self {
        Self { origin: origin.to_path_buf(), tensors: tensors.into_iter().collect() }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Removes a tensor and gives its elements, row-major.
    ///
    /// # Errors
    /// When it is missing, of another shape, or not of a float type.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let refuse = |reason: String| Error::malformed(&self.origin, reason);
        let tensor = self.tensors.remove(name).ok_or_else(|| refuse(format!("it has no tensor {name}")))?;
        if tensor.shape != shape {
            return Err(refuse(format!("tensor {name} has shape {:?}, expected {shape:?}", tensor.shape)));
        }
        tensor.to_f32().ok_or_else(|| refuse(format!("tensor {name} holds {:?}, not floats", tensor.element)))
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// When a tensor was left that is not to be `ignored`: the graph is not the one that the weights belong to.
    pub(super) fn finish(self, ignored: impl Fn(&str) -> bool) -> Result<()> {
        let left: Vec<&str> = self.tensors.keys().map(String::as_str).filter(|name| !ignored(name)).collect();
        match left.as_slice() {
            [] => Ok(()),
            [first, ..] => {
                let reason = format!("{} of its tensors have no place in the graph, {first} among them", left.len());
                Err(Error::malformed(&self.origin, reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn strides_are_followed() {
        let data = bytes(&[9.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let transposed = Tensor::strided(vec![3, 2], vec![1, 3], 1, Element::F32, &data).unwrap();
        assert_close(transposed.to_f32().unwrap(), [0.0f32, 3.0, 1.0, 4.0, 2.0, 5.0], Tolerance::Exact);
        let scalar = Tensor::strided(vec![], vec![], 6, Element::F32, &data).unwrap();
        assert_close(scalar.to_f32().unwrap(), [5.0f32], Tolerance::Exact);
        let empty = Tensor::strided(vec![2, 0], vec![1, 1], 99, Element::F32, &data).unwrap();
        assert_eq!(empty.to_f32(), Some(vec![]));
    }

    #[test]
    fn views_beyond_the_bytes_are_refused() {
        let data = bytes(&[0.0; 6]);
        for (shape, strides, offset) in [
            (vec![7], vec![1], 0),
            (vec![6], vec![1], 1),
            (vec![2, 3], vec![4, 1], 0),
            (vec![7], vec![0], 0),
            (vec![usize::MAX, 2], vec![1, 1], 0),
            (vec![2], vec![usize::MAX], 1),
            (vec![1], vec![1], usize::MAX),
            (vec![1, 1], vec![1], 0),
            (vec![1; 9], vec![1; 9], 0),
        ] {
            assert!(Tensor::strided(shape.clone(), strides, offset, Element::F32, &data).is_err(), "{shape:?}");
        }
        assert!(Tensor::dense(vec![1, usize::MAX, usize::MAX], Element::F32, &data).is_err());
    }

    #[test]
    fn half_precision_is_widened() {
        // From numpy: float16 of 1, -2, 65504, the smallest subnormal, the smallest normal, -0, 0.333, infinity.
        let bits = [0x3c00u16, 0xc000, 0x7bff, 0x0001, 0x0400, 0x8000, 0x3554, 0x7c00].map(u16::to_le_bytes);
        let want = [1.0, -2.0, 65504.0, 5.960_464_5e-8, 6.103_515_6e-5, -0.0, 0.333_007_8, f32::INFINITY];
        let half = Tensor::dense(vec![8], Element::F16, bits.as_flattened()).unwrap().to_f32().unwrap();
        assert_eq!(half.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), want.map(f32::to_bits));
        let brain = Tensor::dense(vec![2], Element::Bf16, &[0x80, 0x3f, 0x49, 0xc0]).unwrap();
        assert_close(brain.to_f32().unwrap(), [1.0f32, -3.140_625], Tolerance::Exact);
    }

    #[test]
    fn errors_name_the_tensor() {
        let data = bytes(&[1.0, 2.0]);
        let tensor = || Tensor::dense(vec![2], Element::F32, &data).unwrap();
        let counter = Tensor::dense(vec![1], Element::I64, &data).unwrap();
        let named = [("a", tensor()), ("b", tensor()), ("n", counter)].map(|(name, t)| (name.to_owned(), t));
        let mut weights = Weights::new(Path::new("w.pth"), named);
        assert_eq!(weights.take("c", &[2]).unwrap_err().to_string(), "w.pth is not usable: it has no tensor c");
        assert!(
            weights.take("a", &[1, 2]).unwrap_err().to_string().contains("tensor a has shape [2], expected [1, 2]")
        );
        assert!(weights.take("n", &[1]).unwrap_err().to_string().contains("tensor n holds I64"));
        assert!(weights.finish(|_| false).unwrap_err().to_string().contains("1 of its tensors"));
    }
}
