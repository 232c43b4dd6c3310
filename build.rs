//! Generates the ONNX protobuf types from `src/onnx/onnx.proto`, without `protoc`.

use std::path::Path;

/// Fields of higher numbers than keys of two bytes have are dropped; ONNX itself has come to 28.
const LAST: u32 = 2047;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/onnx/onnx.proto");
    let descriptors = protox::compile(["src/onnx/onnx.proto"], ["src/onnx"])?;
    // Weights stay views into the file that was read: no copy of every tensor.
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    let path = Path::new(&std::env::var("OUT_DIR")?).join("onnx.rs");
    std::fs::write(&path, keep_unknown(&std::fs::read_to_string(&path)?))?;
    Ok(())
}

/// Gives each message a field for what it does not declare, which prost would drop: a oneof of all other numbers, whose type is
/// written by hand.
fn keep_unknown(generated: &str) -> String {
    let mut kept = String::new();
    let mut declared: Option<Vec<u32>> = None;
    for line in generated.lines() {
        let line = match line.trim_start().starts_with("#[derive(") {
            // What is kept is on the heap.
            true => line.replace(
                "Clone, Copy, PartialEq, Eq, Hash, ::prost::Message",
                "Clone, PartialEq, Eq, Hash, ::prost::Message",
            ),
            false => line.to_owned(),
        };
        if line.contains("::prost::Message)]") {
            declared = Some(Vec::new());
        }
        if let Some(numbers) = &mut declared {
            if line.trim_start().starts_with("#[prost(") {
                numbers.extend(tags(&line));
            }
            if line.trim() == "}" {
                let others: Vec<String> = (1..=LAST).filter(|n| !numbers.contains(n)).map(|n| n.to_string()).collect();
                kept +=
                    &format!("#[prost(oneof = \"crate::onnx::unknown::Unknown\", tags = \"{}\")]\n", others.join(", "));
                kept += "pub unknown: ::core::option::Option<crate::onnx::unknown::Unknown>,\n";
                declared = None;
            }
        }
        kept += &line;
        kept.push('\n');
    }
    kept
}

/// The numbers in `tag = "1"` and `tags = "1, 2"`.
fn tags(attribute: &str) -> Vec<u32> {
    let listed = ["tag = \"", "tags = \""].into_iter().filter_map(|key| attribute.split_once(key)?.1.split('"').next());
    listed.flat_map(|numbers| numbers.split(',')).filter_map(|number| number.trim().parse().ok()).collect()
}
