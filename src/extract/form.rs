//! The form in which a backbone runs: as it is on the CPU; on an accelerator with the normalisation of pixels in the graph,
//! so that bytes are uploaded and not floats, and in half precision where that is asked for.

use std::path::{Path, PathBuf};

use ndarray::Array2;

use super::inputs::{Inputs, Pixels};
use super::options::Options;
use super::synthetic::synthetic;
use crate::backbone::{
    Backbone, Feed, Home, Provider, RunPrecision, Runtime, Session, SessionOptions, ShapeRange, variants,
};
use crate::error::{Error, Result};
use crate::onnx::{self, Dimension, PixelLayout};
use crate::preprocess::{ImagePreprocessor, Preprocessing};
use crate::progress::Progress;

/// Texts of several lengths, that half precision is tried with.
const TEXTS: [&str; 3] =
    ["no", "what a lovely day", "It was neither as long nor as dull as I had been led to expect, all told."];
/// Images that half precision is tried with.
const IMAGES: [u32; 4] = [0, 1, 2, 3];

/// The ONNX file that runs, and how.
pub(super) struct Form {
    pub(super) model: PathBuf,
    pub(super) images: Images,
    pub(super) how: SessionOptions,
}

/// What an image backbone is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Images {
    Floats,
    Bytes,
}

impl Form {
    /// The form for a provider, which `how` names. What has to be made for it is kept in `home`.
    ///
    /// # Errors
    /// When a form cannot be made, or half precision is too far from single.
    pub(super) fn of(
        runtime: &Runtime,
        home: &Home,
        backbone: &Backbone,
        (options, provider): (&Options, Provider),
        how: SessionOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut form = Self { model: backbone.model.clone(), images: Images::Floats, how };
        if backbone.feed == Feed::Decoded {
            let refused = match (options.run_precision, provider) {
                (RunPrecision::F16, _) => "in half precision",
                (_, Provider::TensorRt(_)) => "on TensorRT, which plans for one size",
                _ => return Ok(form),
            };
            let reason =
                format!("it preprocesses images itself and cannot run {refused}: export it without --with-preprocess");
            return Err(Error::Usage(format!("{}: {reason}", backbone.name)));
        }
        if options.run_precision == RunPrecision::F16 {
            let mut probe = |session: &mut Session| probe(backbone, session);
            let model = (backbone.model.as_path(), &backbone.output);
            form.model = variants::half_precision(runtime, home, model, &form.how, &mut probe, progress)?.model;
            form.how.precision = RunPrecision::F16;
        }
        if provider == Provider::Cpu {
            return Ok(form);
        }
        if let Preprocessing::Image(spec) = &backbone.preprocessing {
            match variants::taking_bytes(home, &form.model, spec, PixelLayout::Chw, progress) {
                Ok(model) => (form.model, form.images) = (model, Images::Bytes),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(e) => progress.note(&format!("normalised values are uploaded, not bytes: {e}")),
            }
        }
        if matches!(provider, Provider::TensorRt(_)) {
            form.how.engines = Some(home.engines());
            let most = options.greatest_batch(&backbone.preprocessing);
            form.how.shapes = shapes(&form.model, &backbone.preprocessing, most)?;
        }
        Ok(form)
    }
}

/// The shapes that TensorRT plans for: up to so many rows, of images of their one size or texts with up to so many tokens.
fn shapes(model: &Path, prepared: &Preprocessing, (most, tokens): (usize, usize)) -> Result<Vec<ShapeRange>> {
    let edges = match prepared {
        Preprocessing::Image(spec) => Some(ImagePreprocessor::new(spec.clone())?.output_size()),
        Preprocessing::Text(_) => None,
    };
    let range = |input: onnx::Port| {
        let shape = input.shape.unwrap_or_default();
        let sized = |rows: usize, tokens: usize| -> Vec<usize> {
            let size = |(axis, known): (usize, &Dimension)| match (known, axis, edges) {
                (Dimension::Fixed(n), ..) => usize::try_from(*n).unwrap_or(1),
                (_, 0, _) => rows,
                (_, 1, Some(_)) => 3,
                (_, 2, Some([height, _])) => height,
                (_, _, Some([_, width])) => width,
                (_, _, None) => tokens,
            };
            shape.iter().enumerate().map(size).collect()
        };
        let (min, usual, max) = (sized(1, 1), sized(most, tokens.min(64)), sized(most, tokens));
        ShapeRange { input: input.name, min, usual, max }
    };
    Ok(onnx::signature(&onnx::read_model(model)?).inputs.into_iter().map(range).collect())
}

/// Embeddings of a few inputs by a session of the backbone.
fn probe(backbone: &Backbone, session: &mut Session) -> Result<Array2<f32>> {
    let inputs = Inputs::of(backbone, session)?;
    match (&inputs, &backbone.preprocessing) {
        (Inputs::Text { processor, .. }, _) => {
            let encoded = TEXTS.iter().map(|text| processor.encode(text)).collect::<Result<Vec<_>, _>>();
            let encoded = encoded.map_err(|reason| Error::model(&backbone.name, reason))?;
            inputs.run_tokens(&backbone.output, session, &encoded)
        }
        (_, Preprocessing::Image(spec)) => {
            let images = Pixels::Floats(synthetic(spec, &IMAGES)?);
            inputs.run_pixels(&backbone.output, session, &images, 0..IMAGES.len())
        }
        (Inputs::Image { .. }, Preprocessing::Text(_)) => Err(Error::model(&backbone.name, "it takes texts")),
    }
}
