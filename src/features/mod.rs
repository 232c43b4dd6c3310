//! Feature sets: embeddings with their ids, labels and provenance, in open formats.

mod flat;
mod floats;
mod format;
mod npy;
mod parquet;
mod provenance;
mod rows;
mod safetensors;
mod set;
mod shards;
mod sidecar;
#[cfg(test)]
mod tests;

pub use format::{Format, create};
pub use provenance::{FINGERPRINT_KEY, PROVENANCE_KEY, Provenance};
pub use rows::{Existing, FeatureWriter, Part, Rows};
pub use set::FeatureSet;
