//! How a session is to run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::provider::Device;

/// What [`Session::open`](super::Session::open) needs to know beside the graph. The default is one thread on
/// [`Device::Auto`] in single precision.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Where to run.
    pub device: Device,
    /// Threads of this session on the CPU; 0 counts as 1.
    pub threads: usize,
    /// What the graph's arithmetic is done in. The graph itself must be of that precision: see
    /// [`variants`](super::variants).
    pub precision: RunPrecision,
    /// The shapes that inputs will have, for TensorRT, which plans for them: one for each input whose shape varies.
    pub shapes: Vec<ShapeRange>,
    /// Where TensorRT's engines are kept; building one takes minutes. `None` keeps none.
    pub engines: Option<PathBuf>,
    /// Whether to find out which nodes run where.
    pub proof: Proof,
}

impl SessionOptions {
    /// These many threads on this device.
    pub fn new(device: Device, threads: usize) -> Self {
        Self { device, threads, ..Self::default() }
    }
}

/// What a backbone's arithmetic is done in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunPrecision {
    /// 32-bit floats throughout: CUDA's TensorFloat-32, with its ten bits of mantissa, stays off.
    #[default]
    F32,
    /// 16-bit floats where they are safe.
    F16,
}

impl RunPrecision {
    /// Whether it is the one that needs no mention.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `f32` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            RunPrecision::F32 => "f32",
            RunPrecision::F16 => "f16",
        }
    }
}

/// Whether a session looks into which provider ran which nodes. It costs a profile of the first batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proof {
    /// Where it is in doubt: on every provider but the CPU's.
    #[default]
    WhereInDoubt,
    /// On the CPU too, for who wants to count.
    Always,
}

/// The shapes that one input will have, from the least to the greatest; equal where a dimension is fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeRange {
    /// The input's name.
    pub input: String,
    /// The least of each dimension.
    pub min: Vec<usize>,
    /// The usual shape, which the engine is tuned for.
    pub usual: Vec<usize>,
    /// The greatest of each dimension.
    pub max: Vec<usize>,
}
