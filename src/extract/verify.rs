//! Whether a backbone gives the embeddings that a peer got from the same inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::backend::{Backend, Data};
use super::meter::{Lane, Meter};
use super::options::Options;
use super::work::{Piece, Prepared, Work};
use crate::backbone::{Backbone, Device, Reference, Runtime};
use crate::error::{Error, Result};
use crate::preprocess::{ImagePreprocessor, Preprocessing, Scratch, Step};
use crate::source::{Content, Sample};

/// How near a backbone's embeddings are to the reference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// The backbone.
    pub name: String,
    /// Who computed the reference.
    pub author: String,
    /// The least cosine over the reference inputs.
    pub least_cosine: f64,
    /// The least that is accepted.
    pub min_cosine: f64,
    /// Whether it is reached.
    pub passed: bool,
}

/// Runs the reference inputs through a backbone on a device and compares.
///
/// # Errors
/// When the backbone cannot be opened or fails on an input, or the reference is of another shape.
pub fn verify(runtime: &Runtime, backbone: &Backbone, reference: &Reference, device: Device) -> Result<Verified> {
    let options = Options { device, threads: 1, ..Options::default() };
    let meter = Arc::new(Meter::new(None));
    let (backend, _) = Backend::open(runtime, backbone, &options, 0, meter)?;
    let pieces = match &backbone.preprocessing {
        Preprocessing::Image(spec) => {
            // The reference images have the backbone's own size: no filter enters.
            let [height, width] = ImagePreprocessor::new(spec.clone())?.output_size();
            let mut exact = spec.clone();
            exact.steps = vec![Step::Resize([height as u32, width as u32])];
            let processor = ImagePreprocessor::new(exact)?;
            let images =
                reference.image_seeds.iter().map(|&seed| synthetic(&processor, seed)).collect::<Result<Vec<_>>>()?;
            let data = Data::Pixels { rows: images.len(), values: images.concat() };
            vec![Piece { slots: (0..images.len()).collect(), goal: images.len(), data }]
        }
        Preprocessing::Text(_) => {
            let text = |(i, text): (usize, &String)| Sample {
                id: format!("reference text {i}"),
                content: Content::Text(text.clone()),
                label: None,
                kept: Vec::new(),
            };
            let samples: Vec<Sample> = reference.texts.iter().enumerate().map(text).collect();
            let Prepared { checked, pieces } = backend.prepare(Lane::Worker(0), &mut backend.scratch(), &samples);
            if let Some(r) = checked.into_iter().find_map(Result::err) {
                return Err(Error::model(&backbone.name, format!("{}: {}", r.id, r.reason)));
            }
            pieces
        }
    };
    let mut session = backend.runner()?;
    let mut embeddings = BTreeMap::new();
    for Piece { slots, data, .. } in pieces {
        let matrix = backend.run(&mut session, &data, 0..slots.len())?;
        embeddings.extend(slots.into_iter().zip(matrix.outer_iter().map(|row| row.to_vec())));
    }
    if embeddings.len() != reference.embeddings.len() || embeddings.is_empty() {
        let reason = format!("{} reference embeddings for {} inputs", reference.embeddings.len(), embeddings.len());
        return Err(Error::model(&backbone.name, reason));
    }
    let cosines = embeddings.values().zip(&reference.embeddings).map(|(a, b)| cosine(a, b));
    let least_cosine = cosines.fold(f64::INFINITY, f64::min);
    Ok(Verified {
        name: backbone.name.clone(),
        author: reference.author.clone(),
        least_cosine,
        min_cosine: reference.min_cosine,
        passed: least_cosine >= reference.min_cosine,
    })
}

/// One of the images that [`Reference::pixel`] defines, normalised.
fn synthetic(processor: &ImagePreprocessor, seed: u32) -> Result<Vec<f32>> {
    let [height, width] = processor.output_size();
    let mut rgb = Vec::with_capacity(3 * height * width);
    for y in 0..height as u32 {
        for x in 0..width as u32 {
            rgb.extend((0..3).map(|channel| Reference::pixel(seed, y, x, channel)));
        }
    }
    let mut pixels = vec![0.0; 3 * height * width];
    processor.process_rgb([height, width], &rgb, &mut Scratch::default(), &mut pixels).map_err(Error::Data)?;
    Ok(pixels)
}

/// −1 when the lengths differ or a vector is zero, so that it never passes.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return -1.0;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if cosine.is_finite() { cosine } else { -1.0 }
}
