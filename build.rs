//! Generates the ONNX protobuf types from `src/onnx/onnx.proto`, without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/onnx/onnx.proto");
    let descriptors = protox::compile(["src/onnx/onnx.proto"], ["src/onnx"])?;
    // Weights stay views into the file that was read: no copy of every tensor.
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
