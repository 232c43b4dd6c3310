//! Sessions: a graph that is ready to run on a provider.

use std::path::Path;

use half::f16;
use ort::session::builder::SessionBuilder;
use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionInputValue, SessionOutputs};
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::assignment::Assignment;
use super::failure::{failure, first_line};
use super::options::{Proof, SessionOptions};
use super::provider::{Device, Provider};
use super::runtime::Runtime;
use super::staging::Staging;
use crate::error::{Error, Result};

/// One graph on one provider. One session serves one thread at a time; on a card, each has a stream of its own, so that
/// one copies while another computes.
pub struct Session {
    // Before `inner`: what it holds belongs to that session.
    staging: Option<Staging>,
    inner: ort::session::Session,
    selection: RunOptions<HasSelectedOutputs>,
    model: String,
    outputs: Vec<Output>,
    device: Device,
    provider: Provider,
    assignment: Assigned,
    inputs: Vec<Input>,
}

/// An output that is returned.
struct Output {
    name: String,
    element: TensorElementType,
}

/// Which outputs are returned, and as what.
#[derive(Clone, Copy)]
enum Wanted<'a> {
    /// One, or several with commas between, side by side.
    Columns(&'a str),
    /// Each by itself.
    Each(&'a [&'a str]),
}

/// What is known of where the nodes run.
enum Assigned {
    /// On the CPU: there is no other provider in the session.
    Certain,
    /// The first batch is being profiled; the profile is written into this folder, which goes with the variant.
    Open {
        _folder: tempfile::TempDir,
    },
    Proved(Assignment),
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

/// What an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// [`Tensor::F32`].
    Float,
    /// [`Tensor::I64`].
    Integer,
    /// [`Tensor::U8`].
    Byte,
}

impl Input {
    /// What it takes.
    pub fn element(&self) -> Element {
        match self.element {
            TensorElementType::Uint8 => Element::Byte,
            TensorElementType::Int32 | TensorElementType::Int64 => Element::Integer,
            _ => Element::Float,
        }
    }
}

/// Values for an input: a shape and as many elements, in C order.
#[derive(Debug, Clone, Copy)]
pub enum Tensor<'a> {
    /// 32-bit floats.
    F32(&'a [usize], &'a [f32]),
    /// Integers; an input of 32-bit integers takes them too.
    I64(&'a [usize], &'a [i64]),
    /// Bytes, such as the pixels for a graph that normalises them itself.
    U8(&'a [usize], &'a [u8]),
}

/// What came back of an output: a shape and as many elements, in C order.
#[derive(Debug, Clone, PartialEq)]
pub enum Computed {
    /// Floats of 32 bits, or of 16 that were widened.
    F32(Vec<usize>, Vec<f32>),
    /// Integers of 64 bits, or of 32 that were widened.
    I64(Vec<usize>, Vec<i64>),
    /// Truth values.
    Bool(Vec<usize>, Vec<bool>),
}

impl Session {
    /// Opens a model and selects the output that `run` returns, or several with commas between, of which it returns the
    /// columns side by side: `[n, a]`, `[n, b]` and `[n]` are `[n, a + b + 1]` together.
    ///
    /// With [`Device::Auto`] the second value returned says what was chosen and why.
    ///
    /// # Errors
    /// [`Error::Device`] when an explicit device cannot run; [`Error::OutOfMemory`] when the model does not fit into its
    /// memory; [`Error::Model`] when the model cannot be loaded, has no f32 or f16 output of that name, or an input that is
    /// none of f32, integers and bytes.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        output: &str,
        options: &SessionOptions,
    ) -> Result<(Self, Option<String>)> {
        Self::choose(runtime, path, Wanted::Columns(output), options)
    }

    /// As [`open`](Self::open), for [`run_each`](Self::run_each): the outputs that are returned one by one, which may be
    /// integers and truth values too.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_each(
        runtime: &Runtime,
        path: &Path,
        outputs: &[&str],
        options: &SessionOptions,
    ) -> Result<(Self, Option<String>)> {
        Self::choose(runtime, path, Wanted::Each(outputs), options)
    }

    fn choose(
        runtime: &Runtime,
        path: &Path,
        output: Wanted,
        options: &SessionOptions,
    ) -> Result<(Self, Option<String>)> {
        match options.device {
            Device::Only(provider) => Ok((Self::on(runtime, path, output, provider, options)?, None)),
            Device::Auto => {
                let cuda = Provider::Cuda(0);
                let status = cuda.status(runtime);
                let tried = match status.problem {
                    None => Self::on(runtime, path, output, cuda, options).map_err(|e| e.to_string()),
                    // Not a fault: most machines have none.
                    Some(_) if !status.compiled_in => Err(format!("this ONNX Runtime {} has no cuda", runtime.version)),
                    Some(problem) => Err(format!("cuda does not run here: {problem}")),
                };
                match tried {
                    Ok(session) => Ok((session, Some("auto chose cuda: it runs here".to_owned()))),
                    Err(problem) => {
                        let note = format!("auto chose cpu: {problem}");
                        Ok((Self::on(runtime, path, output, Provider::Cpu, options)?, Some(note)))
                    }
                }
            }
        }
    }

    fn on(
        runtime: &Runtime,
        path: &Path,
        output: Wanted,
        provider: Provider,
        options: &SessionOptions,
    ) -> Result<Self> {
        let model = path.display().to_string();
        let wrong = |e: ort::Error| failure(&model, e.message());
        let device = |cause| Error::Device { device: Device::Only(provider).to_string(), cause };
        let dispatches = provider.dispatches(runtime, path, options)?;
        let builder = builder(runtime, options.threads).map_err(wrong)?;
        let registered = builder.with_execution_providers(dispatches);
        let mut builder = registered
            .map_err(|e| device(provider.status(runtime).problem.unwrap_or_else(|| first_line(e.message()))))?;
        let mut assignment = Assigned::Certain;
        if provider != Provider::Cpu || options.proof == Proof::Always {
            let folder = tempfile::tempdir().map_err(Error::io("create", std::env::temp_dir()))?;
            builder = builder.with_profiling(folder.path().join("profile")).map_err(|e| wrong(e.into()))?;
            assignment = Assigned::Open { _folder: folder };
        }
        // Some providers start only now: whether it is the device or the model that fails, a tiny graph tells.
        let inner = builder.commit_from_file(path).map_err(|e| match wrong(e) {
            full @ Error::OutOfMemory { .. } => full,
            other => match provider.status(runtime).problem {
                Some(cause) if provider != Provider::Cpu => device(cause),
                _ => other,
            },
        })?;
        let outputs = outputs(&inner, &model, output)?;
        let inputs = inputs(&inner, &model)?;
        let staging = match provider {
            Provider::Cuda(n) | Provider::TensorRt(n) => {
                Some(Staging::for_cuda(&inner, n, names(&outputs)).map_err(wrong)?)
            }
            _ => None,
        };
        let selected = names(&outputs).fold(OutputSelector::no_default(), |all, name| all.with(name));
        let selection = RunOptions::new().map_err(wrong)?.with_outputs(selected);
        let device = options.device;
        Ok(Self { staging, inner, selection, model, outputs, device, provider, assignment, inputs })
    }

    /// The provider that runs the graph. Until the first batch it is the one that was registered; after it, one that ran
    /// nodes: where `auto` registered CUDA and all nodes ran on the CPU, it is the CPU.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// How many nodes each provider ran in the first batch; `None` before it, and on the CPU unless [`Proof::Always`] was
    /// asked for.
    pub fn assignment(&self) -> Option<&Assignment> {
        match &self.assignment {
            Assigned::Proved(assignment) => Some(assignment),
            Assigned::Certain | Assigned::Open { .. } => None,
        }
    }

    /// The graph's inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Runs the graph; returns the shape and the values of the selected output.
    ///
    /// # Errors
    /// As [`Session::run_with`].
    pub fn run(&mut self, inputs: &[(&str, Tensor)]) -> Result<(Vec<usize>, Vec<f32>)> {
        self.run_with(inputs, |shape, values| Ok((shape.to_vec(), values.to_vec())))
    }

    /// Runs the graph; `read` gets the shape and the values of the selected output where they lie, without a copy.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or [`Error::Model`] with ONNX Runtime's own words; [`Error::Device`] after the first batch
    /// when no node ran on the device that was asked for; what `read` returns.
    pub fn run_with<R>(
        &mut self,
        inputs: &[(&str, Tensor)],
        read: impl FnOnce(&[usize], &[f32]) -> Result<R>,
    ) -> Result<R> {
        self.execute(inputs, |found, outputs, model| match outputs {
            [output] => extract(found, output, model, read),
            outputs => {
                let part = |output| extract(found, output, model, |s, v| Ok((s.to_vec(), v.to_vec())));
                let parts = outputs.iter().map(part).collect::<Result<Vec<_>>>()?;
                beside(&parts, model).and_then(|(shape, values)| read(&shape, &values))
            }
        })
    }

    /// Runs the graph; returns every selected output by itself, in the order in which they were selected.
    ///
    /// # Errors
    /// As [`Session::run_with`].
    pub fn run_each(&mut self, inputs: &[(&str, Tensor)]) -> Result<Vec<Computed>> {
        self.execute(inputs, |found, outputs, model| {
            outputs.iter().map(|output| computed(found, output, model)).collect()
        })
    }

    fn execute<R>(
        &mut self,
        inputs: &[(&str, Tensor)],
        read: impl FnOnce(&SessionOutputs, &[Output], &str) -> Result<R>,
    ) -> Result<R> {
        let wrong = |e: ort::Error| failure(&self.model, e.message());
        let found = match &mut self.staging {
            None => {
                let values = direct(inputs, &self.inputs, &self.model)?;
                self.inner.run_with_options(values, &self.selection).map_err(wrong)?
            }
            Some(staging) => {
                for &(name, tensor) in inputs {
                    match tensor {
                        Tensor::F32(shape, data) => staging.put(name, shape, data),
                        Tensor::I64(shape, data) if is_i32(&self.inputs, name) => {
                            staging.put(name, shape, &narrow(&self.model, name, data)?)
                        }
                        Tensor::I64(shape, data) => staging.put(name, shape, data),
                        Tensor::U8(shape, data) => staging.put(name, shape, data),
                    }
                    .map_err(wrong)?;
                }
                staging.run(&mut self.inner).map_err(wrong)?
            }
        };
        let result = read(&found, &self.outputs, &self.model);
        drop(found);
        self.prove()?;
        result
    }

    /// Ends the profile of the first batch and holds what it says against what was asked for.
    fn prove(&mut self) -> Result<()> {
        let Assigned::Open { .. } = self.assignment else { return Ok(()) };
        let profile = self.inner.end_profiling().map_err(|e| failure(&self.model, e.message()))?;
        let found = Assignment::read(Path::new(&profile))?;
        let idle = found.of(self.provider) == 0;
        let ran = found.to_string();
        self.assignment = Assigned::Proved(found);
        match (idle, self.device) {
            (false, _) => Ok(()),
            (true, Device::Auto) => {
                self.provider = Provider::Cpu;
                Ok(())
            }
            (true, Device::Only(_)) => Err(Error::Device {
                device: self.device.to_string(),
                cause: format!("no node of {} ran on it, but on {ran}", self.model),
            }),
        }
    }
}

pub(super) fn builder(runtime: &Runtime, threads: usize) -> ort::Result<SessionBuilder> {
    let builder = ort::session::Session::builder(&runtime.environment)?;
    // Spinning threads take the cores that decoding needs.
    Ok(builder.with_intra_threads(threads.max(1))?.with_intra_op_spinning(false)?)
}

fn names(outputs: &[Output]) -> impl Iterator<Item = String> {
    outputs.iter().map(|output| output.name.clone())
}

/// The outputs that `wanted` names.
fn outputs(session: &ort::session::Session, model: &str, wanted: Wanted) -> Result<Vec<Output>> {
    use TensorElementType::{Bool, Float16, Float32, Int32, Int64};
    let output = |name: &str| {
        let Some(found) = session.outputs().iter().find(|o| o.name() == name) else {
            let names: Vec<&str> = session.outputs().iter().map(|o| o.name()).collect();
            return Err(Error::model(model, format!("it has no output {name:?}; there are {}", names.join(", "))));
        };
        match (element(found.dtype()), wanted) {
            (element @ (Float32 | Float16), _) => Ok(Output { name: name.to_owned(), element }),
            (element @ (Int64 | Int32 | Bool), Wanted::Each(_)) => Ok(Output { name: name.to_owned(), element }),
            _ => {
                let reason = format!("output {name:?} is {}, not a tensor of f32 or f16", found.dtype());
                Err(Error::model(model, reason))
            }
        }
    };
    match wanted {
        Wanted::Columns(name) if session.outputs().iter().any(|o| o.name() == name) => Ok(vec![output(name)?]),
        // Several with commas between, where there is none of that name.
        Wanted::Columns(names) => names.split(',').map(output).collect(),
        Wanted::Each(names) => names.iter().copied().map(output).collect(),
    }
}

/// The columns of several outputs side by side; an output of one dimension is one column.
fn beside(parts: &[(Vec<usize>, Vec<f32>)], model: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let rows = parts.first().and_then(|(shape, _)| shape.first()).copied().unwrap_or(0);
    let mut widths = Vec::with_capacity(parts.len());
    for (shape, values) in parts {
        match shape[..] {
            [n] if n == rows => widths.push(1),
            [n, columns] if n == rows && values.len() == n * columns => widths.push(columns),
            _ => return Err(Error::model(model, format!("its outputs are not {rows} rows each: one is {shape:?}"))),
        }
    }
    let row = |i: usize| parts.iter().zip(&widths).flat_map(move |((_, values), &w)| &values[i * w..(i + 1) * w]);
    let joined = (0..rows).flat_map(row).copied().collect();
    Ok((vec![rows, widths.iter().sum()], joined))
}

fn inputs(session: &ort::session::Session, model: &str) -> Result<Vec<Input>> {
    use TensorElementType::{Float32, Int32, Int64, Uint8};
    let input = |input: &ort::value::Outlet| {
        let element = element(input.dtype());
        if !matches!(element, Float32 | Int64 | Int32 | Uint8) {
            let reason = format!(
                "input {:?} is {}; inputs of f32, i64, i32 or u8 can be filled: choose another file with --onnx-file, or \
                 export it with such inputs",
                input.name(),
                input.dtype()
            );
            return Err(Error::model(model, reason));
        }
        let shape = input.dtype().tensor_shape().map(|s| s.to_vec()).unwrap_or_default();
        Ok(Input { name: input.name().to_owned(), shape, element })
    };
    session.inputs().iter().map(input).collect()
}

/// Views of what the caller holds.
fn direct<'a>(
    given: &[(&'a str, Tensor<'a>)],
    inputs: &[Input],
    model: &str,
) -> Result<Vec<(&'a str, SessionInputValue<'a>)>> {
    let wrong = |e: ort::Error| failure(model, e.message());
    let value = |&(name, tensor): &(&'a str, Tensor<'a>)| {
        let value = match tensor {
            Tensor::F32(shape, data) => TensorRef::from_array_view((shape, data)).map_err(wrong)?.into(),
            Tensor::I64(shape, data) if is_i32(inputs, name) => {
                ort::value::Tensor::from_array((shape, narrow(model, name, data)?)).map_err(wrong)?.into()
            }
            Tensor::I64(shape, data) => TensorRef::from_array_view((shape, data)).map_err(wrong)?.into(),
            Tensor::U8(shape, data) => TensorRef::from_array_view((shape, data)).map_err(wrong)?.into(),
        };
        Ok((name, value))
    };
    given.iter().map(value).collect()
}

fn is_i32(inputs: &[Input], name: &str) -> bool {
    inputs.iter().any(|i| i.name == name && i.element == TensorElementType::Int32)
}

fn narrow(model: &str, name: &str, data: &[i64]) -> Result<Vec<i32>> {
    let narrow = data.iter().map(|&v| i32::try_from(v)).collect::<Result<Vec<i32>, _>>();
    narrow.map_err(|e| Error::model(model, format!("input {name:?}: {e}")))
}

fn extract<R>(
    outputs: &SessionOutputs,
    Output { name, element }: &Output,
    model: &str,
    read: impl FnOnce(&[usize], &[f32]) -> Result<R>,
) -> Result<R> {
    let wrong = |e: ort::Error| failure(model, e.message());
    let value = outputs.get(name).ok_or_else(|| Error::model(model, format!("no output {name:?} came back")))?;
    let sizes = |shape: &[i64]| shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect::<Vec<usize>>();
    match element {
        TensorElementType::Float16 => {
            let (shape, data) = value.try_extract_tensor::<f16>().map_err(wrong)?;
            read(&sizes(shape), &data.iter().map(|v| v.to_f32()).collect::<Vec<f32>>())
        }
        _ => {
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(wrong)?;
            read(&sizes(shape), data)
        }
    }
}

fn computed(outputs: &SessionOutputs, output: &Output, model: &str) -> Result<Computed> {
    let wrong = |e: ort::Error| failure(model, e.message());
    let missing = || Error::model(model, format!("no output {:?} came back", output.name));
    let value = || outputs.get(&output.name).ok_or_else(missing);
    let sizes = |shape: &[i64]| shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect::<Vec<usize>>();
    match output.element {
        TensorElementType::Int64 => {
            let (shape, data) = value()?.try_extract_tensor::<i64>().map_err(wrong)?;
            Ok(Computed::I64(sizes(shape), data.to_vec()))
        }
        TensorElementType::Int32 => {
            let (shape, data) = value()?.try_extract_tensor::<i32>().map_err(wrong)?;
            Ok(Computed::I64(sizes(shape), data.iter().map(|&v| i64::from(v)).collect()))
        }
        TensorElementType::Bool => {
            let (shape, data) = value()?.try_extract_tensor::<bool>().map_err(wrong)?;
            Ok(Computed::Bool(sizes(shape), data.to_vec()))
        }
        _ => extract(outputs, output, model, |shape, values| Ok(Computed::F32(shape.to_vec(), values.to_vec()))),
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
