//! Whether a backbone gives the embeddings that a peer got from the same inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::backend::{Backend, Data};
use super::inputs::Pixels;
use super::meter::{Lane, Meter};
use super::options::Options;
use super::synthetic::synthetic;
use super::work::{Piece, Prepared, Work};
use crate::backbone::{Backbone, Device, Reference, Runtime};
use crate::error::{Error, Result};
use crate::preprocess::Preprocessing;
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
    let (backend, _) = Backend::open(runtime, None, backbone, (&options, 0), meter, &())?;
    let pieces = match &backbone.preprocessing {
        Preprocessing::Image(spec) => {
            let rows = reference.image_seeds.len();
            let data = Data::Images(rows, Pixels::Floats(synthetic(spec, &reference.image_seeds)?));
            vec![Piece { slots: (0..rows).collect(), goal: rows, data }]
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

/// −1 when the lengths differ or a vector is zero, so that it never passes.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return -1.0;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if cosine.is_finite() { cosine } else { -1.0 }
}
