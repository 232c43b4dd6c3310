//! Forward, in f32, against ONNX Runtime.

use std::path::Path;

use engraft::backbone::{Computed, Device, Provider, Runtime, Session, SessionOptions, Tensor};
use engraft::onnx::{Model, view, write_model};
use engraft::tune::Value;

use super::cases::{Case, cases};
use super::close::{Tolerance, assert_close};
use super::model::{fed, model, outputs, program, values};
use super::support;

fn in_onnx_runtime(case: &Case, model: &Model, folder: &Path) -> Vec<Computed> {
    let path = folder.join("model.onnx");
    write_model(model, &path).unwrap();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    let outputs = outputs(case);
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
    let mut session =
        Session::open_each(runtime, &path, &outputs, &options).unwrap_or_else(|e| panic!("{}: {e}", case.title())).0;
    let fed: Vec<(String, Vec<usize>, Vec<f32>)> = fed(case)
        .into_iter()
        .map(|(name, dims, values)| (name, dims, values.iter().map(|&v| v as f32).collect()))
        .collect();
    let inputs: Vec<(&str, Tensor)> =
        fed.iter().map(|(name, dims, values)| (name.as_str(), Tensor::F32(dims, values))).collect();
    session.run_each(&inputs).unwrap_or_else(|e| panic!("{}: {e}", case.title()))
}

#[test]
fn forward_is_onnx_runtimes() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        let (model, title) = (model(&case), case.title());
        let view = view(&model);
        let got = program::<f32>(&case, &view).run(values(&fed(&case))).unwrap();
        for (got, want) in got.iter().zip(in_onnx_runtime(&case, &model, folder.path())) {
            let shape = got.dims().to_vec();
            let (dims, got, want): (_, Vec<f64>, Vec<f64>) = match (got, want) {
                (Value::Real(got), Computed::F32(dims, want)) => {
                    (dims, got.values().iter().map(|&v| v.into()).collect(), want.into_iter().map(Into::into).collect())
                }
                (Value::Int(got), Computed::I64(dims, want)) => {
                    (dims, got.values().iter().map(|&v| v as f64).collect(), want.iter().map(|&v| v as f64).collect())
                }
                (Value::Bool(got), Computed::Bool(dims, want)) => {
                    let number = |v: &bool| f64::from(u8::from(*v));
                    (dims, got.values().iter().map(number).collect(), want.iter().map(number).collect())
                }
                (got, want) => panic!("{title}: {got:?} where ONNX Runtime has {want:?}"),
            };
            assert_eq!(shape, dims, "{title}");
            println!("{title}");
            assert_close(got, want, Tolerance::Approximate);
        }
    }
}
