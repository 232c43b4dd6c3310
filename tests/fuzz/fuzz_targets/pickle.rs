//! Torch pickles, through the import that reads them; the bytes of a BERT's safetensors through the other one when they
//! do not begin as a pickle.
#![no_main]

use std::sync::LazyLock;

use engraft::backbone::import::import;
use engraft::backbone::{Manifest, registry};
use engraft_fuzz::{allow_guarded_panics, file, folder};
use libfuzzer_sys::fuzz_target;

static PICKLE: LazyLock<Manifest> = LazyLock::new(|| registry::find("efficientnet-lite0").expect("known"));
static BERT: LazyLock<Manifest> = LazyLock::new(|| registry::find("all-minilm-l6-v2").expect("known"));

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    if data.starts_with(b"\x80\x02") {
        file("weights.pth", data);
        let _ = import(&PICKLE, folder());
    } else if let Some(zero) = data.iter().position(|b| *b == 0) {
        // The text of `config.json`, a zero byte, the weights.
        file("config.json", &data[..zero]);
        file("model.safetensors", &data[zero + 1..]);
        let _ = import(&BERT, folder());
    }
});
