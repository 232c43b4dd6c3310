//! Tables of inputs: `c`, `j` or `p` for CSV, JSON lines or Parquet, `i` or `t` for images or texts, then the table.
#![no_main]

use engraft::source::{Modality, SourceOptions};
use engraft_fuzz::{allow_guarded_panics, file, list};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    let [kind, modality, bytes @ ..] = data else { return };
    let name = match kind {
        b'c' => "a.csv",
        b'j' => "a.jsonl",
        _ => "a.parquet",
    };
    let path = file(name, bytes);
    let modality = if *modality == b'i' { Modality::Image } else { Modality::Text };
    list(&path, &SourceOptions::new(modality));
});
