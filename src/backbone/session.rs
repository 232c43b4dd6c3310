//! Sessions: a graph that is ready to run on a provider. With `provider` and `runtime`, the only code that knows `ort`.

use std::path::Path;

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
}

/// Values for an input: a shape and as many elements, in C order.
#[derive(Debug, Clone, Copy)]
pub enum Tensor<'a> {
    /// 32-bit floats.
    F32(&'a [usize], &'a [f32]),
    /// 64-bit integers.
    I64(&'a [usize], &'a [i64]),
}

impl Session {
    /// Opens a model and selects the one output that `run` returns.
    ///
    /// `threads` is the number of threads of this session (at least 1). With [`Device::Auto`] the second value returned
    /// says what was chosen and why.
    ///
    /// # Errors
    /// [`Error::Device`] when an explicit device cannot run; [`Error::Model`] when the model cannot be loaded or has no
    /// f32 output of that name.
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
                let status = Provider::Cuda(0).status(runtime);
                match status.problem {
                    None => {
                        let note = "auto chose cuda: it runs here".to_owned();
                        Ok((Self::on(runtime, path, output, Provider::Cuda(0), threads)?, Some(note)))
                    }
                    Some(problem) => {
                        let note = format!("auto chose cpu: cuda is {problem}");
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
        let mut builder = builder.with_execution_providers(provider.dispatches()).map_err(|e| Error::Device {
            device: Device::Only(provider).to_string(),
            cause: first_line(e.message()),
        })?;
        let inner = builder.commit_from_file(path).map_err(wrong)?;
        let Some(found) = inner.outputs().iter().find(|o| o.name() == output) else {
            let names: Vec<&str> = inner.outputs().iter().map(|o| o.name()).collect();
            return Err(Error::model(&model, format!("it has no output {output:?}; there are {}", names.join(", "))));
        };
        if !matches!(found.dtype(), ValueType::Tensor { ty: TensorElementType::Float32, .. }) {
            return Err(Error::model(&model, format!("output {output:?} is not a float32 tensor")));
        }
        let inputs = inner
            .inputs()
            .iter()
            .map(|i| Input {
                name: i.name().to_owned(),
                shape: i.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default(),
            })
            .collect();
        let selection =
            RunOptions::new().map_err(wrong)?.with_outputs(OutputSelector::no_default().with(output.to_owned()));
        Ok(Self { inner, selection, model, output: output.to_owned(), provider, inputs })
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
                Tensor::I64(shape, data) => TensorRef::from_array_view((shape, data)).map_err(wrong)?.into(),
            };
            values.push((name, value));
        }
        let outputs = self.inner.run_with_options(values, &self.selection).map_err(wrong)?;
        let value = outputs
            .get(&self.output)
            .ok_or_else(|| Error::model(&self.model, format!("no output {:?} came back", self.output)))?;
        let (shape, data) = value.try_extract_tensor::<f32>().map_err(wrong)?;
        let shape = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
        Ok((shape, data.to_vec()))
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Session").field("model", &self.model).field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// ONNX Runtime's messages carry stack traces after the first line.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("ONNX Runtime gave no reason").trim().to_owned()
}
