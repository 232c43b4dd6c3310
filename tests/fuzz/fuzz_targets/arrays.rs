//! npy and safetensors with the ids beside them: `n` or `s`, the text of the sidecar, a zero byte, the array.
#![no_main]

use engraft::features::FeatureSet;
use engraft_fuzz::{allow_guarded_panics, file, folder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let Some(zero) = rest.iter().position(|b| *b == 0) else { return };
    let (beside, array) = (&rest[..zero], &rest[zero + 1..]);
    let sidecar = folder().join("a.jsonl");
    if beside.is_empty() {
        let _ = std::fs::remove_file(sidecar);
    } else {
        file("a.jsonl", beside);
    }
    let path = file(if *kind == b'n' { "a.npy" } else { "a.safetensors" }, array);
    if let Ok(set) = FeatureSet::read(&path) {
        assert_eq!(set.ids.len(), set.matrix.nrows());
        // Nothing is made up: every value was in the file.
        assert!(set.matrix.len() * 4 <= array.len());
    }
});
