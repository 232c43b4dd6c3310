//! Decoding, for every format, with the policies that the first byte chooses, down to the tensor.
#![no_main]

use std::cell::RefCell;

use engraft::preprocess::{Exif, ImagePreprocessor, ImageSpec, Interpolation, Scratch, Step, Transparency};
use engraft_fuzz::allow_guarded_panics;
use libfuzzer_sys::fuzz_target;

fn processor(exif: Exif, transparency: Transparency) -> ImagePreprocessor {
    let spec = ImageSpec {
        steps: vec![Step::ShortestEdge(16), Step::CenterCrop([16, 16])],
        interpolation: Interpolation::Bicubic,
        scale: 1.0 / 255.0,
        mean: [0.5; 3],
        std: [0.5; 3],
        exif,
        transparency,
    };
    ImagePreprocessor::new(spec).expect("a good specification")
}

thread_local! {
    static STATE: RefCell<([ImagePreprocessor; 2], Scratch, Vec<f32>)> = RefCell::new((
        [processor(Exif::Apply, Transparency::White), processor(Exif::Ignore, Transparency::Drop)],
        Scratch::default(),
        vec![0.0; 3 * 16 * 16],
    ));
}

fuzz_target!(init: allow_guarded_panics(), |data: &[u8]| {
    let Some((policy, bytes)) = data.split_first() else { return };
    STATE.with_borrow_mut(|(processors, scratch, out)| {
        if processors[usize::from(policy & 1)].process(bytes, scratch, out).is_ok() {
            assert!(out.iter().all(|x| (-1.0..=1.0).contains(x)));
        }
    });
});
