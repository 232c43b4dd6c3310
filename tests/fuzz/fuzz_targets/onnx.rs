//! ONNX surgery: read, describe, cut at every output and at some inner tensor, write, read again.
#![no_main]

use engraft::onnx::{CutPoint, DataType, Dimension, Port, cut, external_paths, read_model, signature, write_model};
use engraft_fuzz::{allow_guarded_panics, file, folder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    let Ok(model) = read_model(&file("a.onnx", data)) else { return };
    let _ = external_paths(&model, &folder().join("a.onnx"));
    let mut points: Vec<CutPoint> = signature(&model)
        .outputs
        .into_iter()
        .map(|port| CutPoint { tensor: port.name.clone(), token: None, output: port })
        .collect();
    let inner = model.graph.iter().flat_map(|g| &g.node).flat_map(|n| &n.output).next().cloned();
    points.extend(inner.map(|tensor| CutPoint {
        tensor,
        token: Some(0),
        output: Port {
            name: "fuzz".into(),
            element: DataType::Float,
            shape: Some(vec![Dimension::Unknown, Dimension::Fixed(2)]),
        },
    }));
    if let Ok(model) = cut(model, &points, "a.onnx") {
        let path = folder().join("cut.onnx");
        write_model(&model, &path).expect("written");
        let again = read_model(&path).expect("what was written can be read");
        assert_eq!(signature(&again).outputs.len(), points.len());
    }
});
