//! Flags of every verb.

use std::path::PathBuf;

use clap::Args;

use super::inputs;
use crate::backbone::Device;

/// Flags of every verb.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Write one machine-readable JSON result to stdout
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// auto, cpu, cuda[:N], tensorrt[:N], openvino, coreml, directml or xnnpack
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    pub(super) device: Device,
    /// Cores to use [default: all that this process may use]
    #[arg(long, global = true, value_name = "N", value_parser = inputs::count)]
    pub(super) threads: Option<std::num::NonZeroUsize>,
    /// Seed of every random choice
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// The ONNX Runtime library to use, instead of searching for one
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ort_lib: Option<PathBuf>,
}
