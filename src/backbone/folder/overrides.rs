//! What the user says of a model, before what its files say.

use std::path::PathBuf;

use crate::backbone::Pooling;
use crate::preprocess::{Interpolation, Step};
use crate::source::Modality;

/// What the user says of a model; each field is a flag, and `None` leaves it to the model's files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// `--onnx-file`: relative to the model's folder, with `/`.
    pub onnx_file: Option<String>,
    /// `--modality`: what the model embeds.
    pub modality: Option<Modality>,
    /// `--image-size`: height and width of the model's input, in pixels.
    pub image_size: Option<[u32; 2]>,
    /// `--resize`: how an image comes to that size.
    pub resize: Option<Resize>,
    /// `--interpolation`: the resize filter.
    pub interpolation: Option<Interpolation>,
    /// `--mean`: per channel, of values scaled to 0..=1. Goes with `std`.
    pub mean: Option<[f32; 3]>,
    /// `--std`: per channel, of values scaled to 0..=1. Goes with `mean`.
    pub std: Option<[f32; 3]>,
    /// `--tokenizer`: path of a `tokenizer.json`.
    pub tokenizer: Option<PathBuf>,
    /// `--max-length`: greatest number of tokens, special tokens included.
    pub max_length: Option<usize>,
    /// `--output-name`: the tensor to take, an inner one too; several with commas between are joined in that order.
    pub output_name: Option<String>,
    /// `--layers`: the layers whose outputs to take and join, 1 the first, −1 the last; for known backbones.
    pub layers: Option<Vec<i64>>,
    /// `--pooling`: how token vectors or maps of features become one vector.
    pub pooling: Option<Pooling>,
    /// `--normalize`: whether embeddings are divided by their length.
    pub normalize: Option<bool>,
}

/// How an image comes to the model's input size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// `squash`: resized to exactly the input size, whatever its aspect ratio.
    Squash,
    /// A number: resized until the shorter edge has so many pixels, then the centre is cut out.
    ShortestEdge(u32),
}

impl Resize {
    /// The steps that lead to `size`, height and width.
    pub(super) fn steps(self, size: [u32; 2]) -> Vec<Step> {
        match self {
            Self::Squash => vec![Step::Resize(size)],
            Self::ShortestEdge(edge) => vec![Step::ShortestEdge(edge), Step::CenterCrop(size)],
        }
    }
}

impl std::str::FromStr for Resize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("squash", _) => Ok(Self::Squash),
            (_, Ok(edge)) if edge > 0 => Ok(Self::ShortestEdge(edge)),
            _ => Err(format!("{text}: neither squash nor the length of the shorter edge in pixels")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read() {
        assert_eq!("squash".parse(), Ok(Resize::Squash));
        assert_eq!("256".parse(), Ok(Resize::ShortestEdge(256)));
        assert!("0".parse::<Resize>().is_err() && "crop".parse::<Resize>().is_err());
    }
}
