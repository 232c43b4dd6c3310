//! Trained heads: the graph, its tensors and its metadata. What is read writes the same head again.
#![no_main]

use engraft::head::HeadFile;
use engraft_fuzz::{allow_guarded_panics, file, folder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    if let Ok(head) = HeadFile::read(&file("a.onnx", data)) {
        let path = folder().join("again.onnx");
        head.write(&path).expect("written");
        let again = HeadFile::read(&path).expect("read");
        assert_eq!((again.labels, again.head.classes()), (head.labels, head.head.classes()));
    }
});
