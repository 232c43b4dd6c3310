//! Feature sets: embeddings with their ids, labels and provenance, in open formats.

mod arrange;
mod differences;
mod flat;
mod floats;
mod format;
mod header;
mod npy;
mod parquet;
mod precision;
mod provenance;
mod rows;
mod run;
mod safetensors;
mod set;
mod shards;
mod sidecar;
mod survey;
#[cfg(test)]
mod tests;

pub use format::{Format, create};
pub use header::{Header, check_kept};
pub use precision::Precision;
pub use provenance::{FINGERPRINT_KEY, PROVENANCE_KEY, Provenance};
pub use rows::{Existing, FeatureWriter, Part, Rows};
pub use run::{
    Claim, DamagedShard, Finished, Rejects, RunKey, RunState, SHARD_ENTRIES, SHARD_TIME, ShardFolder, damaged_shards,
    rejects_replaceable, run_state,
};
pub use set::{FeatureSet, Kept};
pub use survey::{Norms, Survey};
