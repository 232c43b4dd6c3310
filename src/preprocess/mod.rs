//! From file and text to the tensors a backbone takes.

mod decode;
mod geometry;
mod image;
mod jpeg;
mod resize;
mod spec;
mod text;
mod view;

pub use self::image::{ImagePreprocessor, Scratch};
pub use spec::{Exif, ImageSpec, Interpolation, Preprocessing, Step, TextSpec, Transparency};
pub(crate) use text::MAX_TOKENIZER_BYTES;
pub use text::{Encoded, TextPreprocessor, TokenBatch};
