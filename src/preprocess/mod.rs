//! From file and text to the tensors a backbone takes.

mod spec;

pub use spec::{Exif, ImageSpec, Interpolation, Preprocessing, Step, TextSpec};
