//! From file and text to the tensors a backbone takes.

mod augment;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod decode;
mod geometry;
mod horizontal;
mod image;
mod jpeg;
mod resize;
mod spec;
mod text;
mod thumbnail;
mod view;

pub use self::image::{ImagePreprocessor, Scratch};
pub use augment::random_view;
pub use spec::{Exif, ImageSpec, Interpolation, Preprocessing, Step, TextSpec, Transparency};
pub(crate) use text::MAX_TOKENIZER_BYTES;
pub use text::{Encoded, TextPreprocessor, TokenBatch};
pub use thumbnail::thumbnail;
