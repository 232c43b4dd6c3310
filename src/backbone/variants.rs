//! A backbone in another form, for accelerators: half precision, or with the normalisation of pixels in the graph.
//!
//! Variants are kept in engraft's own folder under a digest of what they were made from, whole or not at all.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::gpu::gpus;
use super::home::Home;
use super::manifest::Output;
use super::options::{RunPrecision, SessionOptions};
use super::provider::{Device, Provider};
use super::runtime::Runtime;
use super::session::Session;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::file;
use crate::onnx::{self, PixelLayout, PixelScale};
use crate::preprocess::ImageSpec;
use crate::progress::Progress;

/// Changes whenever a conversion gives another graph than before, so that old files are not taken for new ones.
const VERSION: u32 = 2;

/// The least cosine between an embedding in half precision and the same in single precision.
pub const MIN_COSINE: f64 = 0.999;

/// A backbone in half precision that was held against itself in single precision.
#[derive(Debug, Clone, PartialEq)]
pub struct HalfPrecision {
    /// The ONNX file.
    pub model: PathBuf,
    /// The least cosine among the probe's rows; at least [`MIN_COSINE`].
    pub min_cosine: f64,
}

/// What a comparison found, for one provider and version of ONNX Runtime.
#[derive(Debug, Serialize, Deserialize)]
struct Gate {
    min_cosine: f64,
}

/// The image backbone that takes bytes in this layout and does itself what `spec` says of scale, mean and std.
///
/// # Errors
/// When the model has not one image input of f32, or the home cannot be written.
pub fn taking_bytes(
    home: &Home,
    model: &Path,
    spec: &ImageSpec,
    layout: PixelLayout,
    progress: &dyn Progress,
) -> Result<PathBuf> {
    let pixels = PixelScale { scale: spec.scale, mean: spec.mean, std: spec.std };
    make(home, model, &format!("bytes {layout:?} {pixels:?}"), progress, |graph, name| {
        onnx::take_bytes(graph, layout, pixels, name)
    })
}

/// The backbone in half precision, after the gate: `probe` embeds the same few inputs with the session that it is given,
/// once in single and once in half precision on the device of `options`, and the rows are compared. What passed once is not
/// run again for the same output with the same ONNX Runtime on the same provider and card.
///
/// # Errors
/// [`Error::Model`] when a row's cosine is below [`MIN_COSINE`], or the model cannot be converted; whatever a session or
/// `probe` returns.
pub fn half_precision(
    runtime: &Runtime,
    home: &Home,
    (model, output): (&Path, &Output),
    options: &SessionOptions,
    probe: &mut dyn FnMut(&mut Session) -> Result<Array2<f32>>,
    progress: &dyn Progress,
) -> Result<HalfPrecision> {
    let half = make(home, model, "float16", progress, |graph, name| onnx::to_half(graph, &HashSet::new(), name))?;
    let gate = |provider: Provider| {
        let card = match provider {
            Provider::Cuda(n) | Provider::TensorRt(n) => {
                gpus().ok().and_then(|all| all.into_iter().nth(usize::try_from(n).ok()?))
            }
            _ => None,
        };
        let of = format!("{output:?}\n{card:?}\n{}\n{}", provider.name(), runtime.version);
        let mut digest = file::sha256_hex(of.as_bytes());
        digest.truncate(16);
        half.with_extension(format!("{digest}.json"))
    };
    let found = |min_cosine| HalfPrecision { model: half.clone(), min_cosine };
    if let Device::Only(provider) = options.device
        && let Some(min_cosine) = passed(&gate(provider))
    {
        return Ok(found(min_cosine));
    }
    let (mut single, _) = Session::open(runtime, model, &output.tensor, options)?;
    let gate = gate(single.provider());
    if let Some(min_cosine) = passed(&gate) {
        return Ok(found(min_cosine));
    }
    let expected = probe(&mut single)?;
    drop(single);
    let halved = SessionOptions { precision: RunPrecision::F16, ..options.clone() };
    let (mut session, _) = Session::open(runtime, &half, &output.tensor, &halved)?;
    let min_cosine = agree(&model.display().to_string(), expected.view(), probe(&mut session)?.view())?;
    let text = serde_json::to_string(&Gate { min_cosine }).unwrap_or_default();
    file::write_atomic(&gate, text.as_bytes())?;
    Ok(found(min_cosine))
}

/// The least cosine of an earlier comparison, if it was good enough.
fn passed(gate: &Path) -> Option<f64> {
    let Gate { min_cosine } = serde_json::from_str(&file::read_text(gate).ok()?).ok()?;
    (min_cosine >= MIN_COSINE).then_some(min_cosine)
}

/// The least cosine between the rows of two matrices: embeddings of the same inputs in single and in half precision.
///
/// # Errors
/// [`Error::Model`] when it is below [`MIN_COSINE`], a value is not finite, or the shapes differ.
pub fn agree(model: &str, single: ArrayView2<f32>, half: ArrayView2<f32>) -> Result<f64> {
    let way_out = "run it with --precision-run f32";
    if single.dim() != half.dim() || single.is_empty() {
        let reason =
            format!("half precision gives {:?} values where single gives {:?}; {way_out}", half.dim(), single.dim());
        return Err(Error::model(model, reason));
    }
    let mut least = f64::INFINITY;
    for (a, b) in single.outer_iter().zip(half.outer_iter()) {
        let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (f64::from(a), f64::from(b));
            dot += a * b;
            aa += a * a;
            bb += b * b;
        }
        let cosine = dot / (aa * bb).sqrt();
        if cosine.is_nan() || cosine < MIN_COSINE {
            let reason = format!(
                "in half precision an embedding has the cosine {cosine:.6} to the same in single precision, and {MIN_COSINE} \
                 is asked for; {way_out}"
            );
            return Err(Error::model(model, reason));
        }
        least = least.min(cosine);
    }
    Ok(least)
}

/// The variant `what` of a model, made if it is not there.
fn make(
    home: &Home,
    model: &Path,
    what: &str,
    progress: &dyn Progress,
    convert: impl FnOnce(onnx::Model, &str) -> Result<onnx::Model>,
) -> Result<PathBuf> {
    let mut key = file::sha256_hex(format!("{VERSION}\n{}\n{what}", Weights::of(model)?.sha256).as_bytes());
    key.truncate(32);
    let path = home.variants().join(format!("{key}.onnx"));
    if path.is_file() {
        return Ok(path);
    }
    let _alone = home.lock(&key, progress)?;
    if !path.is_file() {
        let converted = convert(onnx::read_whole_model(model)?, &model.display().to_string())?;
        onnx::write_model(&converted, &path)?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn rows_that_turned_are_refused() {
        let single = array![[1.0_f32, 0.0], [0.0, 2.0]];
        let least = agree("m", single.view(), array![[1.0, 0.01], [0.0, 2.0]].view()).unwrap();
        assert!((least - 0.99995).abs() < 1e-6, "{least}");
        for half in [array![[1.0, 0.1], [0.0, 2.0]], array![[1.0, 0.0], [f32::NAN, 2.0]], array![[1.0, 0.0]]] {
            let error = agree("m", single.view(), half.view()).unwrap_err().to_string();
            assert!(error.contains("--precision-run f32"), "{error}");
        }
    }
}
