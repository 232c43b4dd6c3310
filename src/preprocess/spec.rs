//! What preprocessing a backbone was trained with: plain data, hashed into every provenance.

use serde::{Deserialize, Serialize};

/// The preprocessing of a backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Preprocessing {
    /// Of an image backbone.
    Image(ImageSpec),
    /// Of a text backbone.
    Text(TextSpec),
}

/// Decode → EXIF → RGB on white → `steps` in order → `(scale·x − mean) / std`, giving f32 NCHW, RGB, `x` in 0..=255.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Geometry, in order. The last steps must lead to a fixed size.
    pub steps: Vec<Step>,
    /// The resize filter, by Pillow's name.
    pub interpolation: Interpolation,
    /// Applied to the 0..=255 value first; usually 1/255.
    pub scale: f32,
    /// Per channel, after scaling.
    pub mean: [f32; 3],
    /// Per channel, after scaling.
    pub std: [f32; 3],
    /// What is done with the EXIF orientation.
    #[serde(default)]
    pub exif: Exif,
    /// What shows through transparent pixels.
    #[serde(default)]
    pub transparency: Transparency,
}

/// One geometric step. Sizes are `[height, width]` in pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Resize to exactly this size.
    Resize([u32; 2]),
    /// Resize so that the shorter edge is this long, the other edge `int(long * edge / short)`, as
    /// torchvision and the slow Hugging Face image processors do.
    ShortestEdge(u32),
    /// Cut out the centre; where the image is smaller it is padded with zeros (black).
    CenterCrop([u32; 2]),
    /// Cut out the central square of side `short · size / (size + margin)`: TensorFlow's EfficientNet evaluation crop.
    CentralSquare {
        /// The backbone's input size.
        size: u32,
        /// The margin in pixels at that size; 32 in the EfficientNet papers.
        margin: u32,
    },
}

/// Pillow's resampling filters; all but nearest antialias when they reduce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Pillow 0.
    Nearest,
    /// Pillow 1.
    Lanczos,
    /// Pillow 2.
    Bilinear,
    /// Pillow 3.
    Bicubic,
    /// Pillow 4.
    Box,
    /// Pillow 5.
    Hamming,
}

impl Interpolation {
    /// Half the width of the filter, in pixels of the smaller image.
    pub fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }
}

/// The EXIF orientation policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exif {
    /// Turn the image upright, as a viewer shows it (the default).
    #[default]
    Apply,
    /// Take the pixels as stored, as plain Pillow does.
    Ignore,
}

/// The transparency policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transparency {
    /// A white ground, as a viewer or a page shows it (the default).
    #[default]
    White,
    /// Whatever colour a transparent pixel holds, as plain Pillow's `convert("RGB")` has it: often black or garbage.
    Drop,
}

/// Tokenise, truncate, and pad to the longest text of the batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// Greatest number of tokens, special tokens included; longer texts are cut and counted.
    pub max_length: usize,
}
