//! A folder of shards that somebody else filled: its journal, a zero byte, its list of rejects; one sound shard is there.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use engraft::features::{Claim, Existing, FeatureSet, damaged_shards, run_state};
use engraft_fuzz::{allow_guarded_panics, file, folder};
use libfuzzer_sys::fuzz_target;

const SHARD: &[u8] = include_bytes!("../../golden/features/doubles.parquet");

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    static FOLDER: OnceLock<std::path::PathBuf> = OnceLock::new();
    let folder: &Path = FOLDER.get_or_init(|| {
        file("run/part-000000000000.parquet", SHARD);
        folder().join("run")
    });
    let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
    file("run/journal.jsonl", &data[..end]);
    file("run/rejects.jsonl", data.get(end + 1..).unwrap_or_default());
    let state = run_state(folder);
    for damaged in damaged_shards(folder, &()).unwrap_or_default() {
        // Nothing outside of the folder is ever looked at.
        assert!(damaged.shard.starts_with("part-") && !damaged.shard.contains('/'), "{}", damaged.shard);
    }
    if let Ok(set) = FeatureSet::read(folder) {
        assert!(state.is_ok() && set.len() <= 1000);
    }
    drop(Claim::new(folder, Existing::Refuse));
    drop(Claim::new(folder, Existing::Replace));
    assert!(folder.join("part-000000000000.parquet").exists());
});
