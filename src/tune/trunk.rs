//! The trunk: everything before the cut, run by ONNX Runtime.

use std::path::Path;

use super::array::{Array, Value};
use super::program::Program;
use super::tail::{FACTOR, MIXING, Tail};
use crate::backbone::{Computed, Runtime, Session, SessionOptions, Tensor};
use crate::error::{Error, Result};
use crate::onnx::{CutPoint, DataType, Model, Port, cut, has_tensor, write_model};

/// The greatest difference, relative to the greatest value, between the tail here and in ONNX Runtime at which a model is trained.
pub const AGREEMENT: f64 = 1e-4;

/// A model up to the boundary of its tail.
#[derive(Debug)]
pub struct Trunk {
    session: Session,
    model: String,
    sources: Vec<Source>,
    also: Also,
}

/// What a trunk gives besides the boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Also {
    /// Nothing.
    Nothing,
    /// What the tail leads to, as the whole model computes it.
    Target,
}

/// What a batch is at the end of the trunk.
#[derive(Debug, Clone, PartialEq)]
pub struct Passed {
    /// The tensors of the boundary, in its order.
    pub boundary: Vec<Value<f32>>,
    /// What the whole model gives, with [`Also::Target`].
    pub target: Option<Array<f32>>,
}

/// Where a tensor of the boundary comes from.
#[derive(Debug)]
enum Source {
    Computed,
    Fed(String),
}

impl Trunk {
    /// Cuts `model` (called `name` in errors) at the boundary of `tail`, writes what lies before to `path`, and opens it. The
    /// boundary may have the inputs of [`Tail::with_factor`] and [`Tail::with_mixing`], which no model computes: they are not among the
    /// results.
    ///
    /// # Errors
    /// When the model has no such tensors, the file cannot be written, or as [`Session::open`].
    pub fn open(
        model: &Model,
        tail: &Tail,
        also: Also,
        path: &Path,
        runtime: &Runtime,
        options: &SessionOptions,
    ) -> Result<Self> {
        let name = tail.model();
        let fed: Vec<String> = crate::onnx::signature(model).inputs.into_iter().map(|port| port.name).collect();
        let boundary = tail
            .boundary()
            .iter()
            .filter(|tensor| ![FACTOR, MIXING].contains(&tensor.as_str()) || has_tensor(model, tensor));
        let source =
            |tensor: &String| if fed.contains(tensor) { Source::Fed(tensor.clone()) } else { Source::Computed };
        let sources: Vec<Source> = boundary.clone().map(source).collect();
        let target = (also == Also::Target).then(|| tail.target());
        let computed: Vec<&str> =
            boundary.filter(|tensor| !fed.contains(tensor)).map(String::as_str).chain(target).collect();
        let point = |tensor: &&str| CutPoint {
            tensor: (*tensor).to_owned(),
            token: None,
            output: Port { name: (*tensor).to_owned(), element: DataType::Undefined, shape: None },
        };
        let trunk = cut(model.clone(), &computed.iter().map(point).collect::<Vec<CutPoint>>(), name)?;
        write_model(&trunk, path)?;
        let (session, _) = Session::open_each(runtime, path, &computed, options)?;
        Ok(Self { session, model: name.to_owned(), sources, also })
    }

    /// The tensors of the boundary for the model's inputs, and the target where it was asked for. Inputs that the trunk does not
    /// read may be among them.
    ///
    /// # Errors
    /// As [`Session::run_with`]; when an input that the tail reads is missing.
    pub fn run(&mut self, inputs: &[(&str, Tensor)]) -> Result<Passed> {
        let read: Vec<&str> = self.session.inputs().iter().map(|input| input.name.as_str()).collect();
        let own: Vec<(&str, Tensor)> = inputs.iter().copied().filter(|(name, _)| read.contains(name)).collect();
        let mut computed = self.session.run_each(&own)?.into_iter();
        let missing = |what: &str| Error::model(&self.model, format!("{what} did not come"));
        let mut boundary = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            boundary.push(match source {
                Source::Computed => value(computed.next().ok_or_else(|| missing("an output"))?).map_err(Error::Data)?,
                Source::Fed(name) => {
                    let given = inputs.iter().find(|(given, _)| given == name).ok_or_else(|| missing(name))?;
                    given_value(given.1).map_err(Error::Data)?
                }
            });
        }
        let target = match (self.also, computed.next()) {
            (Also::Nothing, _) => None,
            (Also::Target, Some(Computed::F32(dims, values))) => Some(Array::new(dims, values).map_err(Error::Data)?),
            (Also::Target, _) => return Err(missing("the target, as floats,")),
        };
        Ok(Passed { boundary, target })
    }
}

fn value(computed: Computed) -> Result<Value<f32>, String> {
    Ok(match computed {
        Computed::F32(dims, values) => Array::new(dims, values)?.into(),
        Computed::I64(dims, values) => Value::Int(Array::new(dims, values)?),
        Computed::Bool(dims, values) => Value::Bool(Array::new(dims, values)?),
    })
}

fn given_value(tensor: Tensor) -> Result<Value<f32>, String> {
    Ok(match tensor {
        Tensor::F32(dims, values) => Array::new(dims.to_vec(), values.to_vec())?.into(),
        Tensor::I64(dims, values) => Value::Int(Array::new(dims.to_vec(), values.to_vec())?),
        Tensor::U8(dims, values) => Value::Int(Array::new(dims.to_vec(), values.iter().map(|&v| v.into()).collect())?),
    })
}

/// Runs the tail and holds it against what ONNX Runtime gave for the same boundary: returns the greatest difference, relative to the
/// greatest value.
///
/// # Errors
/// [`Error::Mismatch`] when it is above [`AGREEMENT`], or the sizes differ; as [`Program::run`].
pub fn check_agreement(program: &Program<f32>, boundary: Vec<Value<f32>>, expected: &Array<f32>) -> Result<f64> {
    let outputs = program.run(boundary)?;
    let got = match outputs.first() {
        Some(Value::Real(got)) => got,
        _ => return Err(Error::Data("the tail gives no floats".into())),
    };
    let what = || "the tail as engraft runs it and as ONNX Runtime does".to_owned();
    if got.dims() != expected.dims() {
        return Err(Error::Mismatch {
            what: what(),
            expected: format!("{:?}", expected.dims()),
            got: format!("{:?}", got.dims()),
        });
    }
    let greatest = expected.values().iter().fold(0.0_f64, |m, v| m.max(f64::from(v.abs())));
    // Summed so that what is not a number is not overlooked, as it is by a maximum.
    let differences = got.values().iter().zip(expected.values()).map(|(g, e)| f64::from((g - e).abs()));
    let worst = differences.fold(0.0_f64, |m, d| if d > m || d.is_nan() { d } else { m });
    let relative = if greatest > 0.0 { worst / greatest } else { worst };
    match relative <= AGREEMENT {
        true => Ok(relative),
        false => Err(Error::Mismatch {
            what: what(),
            expected: format!("a difference of at most {AGREEMENT:e}"),
            got: format!("{relative:e}"),
        }),
    }
}
