//! Feature sets: embeddings with their ids, labels and provenance, in open formats.

#[cfg(feature = "full")]
mod arrange;
mod differences;
#[cfg(feature = "full")]
mod flat;
#[cfg(feature = "full")]
mod floats;
#[cfg(feature = "full")]
mod format;
mod header;
#[cfg(feature = "full")]
mod npy;
#[cfg(feature = "full")]
mod parquet;
mod precision;
mod provenance;
mod rows;
#[cfg(feature = "full")]
mod run;
#[cfg(feature = "full")]
mod safetensors;
mod set;
#[cfg(feature = "full")]
mod shards;
#[cfg(feature = "full")]
mod sidecar;
#[cfg(feature = "full")]
mod stored;
#[cfg(feature = "full")]
mod survey;
#[cfg(all(test, feature = "full"))]
mod tests;

#[cfg(feature = "full")]
pub use format::{Format, create};
pub use header::{Header, check_kept};
pub use precision::Precision;
pub use provenance::{FINGERPRINT_KEY, PROVENANCE_KEY, Provenance};
pub use rows::{Existing, FeatureWriter, Part, Rows};
#[cfg(feature = "full")]
pub use run::{
    Claim, DamagedShard, Finished, Rejects, RunKey, RunState, SHARD_ENTRIES, SHARD_TIME, ShardFolder, damaged_shards,
    rejects_replaceable, run_state,
};
pub use set::{FeatureSet, Kept};
#[cfg(feature = "full")]
pub use survey::{Norms, Survey};
