//! Sessions on small graphs of unusual element types, run by ONNX Runtime itself.

#[path = "support/close.rs"]
mod close;
mod support;

use std::path::{Path, PathBuf};

use close::{Tolerance, assert_close};
use engraft::Error;
use engraft::backbone::{Device, Element, Proof, Provider, Runtime, Session, SessionOptions, Tensor};
use engraft::onnx::build::{Dim, attr_int};
use engraft::onnx::{DataType, GraphBuilder, write_model};

const CPU: Device = Device::Only(Provider::Cpu);

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
    Session::open(runtime, path, output, &SessionOptions::new(CPU, 1)).map(|(session, _)| session)
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

#[test]
fn bytes_are_fed() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = open(&cast(folder.path(), DataType::Uint8, DataType::Float), "y").unwrap();
    assert_eq!(session.inputs()[0].element(), Element::Byte);
    let (_, values) = session.run(&[("x", Tensor::U8(&[1, 2], &[0, 255]))]).unwrap();
    assert_close(values, [0.0f32, 255.0], Tolerance::Exact);
}

#[test]
fn the_output_is_read_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = open(&cast(folder.path(), DataType::Int64, DataType::Float), "y").unwrap();
    let inputs = [("x", Tensor::I64(&[2, 2], &[1, 2, 3, 4]))];
    let sum = session.run_with(&inputs, |shape, values| {
        assert_eq!(shape, [2, 2]);
        Ok(values.iter().sum::<f32>())
    });
    assert_eq!(sum.unwrap(), 10.0);
    let refused = session.run_with(&inputs, |_, _| Err::<(), _>(Error::Data("no".to_owned())));
    assert!(matches!(refused, Err(Error::Data(_))));
}

#[test]
fn nodes_are_counted_where_they_ran() {
    let folder = tempfile::tempdir().unwrap();
    let path = cast(folder.path(), DataType::Int64, DataType::Float);
    let runtime = Runtime::load(None, &support::home()).unwrap();
    let options = SessionOptions { proof: Proof::Always, ..SessionOptions::new(CPU, 1) };
    let mut session = Session::open(runtime, &path, "y", &options).unwrap().0;
    assert_eq!(session.assignment(), None);
    for _ in 0..2 {
        session.run(&[("x", Tensor::I64(&[1, 2], &[1, 2]))]).unwrap();
        assert_eq!(session.assignment().unwrap().to_string(), "cpu (1 node)");
    }
    // By itself the CPU is not profiled: nothing else could run there.
    let mut session = open(&path, "y").unwrap();
    session.run(&[("x", Tensor::I64(&[1, 2], &[1, 2]))]).unwrap();
    assert_eq!((session.assignment(), session.provider()), (None, Provider::Cpu));
}

#[test]
fn a_lack_of_memory_is_told_from_other_failures() {
    let folder = tempfile::tempdir().unwrap();
    let mut graph = GraphBuilder::new("expand");
    graph.input("shape", DataType::Int64, &[Dim::Fixed(1)]);
    graph.tensor_f32("one", &[1], &[1.0]);
    graph.node("Expand", &["one", "shape"], "y", vec![]);
    graph.output("y", DataType::Float, &[Dim::Named("n")]);
    let path = folder.path().join("expand.onnx");
    write_model(&graph.finish(), &path).unwrap();
    let mut session = open(&path, "y").unwrap();
    // More than any address space holds.
    let error = session.run(&[("shape", Tensor::I64(&[1], &[1 << 50]))]).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error:?}");
    // A smaller batch then does.
    assert_eq!(session.run(&[("shape", Tensor::I64(&[1], &[3]))]).unwrap().1, [1.0; 3]);
    let error = session.run(&[("shape", Tensor::I64(&[2], &[1, 1]))]).unwrap_err();
    assert!(matches!(error, Error::Model { .. }), "{error:?}");
}
