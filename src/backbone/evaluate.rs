//! Models of whatever inputs and outputs, run once on the CPU: to look into them, and to compute what is constant.

use std::collections::HashMap;
use std::path::Path;

use ort::memory::Allocator;
use ort::session::SessionInputValue;
use ort::value::{DynTensor, DynTensorValueType, TensorElementType, ValueType};

use super::failure::failure;
use super::runtime::Runtime;
use crate::error::{Error, Result};
use crate::onnx::{self, Data, DataType, Model, Value};

/// A model on the CPU that takes tensors of every type and gives all of its outputs.
pub struct Evaluator {
    inner: ort::session::Session,
    model: String,
    // Weights in it are read while the session lives.
    _folder: Option<tempfile::TempDir>,
}

/// What is known of a tensor without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Type of the elements.
    pub element: DataType,
    /// Sizes.
    pub dims: Vec<usize>,
    /// Bytes of its numbers; none of texts.
    pub bytes: Option<usize>,
}

impl Evaluator {
    /// Opens a model's file.
    ///
    /// # Errors
    /// [`Error::Model`] when ONNX Runtime does not load it.
    pub fn open(runtime: &Runtime, path: &Path, threads: usize) -> Result<Self> {
        let model = path.display().to_string();
        let wrong = |e: ort::Error| failure(&model, e.message());
        let mut builder = super::session::builder(runtime, threads).map_err(wrong)?;
        let inner = builder.commit_from_file(path).map_err(wrong)?;
        Ok(Self { inner, model, _folder: None })
    }

    /// Opens a model that is in no file, and called `name` in errors. What it keeps in other files must have been read.
    ///
    /// # Errors
    /// As [`Self::open`]; when the folder for temporary files cannot be written.
    pub fn of(runtime: &Runtime, model: &Model, name: &str, threads: usize) -> Result<Self> {
        if let Some(bytes) = onnx::encoded(model) {
            let wrong = |e: ort::Error| failure(name, e.message());
            let mut builder = super::session::builder(runtime, threads).map_err(wrong)?;
            let inner = builder.commit_from_memory(&bytes).map_err(wrong)?;
            return Ok(Self { inner, model: name.to_owned(), _folder: None });
        }
        let folder = tempfile::tempdir().map_err(Error::io("create", std::env::temp_dir()))?;
        let path = folder.path().join("model.onnx");
        onnx::write_model(model, &path)?;
        let named = |e| match e {
            Error::Model { reason, .. } => Error::model(name, reason),
            other => other,
        };
        let opened = Self::open(runtime, &path, threads).map_err(named)?;
        Ok(Self { model: name.to_owned(), _folder: Some(folder), ..opened })
    }

    /// Runs it; returns every output by name, and nothing for one that is no tensor.
    ///
    /// # Errors
    /// [`Error::Model`] with ONNX Runtime's own words; [`Error::OutOfMemory`].
    pub fn run(&mut self, inputs: &[(&str, &Value)]) -> Result<HashMap<String, Option<Value>>> {
        self.run_with(inputs, read)
    }

    /// As [`Self::run`], for the types and sizes alone.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn outlines(&mut self, inputs: &[(&str, &Value)]) -> Result<HashMap<String, Option<Outline>>> {
        self.run_with(inputs, |tensor| {
            let outline = Outline { element: element(*tensor.data_type()), dims: dims(tensor), bytes: tensor.size() };
            Ok(outline)
        })
    }

    fn run_with<R>(
        &mut self,
        inputs: &[(&str, &Value)],
        mut read: impl FnMut(&DynTensor) -> Result<R, String>,
    ) -> Result<HashMap<String, Option<R>>> {
        let wrong = |e: ort::Error| failure(&self.model, e.message());
        let mut given: Vec<(&str, SessionInputValue)> = Vec::new();
        for (name, value) in inputs {
            given.push((
                name,
                fed(value).map_err(|reason| Error::model(&self.model, format!("input {name:?}: {reason}")))?,
            ));
        }
        let mut found = self.inner.run(given).map_err(wrong)?;
        let names: Vec<String> = found.keys().map(str::to_owned).collect();
        let mut all = HashMap::new();
        for name in names {
            let Some(value) = found.remove(&name) else { continue };
            let result = match value.dtype() {
                ValueType::Tensor { .. } => {
                    let tensor = value.downcast::<DynTensorValueType>().map_err(wrong)?;
                    let result = read(&tensor);
                    Some(result.map_err(|reason| Error::model(&self.model, format!("output {name:?}: {reason}")))?)
                }
                _ => None,
            };
            all.insert(name, result);
        }
        Ok(all)
    }
}

/// `model` (called `name` in errors) with what depends on constants alone as constants, as [`onnx::fold`] says; ONNX Runtime
/// computes them.
///
/// # Errors
/// [`Error::Model`] when the constant part cannot be run.
pub fn fold(runtime: &Runtime, model: Model, name: &str, threads: usize) -> Result<Model> {
    let Some(part) = onnx::constant_part(&model, name)? else { return Ok(model) };
    // What is larger than all that it can be made of is not folded, and need not be copied.
    let most = onnx::largest_folded(&part);
    let mut evaluator = Evaluator::of(runtime, &part, name, threads)?;
    let values = evaluator.run_with(&[], |tensor| match tensor.size() {
        Some(size) if size as u64 > most => Ok(None),
        _ => read(tensor).map(Some),
    })?;
    let values = values.into_iter().filter_map(|(tensor, value)| Some((tensor, value??))).collect();
    Ok(onnx::fold(model, &values))
}

/// The types that ONNX and ONNX Runtime both know; their numbers differ for the newest.
const ELEMENTS: [(DataType, TensorElementType); 26] = [
    (DataType::Float, TensorElementType::Float32),
    (DataType::Uint8, TensorElementType::Uint8),
    (DataType::Int8, TensorElementType::Int8),
    (DataType::Uint16, TensorElementType::Uint16),
    (DataType::Int16, TensorElementType::Int16),
    (DataType::Int32, TensorElementType::Int32),
    (DataType::Int64, TensorElementType::Int64),
    (DataType::String, TensorElementType::String),
    (DataType::Bool, TensorElementType::Bool),
    (DataType::Float16, TensorElementType::Float16),
    (DataType::Double, TensorElementType::Float64),
    (DataType::Uint32, TensorElementType::Uint32),
    (DataType::Uint64, TensorElementType::Uint64),
    (DataType::Bfloat16, TensorElementType::Bfloat16),
    (DataType::Complex64, TensorElementType::Complex64),
    (DataType::Complex128, TensorElementType::Complex128),
    (DataType::Float8e4m3fn, TensorElementType::Float8E4M3FN),
    (DataType::Float8e4m3fnuz, TensorElementType::Float8E4M3FNUZ),
    (DataType::Float8e5m2, TensorElementType::Float8E5M2),
    (DataType::Float8e5m2fnuz, TensorElementType::Float8E5M2FNUZ),
    (DataType::Uint4, TensorElementType::Uint4),
    (DataType::Int4, TensorElementType::Int4),
    (DataType::Float4e2m1, TensorElementType::Float4E2M1),
    (DataType::Uint2, TensorElementType::Uint2),
    (DataType::Int2, TensorElementType::Int2),
    (DataType::Float8e8m0, TensorElementType::Float8E8M0),
];

fn element(of: TensorElementType) -> DataType {
    ELEMENTS.iter().find(|(_, known)| *known == of).map_or(DataType::Undefined, |(element, _)| *element)
}

fn dims(tensor: &DynTensor) -> Vec<usize> {
    tensor.shape().iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect()
}

/// An input of ONNX Runtime's own.
fn fed(value: &Value) -> Result<SessionInputValue<'static>, String> {
    let wrong = |e: ort::Error| e.message().to_owned();
    let bytes = match &value.data {
        Data::Texts(texts) => {
            let tensor = ort::value::Tensor::from_string_array((&value.dims[..], &texts[..])).map_err(wrong)?;
            return Ok(tensor.into());
        }
        Data::Numbers(bytes) => bytes,
    };
    let element = ELEMENTS.iter().find(|(known, _)| *known == value.element).map(|(_, element)| *element);
    let element = element.ok_or_else(|| format!("ONNX Runtime takes no {:?}", value.element))?;
    let mut tensor = DynTensor::new(&Allocator::default(), element, &value.dims[..]).map_err(wrong)?;
    match tensor.size() {
        Some(size) if size == bytes.len() => {}
        size => return Err(format!("{} bytes are given for {size:?}", bytes.len())),
    }
    if !bytes.is_empty() {
        // SAFETY: the tensor was just allocated in this process's memory with as many bytes as are copied.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), tensor.data_ptr_mut().cast::<u8>(), bytes.len()) };
    }
    Ok(tensor.into())
}

fn read(tensor: &DynTensor) -> Result<Value, String> {
    let wrong = |e: ort::Error| e.message().to_owned();
    let element = element(*tensor.data_type());
    let data = match element {
        DataType::String => Data::Texts(tensor.try_extract_strings().map_err(wrong)?.1),
        _ => {
            let pointer = tensor.data_ptr().cast::<u8>();
            let size = tensor.size().ok_or("its size is not known")?;
            if size == 0 || pointer.is_null() {
                Data::Numbers(Vec::new())
            } else if !tensor.memory_info().is_cpu_accessible() {
                return Err("it is not in this process's memory".to_owned());
            } else {
                // SAFETY: ONNX Runtime says that so many bytes are there, and they stay while the tensor is borrowed.
                Data::Numbers(unsafe { std::slice::from_raw_parts(pointer, size) }.to_vec())
            }
        }
    };
    Ok(Value { element, dims: dims(tensor), data })
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Evaluator").field("model", &self.model).finish_non_exhaustive()
    }
}
