//! Which provider ran which nodes: ONNX Runtime's profile is the only proof of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::provider::Provider;
use crate::error::{Error, Result};
use crate::file;

/// How many nodes of a graph each provider ran, by the provider's name. A graph that TensorRT took whole is one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Nodes by provider, in the order of the names. Copies between devices are not among them.
    pub nodes: BTreeMap<String, usize>,
    /// Copies between devices that ONNX Runtime put between nodes.
    pub copies: usize,
}

/// One event of a profile; only events of nodes carry a provider.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Arguments,
}

#[derive(Deserialize, Default)]
struct Arguments {
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    op_name: Option<String>,
}

impl Assignment {
    /// Reads the profile that ONNX Runtime wrote.
    pub(super) fn read(profile: &Path) -> Result<Self> {
        let text = file::read_text(profile)?;
        Self::parse(&text).map_err(|e| Error::malformed(profile, format!("not a profile of ONNX Runtime ({e})")))
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        let events: Vec<Event> = serde_json::from_str(text)?;
        // A node has an event for each run; its name is that of the node with what was measured behind it.
        let mut seen = BTreeSet::new();
        let mut found = Self::default();
        for Event { name, args } in &events {
            let Some(provider) = args.provider.as_deref().filter(|p| !p.is_empty()) else { continue };
            if !seen.insert((name.strip_suffix("_kernel_time").unwrap_or(name), provider)) {
                continue;
            }
            match args.op_name.as_deref() {
                Some("MemcpyFromHost" | "MemcpyToHost") => found.copies += 1,
                _ => *found.nodes.entry(short(provider)).or_default() += 1,
            }
        }
        Ok(found)
    }

    /// Nodes that this provider ran.
    pub fn of(&self, provider: Provider) -> usize {
        self.nodes.get(provider.name()).copied().unwrap_or(0)
    }
}

/// ONNX Runtime's name of a provider as ours: `CUDAExecutionProvider` is `cuda`.
fn short(provider: &str) -> String {
    match provider.strip_suffix("ExecutionProvider").unwrap_or(provider) {
        "Dml" => "directml".to_owned(),
        name => name.to_ascii_lowercase(),
    }
}

/// `cuda (412 nodes), cpu (3 nodes), 2 copies`: the busiest first.
impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut nodes: Vec<(&String, &usize)> = self.nodes.iter().collect();
        nodes.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        for (i, (name, count)) in nodes.into_iter().enumerate() {
            let (comma, plural) = (if i > 0 { ", " } else { "" }, if *count == 1 { "" } else { "s" });
            write!(f, "{comma}{name} ({count} node{plural})")?;
        }
        match self.copies {
            0 => Ok(()),
            1 => f.write_str(", 1 copy"),
            n => write!(f, ", {n} copies"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_once_and_copies_apart() {
        let event = |name: &str, provider: &str, op: &str| {
            format!(
                r#"{{"cat":"Node","pid":1,"tid":1,"dur":5,"ts":9,"ph":"X","name":"{name}_kernel_time","args":{{"op_name":"{op}","provider":"{provider}","node_index":"1"}}}}"#
            )
        };
        let events = [
            r#"{"cat":"Session","pid":1,"tid":1,"dur":1,"ts":3,"ph":"X","name":"model_loading_uri","args":{}}"#
                .to_owned(),
            event("conv", "CUDAExecutionProvider", "Conv"),
            event("conv", "CUDAExecutionProvider", "Conv"),
            event("relu", "CUDAExecutionProvider", "Relu"),
            event("shape", "CPUExecutionProvider", "Shape"),
            event("Memcpy", "CUDAExecutionProvider", "MemcpyToHost"),
        ];
        let found = Assignment::parse(&format!("[{}]", events.join(","))).unwrap();
        assert_eq!(found.to_string(), "cuda (2 nodes), cpu (1 node), 1 copy");
        assert_eq!((found.of(Provider::Cuda(3)), found.of(Provider::TensorRt(0)), found.copies), (2, 0, 1));
        assert!(Assignment::parse("{").is_err());
    }

    #[test]
    fn every_provider_is_known_by_its_own_name() {
        let names = ["CPU", "CUDA", "Tensorrt", "OpenVINO", "CoreML", "Dml", "Xnnpack"];
        let ours = Provider::ALL.map(Provider::name);
        assert_eq!(names.map(|name| short(&format!("{name}ExecutionProvider"))), ours);
    }
}
