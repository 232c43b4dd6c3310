//! `tokenizer.json`, then a text of each kind through it.
#![no_main]

use engraft::preprocess::{TextPreprocessor, TextSpec};
use engraft_fuzz::{allow_guarded_panics, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    let Ok(tokenizer) = TextPreprocessor::from_file(&file("tokenizer.json", data), &TextSpec { max_length: 8 }) else {
        return;
    };
    for text in ["", "the cat sat on the mat", "Ünïcode 猫 🐈\u{200d}\0", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        if let Ok(encoded) = tokenizer.encode(text) {
            assert!((1..=8).contains(&encoded.ids.len()));
            assert_eq!(encoded.ids.len(), encoded.type_ids.len());
        }
    }
});
