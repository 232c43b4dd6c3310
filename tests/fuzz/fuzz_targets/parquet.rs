//! Feature sets in Parquet.
#![no_main]

use engraft::features::FeatureSet;
use engraft_fuzz::{allow_guarded_panics, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    if let Ok(set) = FeatureSet::read(&file("a.parquet", data)) {
        assert_eq!((set.ids.len(), set.labels.len()), (set.matrix.nrows(), set.matrix.nrows()));
    }
});
