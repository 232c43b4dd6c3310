//! Sessions: a graph that is ready to run on a provider. With `provider` and `runtime`, the only code that knows `ort`.

use std::path::Path;

use half::f16;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::provider::{Device, Provider};
use super::runtime::Runtime;
use crate::error::{Error, Result};

/// One graph on one provider. One session serves one thread at a time.
pub struct Session {
    inner: ort::session::Session,
    selection: RunOptions<HasSelectedOutputs>,
    model: String,
    output: String,
    output_element: TensorElementType,
    provider: Provider,
    inputs: Vec<Input>,
}

/// An input of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its shape; −1 where it is known only at run time.
    pub shape: Vec<i64>,
    element: TensorElementType,
}

/// Values for an input: a shape and as many elements, in C order.
#[derive(Debug, Clone, Copy)]
pub enum Tensor<'a> {
    /// 32-bit floats.
    F32(&'a [usize], &'a [f32]),
    /// Integers; an input of 32-bit integers takes them too.
    I64(&'a [usize], &'a [i64]),
}

impl Session {
    /// Opens a model and selects the one output that `run` returns.
    ///
    /// `threads` is the number of threads of this session (at least 1). With [`Device::Auto`] the second value returned
    /// says what was chosen and why.
    ///
    /// # Errors
    /// [`Error::Device`] when an explicit device cannot run; [`Error::Model`] when the model cannot be loaded, has no
    /// f32 or f16 output of that name, or an input that is neither f32 nor integers.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        output: &str,
        device: Device,
        threads: usize,
    ) -> Result<(Self, Option<String>)> {
        match device {
            Device::Only(provider) => Ok((Self::on(runtime, path, output, provider, threads)?, None)),
            Device::Auto => {
                let cuda = Provider::Cuda(0);
                let status = cuda.status(runtime);
                let tried = match status.problem {
                    None => Self::on(runtime, path, output, cuda, threads).map_err(|e| e.to_string()),
                    // Not a fault: most machines have none.
                    Some(_) if !status.compiled_in => Err(format!("this ONNX Runtime {} has no cuda", runtime.version)),
                    Some(problem) => Err(format!("cuda does not run here: {problem}")),
                };
                match tried {
                    Ok(session) => Ok((session, Some("auto chose cuda: it runs here".to_owned()))),
                    Err(problem) => {
                        let note = format!("auto chose cpu: {problem}");
                        Ok((Self::on(runtime, path, output, Provider::Cpu, threads)?, Some(note)))
                    }
                }
            }
        }
    }

    fn on(runtime: &Runtime, path: &Path, output: &str, provider: Provider, threads: usize) -> Result<Self> {
        let model = path.display().to_string();
        let wrong = |e: ort::Error| Error::model(&model, first_line(e.message()));
        let builder = ort::session::Session::builder(&runtime.environment)
            .map_err(wrong)?
            .with_intra_threads(threads.max(1))
            .map_err(|e| wrong(e.into()))?
            // Spinning threads take the cores that decoding needs.
            .with_intra_op_spinning(false)
            .map_err(|e| wrong(e.into()))?;
        let device = |cause| Error::Device { device: Device::Only(provider).to_string(), cause };
        let registered = builder.with_execution_providers(provider.dispatches());
        let mut builder = registered
            .map_err(|e| device(provider.status(runtime).problem.unwrap_or_else(|| first_line(e.message()))))?;
        // Some providers start only now: whether it is the device or the model that fails, a tiny graph tells.
        let inner = builder.commit_from_file(path).map_err(|e| match provider.status(runtime).problem {
            Some(cause) if provider != Provider::Cpu => device(cause),
            _ => wrong(e),
        })?;
        let Some(found) = inner.outputs().iter().find(|o| o.name() == output) else {
            let names: Vec<&str> = inner.outputs().iter().map(|o| o.name()).collect();
            return Err(Error::model(&model, format!("it has no output {output:?}; there are {}", names.join(", "))));
        };
        let output_element = element(found.dtype());
        if !matches!(output_element, TensorElementType::Float32 | TensorElementType::Float16) {
            let reason = format!("output {output:?} is {}, not a tensor of f32 or f16", found.dtype());
            return Err(Error::model(&model, reason));
        }
        let mut inputs = Vec::new();
        for input in inner.inputs() {
            let element = element(input.dtype());
            if !matches!(element, TensorElementType::Float32 | TensorElementType::Int64 | TensorElementType::Int32) {
                let reason = format!(
                    "input {:?} is {}; inputs of f32, i64 or i32 can be filled: choose another file with --onnx-file, or \
                     export it with such inputs",
                    input.name(),
                    input.dtype()
                );
                return Err(Error::model(&model, reason));
            }
            let shape = input.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default();
            inputs.push(Input { name: input.name().to_owned(), shape, element });
        }
        let selection =
            RunOptions::new().map_err(wrong)?.with_outputs(OutputSelector::no_default().with(output.to_owned()));
        Ok(Self { inner, selection, model, output: output.to_owned(), output_element, provider, inputs })
    }

    /// The provider that was registered for this session.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The graph's inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Runs the graph; returns the shape and the values of the selected output.
    ///
    /// # Errors
    /// [`Error::Model`] with ONNX Runtime's own words.
    pub fn run(&mut self, inputs: &[(&str, Tensor)]) -> Result<(Vec<usize>, Vec<f32>)> {
        let wrong = |e: ort::Error| Error::model(&self.model, first_line(e.message()));
        let mut values: Vec<(&str, SessionInputValue)> = Vec::with_capacity(inputs.len());
        for &(name, tensor) in inputs {
            let value = match tensor {
                Tensor::F32(shape, data) => TensorRef::from_array_view((shape, data)).map_err(wrong)?.into(),
                Tensor::I64(shape, data) if self.is_i32(name) => {
                    let narrow = data.iter().map(|&v| i32::try_from(v)).collect::<Result<Vec<i32>, _>>();
                    let narrow = narrow.map_err(|e| Error::model(&self.model, format!("input {name:?}: {e}")))?;
                    ort::value::Tensor::from_array((shape, narrow)).map_err(wrong)?.into()
                }
                Tensor::I64(shape, data) => TensorRef::from_array_view((shape, data)).map_err(wrong)?.into(),
            };
            values.push((name, value));
        }
        let outputs = self.inner.run_with_options(values, &self.selection).map_err(wrong)?;
        let value = outputs
            .get(&self.output)
            .ok_or_else(|| Error::model(&self.model, format!("no output {:?} came back", self.output)))?;
        let (shape, values) = match self.output_element {
            TensorElementType::Float16 => {
                let (shape, data) = value.try_extract_tensor::<f16>().map_err(wrong)?;
                (shape, data.iter().map(|v| v.to_f32()).collect())
            }
            _ => value.try_extract_tensor::<f32>().map(|(shape, data)| (shape, data.to_vec())).map_err(wrong)?,
        };
        let shape = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        Ok((shape, values))
    }

    fn is_i32(&self, input: &str) -> bool {
        self.inputs.iter().any(|i| i.name == input && i.element == TensorElementType::Int32)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Session").field("model", &self.model).field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// `Undefined` for what is no tensor.
fn element(kind: &ValueType) -> TensorElementType {
    match kind {
        ValueType::Tensor { ty, .. } => *ty,
        _ => TensorElementType::Undefined,
    }
}

/// ONNX Runtime's messages carry stack traces after the first line.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("ONNX Runtime gave no reason").trim().to_owned()
}
