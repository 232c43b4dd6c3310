//! timm's `config.json`: `pretrained_cfg` says what the weights were evaluated with.
//!
//! The geometry is `timm.data.transforms_factory.transforms_imagenet_eval`; what the file leaves out has timm's defaults
//! (`timm.data.resolve_data_config`).

use serde::Deserialize;

use super::image::Values;
use crate::preprocess::{Interpolation, Step};

#[derive(Deserialize)]
pub(super) struct TimmConfig {
    pub(super) pretrained_cfg: Option<Trained>,
}

/// What the weights were evaluated with.
#[derive(Debug, Deserialize)]
pub(super) struct Trained {
    /// Channels, height, width.
    input_size: Option<[u32; 3]>,
    interpolation: Option<String>,
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    license: Option<String>,
}

impl Trained {
    /// The geometry; `size` is the input size the user asks for, where it may differ from the file's.
    pub(super) fn steps(&self, size: Option<[u32; 2]>) -> Result<Vec<Step>, String> {
        let [height, width] = match (size, self.input_size) {
            (_, Some([channels, _, _])) if channels != 3 => {
                return Err(format!("the model takes {channels} channels, where 3 are needed"));
            }
            (Some(size), _) => size,
            (None, Some([_, height, width])) => [height, width],
            (None, None) => return Err("pretrained_cfg has no input_size; give --image-size".into()),
        };
        let crop_pct = self.crop_pct.unwrap_or(0.875);
        if !(crop_pct > 0.0 && crop_pct.is_finite()) {
            return Err(format!("crop_pct {crop_pct} is not a share; give --resize"));
        }
        let enlarged = |edge: u32| (f64::from(edge) / crop_pct).floor() as u32;
        let crop = Step::CenterCrop([height, width]);
        match self.crop_mode.as_deref().unwrap_or("center") {
            "squash" => Ok(vec![Step::Resize([enlarged(height), enlarged(width)]), crop]),
            "center" if height == width => Ok(vec![Step::ShortestEdge(enlarged(height)), crop]),
            "center" => {
                Err(format!("crop_mode center to {height}x{width}, not a square, is not supported; give --resize"))
            }
            mode => Err(format!("crop_mode {mode} is not supported; give --resize")),
        }
    }

    pub(super) fn interpolation(&self) -> Result<Interpolation, String> {
        Ok(match self.interpolation.as_deref().unwrap_or("bicubic") {
            "nearest" => Interpolation::Nearest,
            "lanczos" => Interpolation::Lanczos,
            "bilinear" => Interpolation::Bilinear,
            "bicubic" => Interpolation::Bicubic,
            "box" => Interpolation::Box,
            "hamming" => Interpolation::Hamming,
            other => return Err(format!("interpolation {other} is not one filter; give --interpolation")),
        })
    }

    pub(super) fn values(&self) -> Values {
        Values {
            scale: 1.0 / 255.0,
            mean: self.mean.unwrap_or([0.485, 0.456, 0.406]),
            std: self.std.unwrap_or([0.229, 0.224, 0.225]),
        }
    }

    /// The licence of the weights.
    pub(super) fn licence(&self) -> Option<String> {
        self.license.clone()
    }
}
