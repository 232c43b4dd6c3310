//! Packages: `z` or `t` for a wheel or a gzipped tar, then the archive.
#![no_main]

use engraft::backbone::fetch::read_member;
use engraft_fuzz::{allow_guarded_panics, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let path = file(if *kind == b'z' { "a.whl" } else { "a.tar.gz" }, bytes);
    let _ = read_member(&path, "a/b.bin");
    let _ = read_member(&path, "inner.zip!b.bin");
});
