//! WebDataset archives: `t` or `z` for a plain or a gzipped tar, `i` or `t` for images or texts, then the archive.
#![no_main]

use engraft::source::{Modality, SourceOptions};
use engraft_fuzz::{allow_guarded_panics, file, list};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    let [kind, modality, bytes @ ..] = data else { return };
    let path = file(if *kind == b'z' { "a.tar.gz" } else { "a.tar" }, bytes);
    let modality = if *modality == b'i' { Modality::Image } else { Modality::Text };
    let mut options = SourceOptions::new(modality);
    options.keep = vec!["kept".to_owned()];
    list(&path, &options);
});
