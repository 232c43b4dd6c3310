//! Sessions on small graphs of unusual element types, run by ONNX Runtime itself.

#[path = "support/close.rs"]
mod close;
mod support;

use std::path::{Path, PathBuf};

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, Session, Tensor};
use engraft::onnx::build::{Dim, attr_int};
use engraft::onnx::{DataType, GraphBuilder, write_model};

/// `y = cast(x)` on `[n, 2]`.
fn cast(folder: &Path, from: DataType, to: DataType) -> PathBuf {
    let dims = [Dim::Named("n"), Dim::Fixed(2)];
    let mut graph = GraphBuilder::new("cast");
    graph.input("x", from, &dims);
    graph.node("Cast", &["x"], "y", vec![attr_int("to", to as i64)]);
    graph.output("y", to, &dims);
    let path = folder.join("model.onnx");
    write_model(&graph.finish(), &path).unwrap();
    path
}

fn open(path: &Path, output: &str) -> engraft::Result<Session> {
    let runtime = Runtime::load(None, &support::home())?;
    Session::open(runtime, path, output, Device::Only(Provider::Cpu), 1).map(|(session, _)| session)
}

#[test]
fn integers_of_32_bits_are_fed_and_half_precision_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = open(&cast(folder.path(), DataType::Int32, DataType::Float16), "y").unwrap();
    let (shape, values) = session.run(&[("x", Tensor::I64(&[2, 2], &[1, -2, 3, 2049]))]).unwrap();
    assert_eq!(shape, [2, 2]);
    // Half precision holds no 2049.
    assert_close(values, [1.0f32, -2.0, 3.0, 2048.0], Tolerance::Exact);
    let error = session.run(&[("x", Tensor::I64(&[1, 2], &[1, 1 << 40]))]).unwrap_err().to_string();
    assert!(error.contains("input \"x\"") && error.contains("range"), "{error}");
}

#[test]
fn other_element_types_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let reason = |from, to, output| open(&cast(folder.path(), from, to), output).unwrap_err().to_string();
    let error = reason(DataType::Bool, DataType::Float, "y");
    assert!(error.contains("input \"x\"") && error.contains("bool") && error.contains("--onnx-file"), "{error}");
    let error = reason(DataType::Float, DataType::Int64, "y");
    assert!(error.contains("output \"y\"") && error.contains("i64"), "{error}");
    let error = reason(DataType::Float, DataType::Float, "z");
    assert!(error.contains("no output \"z\"; there are y"), "{error}");
}
