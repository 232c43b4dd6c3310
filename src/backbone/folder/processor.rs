//! `preprocessor_config.json`: the image processors of Hugging Face transformers.
//!
//! A key that is absent means the default of the processor's Python class, so the few classes with known defaults are
//! listed here; of any other class every key has to be there.

use serde::Deserialize;
use serde_json::Value;

use super::image::Values;
use crate::preprocess::{Interpolation, Step};

/// The keys that are read.
#[derive(Debug, Deserialize)]
pub(super) struct Processor {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Value>,
    resample: Option<Value>,
    do_center_crop: Option<bool>,
    crop_size: Option<Value>,
    crop_pct: Option<f64>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f32>,
    #[serde(default)]
    rescale_offset: bool,
    do_normalize: Option<bool>,
    image_mean: Option<Value>,
    image_std: Option<Value>,
    include_top: Option<bool>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

/// Keys that, when they are true, change the pixels in a way that has no counterpart here.
const UNSUPPORTED: [&str; 8] = [
    "do_pad",
    "do_grayscale",
    "do_convert_grayscale",
    "do_thumbnail",
    "do_align_long_axis",
    "do_crop_margin",
    "keep_aspect_ratio",
    "do_image_splitting",
];

/// What a class does where its file is silent.
#[derive(Clone, Copy)]
struct Class {
    algorithm: Algorithm,
    /// What a bare number means as `size`.
    number: Number,
    resample: Interpolation,
    center_crop: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Number {
    Square,
    ShortestEdge,
}

/// How `size` becomes a resize.
#[derive(Clone, Copy, PartialEq)]
enum Algorithm {
    /// As it says.
    Plain,
    /// ConvNext: below 384, the shorter edge to `size / crop_pct`, then a crop to `size`; else squashed to `size`.
    ConvNext,
    /// LeViT: the shorter edge to `256 / 224 · size`.
    Levit,
    /// EfficientNet: with `include_top`, divided by the std once more.
    EfficientNet,
}

fn class(name: &str) -> Option<Class> {
    use Algorithm::{ConvNext, EfficientNet, Levit, Plain};
    use Interpolation::{Bicubic, Bilinear, Nearest};
    use Number::{ShortestEdge, Square};
    let class = |algorithm, number, resample, center_crop| Some(Class { algorithm, number, resample, center_crop });
    match name {
        "ViT" => class(Plain, Square, Bilinear, false),
        "Deit" | "DeiT" | "Beit" | "BEiT" => class(Plain, Square, Bicubic, true),
        "CLIP" | "ChineseCLIP" | "Bit" => class(Plain, ShortestEdge, Bicubic, true),
        "Siglip" => class(Plain, Square, Bicubic, false),
        "MobileNetV1" | "MobileNetV2" => class(Plain, ShortestEdge, Bilinear, true),
        "ConvNext" => class(ConvNext, ShortestEdge, Bilinear, false),
        "Levit" => class(Levit, ShortestEdge, Bicubic, true),
        "EfficientNet" => class(EfficientNet, Square, Nearest, false),
        _ => None,
    }
}

impl Processor {
    /// The class's name without what all of them end in.
    fn family(&self) -> &str {
        let name = self.image_processor_type.as_deref().or(self.feature_extractor_type.as_deref()).unwrap_or_default();
        let endings = ["ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor"];
        endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
    }

    fn class(&self) -> Option<Class> {
        class(self.family())
    }

    /// timm's models under transformers: the file only says so.
    pub(super) fn defers_to_timm(&self) -> bool {
        self.family() == "TimmWrapper"
    }

    /// Whether the model takes BGR: no flag mends that.
    pub(super) fn flips_channels(&self) -> bool {
        self.others.get("do_flip_channel_order") == Some(&Value::Bool(true))
    }

    fn algorithm(&self) -> Algorithm {
        self.class().map_or(Algorithm::Plain, |class| class.algorithm)
    }

    /// The geometry; `size` is the input size the user asks for, where it may differ from the file's.
    pub(super) fn steps(&self, size: Option<[u32; 2]>) -> Result<Vec<Step>, String> {
        if let Some(key) = UNSUPPORTED.iter().find(|key| self.others.get(**key) == Some(&Value::Bool(true))) {
            return Err(format!("{key} is not supported; give --resize and --image-size if it can be left out"));
        }
        if self.crop_pct.is_some() && self.algorithm() != Algorithm::ConvNext {
            return Err(format!("crop_pct of {} is not known; give --resize and --image-size", self.name()));
        }
        let steps = match self.algorithm() {
            Algorithm::ConvNext => self.convnext()?,
            _ => self.resize()?.into_iter().chain(self.crop()?).collect(),
        };
        match (size, &steps[..]) {
            (None, [.., Step::Resize(_) | Step::CenterCrop(_)]) => Ok(steps),
            (None, _) => Err("it leads to no fixed size; give --resize and --image-size".into()),
            (Some(size), [Step::Resize(_)]) => Ok(vec![Step::Resize(size)]),
            (Some(size), [.., Step::CenterCrop(crop)]) if *crop == size => Ok(steps),
            (Some(_), _) => Err(format!("--image-size differs from the crop of {steps:?}; give --resize too")),
        }
    }

    fn resize(&self) -> Result<Option<Step>, String> {
        if self.do_resize == Some(false) {
            return Ok(None);
        }
        let size = self.size.as_ref().ok_or("it does not say the size; give --resize and --image-size")?;
        let step = match (read_size(size), self.class().map(|class| class.number)) {
            (Some(Size::Exact(size)), _) | (Some(Size::Number(size)), Some(Number::Square)) => Step::Resize(size),
            (Some(Size::Shortest(edge)), _) => Step::ShortestEdge(edge),
            (Some(Size::Number([edge, _])), Some(Number::ShortestEdge)) => Step::ShortestEdge(edge),
            (Some(Size::Number(_)), None) => {
                return Err(format!(
                    "size {size} of {} is the shorter edge or a square; say which with --resize",
                    self.name()
                ));
            }
            (None, _) => return Err(format!("size {size} is not supported; give --resize and --image-size")),
        };
        Ok(Some(match step {
            // int(256 / 224 · edge), as LevitImageProcessor computes it in floats.
            Step::ShortestEdge(edge) if self.algorithm() == Algorithm::Levit => {
                Step::ShortestEdge((256.0 / 224.0 * f64::from(edge)) as u32)
            }
            step => step,
        }))
    }

    fn crop(&self) -> Result<Option<Step>, String> {
        let silent = self.class().map(|class| class.center_crop).or(self.crop_size.is_none().then_some(false));
        let crop = self.do_center_crop.or(silent);
        match (crop, self.crop_size.as_ref().map(|size| (size, read_size(size)))) {
            (Some(false), _) => Ok(None),
            (None, _) => Err("it has a crop_size, but not do_center_crop; give --resize and --image-size".into()),
            (Some(true), Some((_, Some(Size::Exact(size) | Size::Number(size))))) => Ok(Some(Step::CenterCrop(size))),
            (Some(true), Some((size, _))) => {
                Err(format!("crop_size {size} is not supported; give --image-size and --resize"))
            }
            (Some(true), None) => Err("it crops, but does not say crop_size; give --image-size and --resize".into()),
        }
    }

    fn convnext(&self) -> Result<Vec<Step>, String> {
        let size = self.size.as_ref().ok_or("it does not say the size; give --resize and --image-size")?;
        let edge = match read_size(size) {
            Some(Size::Shortest(edge) | Size::Number([edge, _])) => edge,
            _ => return Err(format!("size {size} is not supported; give --resize and --image-size")),
        };
        if self.do_resize == Some(false) {
            return Err("do_resize is off, so that it leads to no fixed size; give --resize and --image-size".into());
        }
        if edge >= 384 {
            return Ok(vec![Step::Resize([edge; 2])]);
        }
        // The class's default, 224 / 256.
        let resized = f64::from(edge) / self.crop_pct.unwrap_or(0.875);
        Ok(vec![Step::ShortestEdge(resized as u32), Step::CenterCrop([edge; 2])])
    }

    pub(super) fn interpolation(&self) -> Result<Interpolation, String> {
        match (&self.resample, self.class()) {
            (Some(number), _) => {
                pillow(number).ok_or_else(|| format!("resample {number} is not known; give --interpolation"))
            }
            (None, Some(class)) => Ok(class.resample),
            (None, None) => Err(format!("{} does not say resample; give --interpolation", self.name())),
        }
    }

    pub(super) fn values(&self) -> Result<Values, String> {
        let scale = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(1.0 / 255.0),
        };
        // EfficientNet's offset: scale·x − 1.
        let offset = if self.rescale_offset { 1.0 } else { 0.0 };
        if self.do_normalize == Some(false) {
            return Ok(Values { scale, mean: [offset; 3], std: [1.0; 3] });
        }
        let triple = |key: &str, value: &Option<Value>| {
            let triple = value.as_ref().and_then(|v| serde_json::from_value::<[f32; 3]>(v.clone()).ok());
            triple.ok_or_else(|| format!("{key} is not three numbers; give --mean and --std"))
        };
        let mean = triple("image_mean", &self.image_mean)?.map(|m| m + offset);
        let std = triple("image_std", &self.image_std)?;
        // EfficientNetImageProcessor.preprocess: include_top (the default) normalises twice, the second time with mean 0.
        let twice = self.algorithm() == Algorithm::EfficientNet && self.include_top != Some(false);
        Ok(Values { scale, mean, std: if twice { std.map(|s| s * s) } else { std } })
    }

    fn name(&self) -> &str {
        match self.family() {
            "" => "a processor that does not say its class",
            name => name,
        }
    }
}

enum Size {
    /// `{"height": h, "width": w}`.
    Exact([u32; 2]),
    /// `{"shortest_edge": n}`.
    Shortest(u32),
    /// A bare number: older files, and its meaning depends on the class.
    Number([u32; 2]),
}

fn read_size(value: &Value) -> Option<Size> {
    let edge = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    if let Some(n) = edge(value) {
        return Some(Size::Number([n; 2]));
    }
    let map = value.as_object()?;
    let get = |key: &str| map.get(key).filter(|v| !v.is_null()).map(edge);
    match (get("height"), get("width"), get("shortest_edge"), get("longest_edge")) {
        (Some(Some(height)), Some(Some(width)), None, None) => Some(Size::Exact([height, width])),
        (None, None, Some(Some(edge)), None) => Some(Size::Shortest(edge)),
        _ => None,
    }
}

/// Pillow's number of a filter.
fn pillow(number: &Value) -> Option<Interpolation> {
    Some(match number.as_u64()? {
        0 => Interpolation::Nearest,
        1 => Interpolation::Lanczos,
        2 => Interpolation::Bilinear,
        3 => Interpolation::Bicubic,
        4 => Interpolation::Box,
        5 => Interpolation::Hamming,
        _ => return None,
    })
}
