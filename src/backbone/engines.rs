//! TensorRT's engines: what one is valid for, and the folder where it is kept.

use std::path::{Path, PathBuf};

use super::gpu::{self, Gpu};
use super::options::{SessionOptions, ShapeRange};
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::file;

/// All that decides whether an engine may be used again. TensorRT itself checks only part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    model: String,
    onnxruntime: String,
    tensorrt: String,
    driver: String,
    compute_capability: String,
    precision: &'static str,
    shapes: [String; 3],
}

impl Key {
    fn text(&self) -> String {
        let [min, usual, max] = &self.shapes;
        format!(
            "model sha256: {}\nONNX Runtime: {}\nTensorRT: {}\ndriver: {}\ncompute capability: {}\nprecision: {}\nleast \
             shapes: {min}\nusual shapes: {usual}\ngreatest shapes: {max}\n",
            self.model, self.onnxruntime, self.tensorrt, self.driver, self.compute_capability, self.precision
        )
    }
}

/// The folder for the engines of this model on this card, made if need be; `key.txt` in it says what they are for. `None`
/// where the card or TensorRT do not tell their versions: an engine of which that is not known is never used again.
pub(super) fn folder(
    model: &Path,
    device: u32,
    onnxruntime: &str,
    tensorrt: Option<String>,
    options: &SessionOptions,
) -> Result<Option<PathBuf>> {
    let Some(engines) = &options.engines else { return Ok(None) };
    let card = gpu::gpus().ok().and_then(|cards| cards.into_iter().find(|card| card.index == device));
    let (Some(Gpu { driver, compute_capability, .. }), Some(tensorrt)) = (card, tensorrt) else { return Ok(None) };
    let key = Key {
        model: Weights::of(model)?.sha256,
        onnxruntime: onnxruntime.to_owned(),
        tensorrt,
        driver,
        compute_capability,
        precision: options.precision.name(),
        shapes: profiles(&options.shapes),
    };
    keep(engines, &key).map(Some)
}

fn keep(engines: &Path, key: &Key) -> Result<PathBuf> {
    let text = key.text();
    let mut name = file::sha256_hex(text.as_bytes());
    name.truncate(32);
    let folder = engines.join(name);
    std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    file::write_atomic(&folder.join("key.txt"), text.as_bytes())?;
    Ok(folder)
}

/// TensorRT's least, usual and greatest shapes, as ONNX Runtime takes them: `x:1x3x224x224,y:1x8`.
pub(super) fn profiles(shapes: &[ShapeRange]) -> [String; 3] {
    let one = |pick: fn(&ShapeRange) -> &[usize]| {
        let shape = |range: &ShapeRange| {
            let sizes: Vec<String> = pick(range).iter().map(usize::to_string).collect();
            format!("{}:{}", range.input, sizes.join("x"))
        };
        shapes.iter().map(shape).collect::<Vec<_>>().join(",")
    };
    [one(|r| &r.min), one(|r| &r.usual), one(|r| &r.max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_engine_depends_on_changes_its_folder() {
        let key = Key {
            model: "m".to_owned(),
            onnxruntime: "1.31.1".to_owned(),
            tensorrt: "101300".to_owned(),
            driver: "580.95.05".to_owned(),
            compute_capability: "9.0".to_owned(),
            precision: "f32",
            shapes: ["x:1x3", "x:8x3", "x:64x3"].map(str::to_owned),
        };
        let other = |change: fn(&mut Key)| {
            let mut key = key.clone();
            change(&mut key);
            key
        };
        let others = [
            other(|k| k.model = "n".to_owned()),
            other(|k| k.onnxruntime = "1.32.0".to_owned()),
            other(|k| k.tensorrt = "101400".to_owned()),
            other(|k| k.driver = "581.0".to_owned()),
            other(|k| k.compute_capability = "8.0".to_owned()),
            other(|k| k.precision = "f16"),
            other(|k| k.shapes[0] = "x:2x3".to_owned()),
            other(|k| k.shapes[2] = "x:65x3".to_owned()),
        ];
        let home = tempfile::tempdir().unwrap();
        let folder = keep(home.path(), &key).unwrap();
        assert_eq!(keep(home.path(), &key).unwrap(), folder);
        assert_eq!(file::read_text(&folder.join("key.txt")).unwrap(), key.text());
        let mut folders: Vec<PathBuf> = others.iter().map(|k| keep(home.path(), k).unwrap()).collect();
        folders.push(folder);
        folders.sort();
        folders.dedup();
        assert_eq!(folders.len(), others.len() + 1);
    }

    #[test]
    fn shapes_are_written_as_onnx_runtime_reads_them() {
        let range = |input: &str, min: &[usize], usual: &[usize], max: &[usize]| ShapeRange {
            input: input.to_owned(),
            min: min.to_vec(),
            usual: usual.to_vec(),
            max: max.to_vec(),
        };
        let ids = range("input_ids", &[1, 8], &[32, 64], &[64, 256]);
        let mask = range("attention_mask", &[1, 8], &[32, 64], &[64, 256]);
        let [min, usual, max] = profiles(&[ids, mask]);
        assert_eq!(min, "input_ids:1x8,attention_mask:1x8");
        assert_eq!(usual, "input_ids:32x64,attention_mask:32x64");
        assert_eq!(max, "input_ids:64x256,attention_mask:64x256");
        assert_eq!(profiles(&[]), ["", "", ""]);
    }
}
