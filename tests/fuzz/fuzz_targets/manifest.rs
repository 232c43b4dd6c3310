//! Manifests and references to the hub. What is read can be checked.
#![no_main]

use engraft::backbone::Manifest;
use engraft::backbone::hub::HubRef;
use engraft::preprocess::{ImagePreprocessor, Preprocessing};
use engraft_fuzz::allow_guarded_panics;
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |text: &str| {
    if let Ok(reference) = HubRef::parse(text) {
        assert_eq!(HubRef::parse(&reference.to_string()).expect("read back"), reference);
    }
    if let Ok(manifest) = Manifest::parse(text, "a.toml")
        && let Preprocessing::Image(spec) = manifest.preprocessing
    {
        let _ = ImagePreprocessor::new(spec);
    }
});
