//! Whether the preprocessing in a file makes the pixels that engraft makes.

use std::path::Path;

use ndarray::ArrayView2;
use serde::Serialize;

use super::agreement::worst_of;
use super::images::take_images;
use crate::backbone::{Backbone, Feed, Output, Pooling};
use crate::error::{Error, Result};
use crate::onnx::build::{Dim, attr_int};
use crate::onnx::{DataType, GraphBuilder, write_model};
use crate::preprocess::{ImagePreprocessor, ImageSpec, Preprocessing};

/// What the graph's pixels may differ by: the last bit of a byte. On ONNX Runtime's CPU they do not differ.
const MOST: f64 = 1.0;

/// The pixels that a graph makes and those that engraft makes, compared: in bytes, before they are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PixelAgreement {
    /// Images compared.
    pub images: usize,
    /// The greatest difference of two values, of 255.
    pub greatest_difference: f64,
    /// The mean difference.
    pub mean_difference: f64,
}

impl PixelAgreement {
    /// Compares rows of pixels.
    ///
    /// # Errors
    /// [`Error::Data`] when they are not of the same images.
    pub fn of(own: ArrayView2<f32>, graph: ArrayView2<f32>) -> Result<Self> {
        if own.dim() != graph.dim() {
            return Err(Error::Data(format!("pixels of {:?} and of {:?} cannot be compared", own.dim(), graph.dim())));
        }
        let differences = own.iter().zip(graph).map(|(a, b)| f64::from((a - b).abs()));
        let sum: f64 = differences.clone().sum();
        Ok(Self {
            images: own.nrows(),
            greatest_difference: worst_of(differences),
            mean_difference: sum / own.len().max(1) as f64,
        })
    }

    /// Whether they are equal.
    pub fn is_exact(&self) -> bool {
        self.greatest_difference == 0.0
    }

    /// Whether no value differs by more than its last bit.
    pub fn holds(&self) -> bool {
        self.greatest_difference <= MOST
    }
}

/// Two backbones, kept in `folder`, of which the embedding is the pixels that `spec` makes: engraft makes them for the first, and the
/// graph of the second makes them itself. Values are bytes and one, so that none is zero.
///
/// # Errors
/// Those of [`take_images`], and when the files cannot be written.
pub fn pixel_backbones(spec: &ImageSpec, folder: &Path) -> Result<[Backbone; 2]> {
    let spec = ImageSpec { scale: 1.0, mean: [-1.0; 3], std: [1.0; 3], ..spec.clone() };
    let size = ImagePreprocessor::new(spec.clone())?.output_size();
    let [height, width] = size.map(|edge| i64::try_from(edge).unwrap_or(i64::MAX));
    let mut graph = GraphBuilder::new("pixels");
    let dims = [Dim::Named("n"), Dim::Fixed(3), Dim::Fixed(height), Dim::Fixed(width)];
    graph.input("pixels", DataType::Float, &dims);
    graph.node("Flatten", &["pixels"], "values", vec![attr_int("axis", 1)]);
    graph.output("values", DataType::Float, &[Dim::Named("n"), Dim::Fixed(3 * height * width)]);
    let prepared = graph.finish();
    let decoded = take_images(prepared.clone(), &spec, "the preprocessing")?;
    let kept = |name: &str, model, feed| -> Result<Backbone> {
        let path = folder.join(name);
        write_model(model, &path)?;
        Ok(Backbone {
            name: name.to_owned(),
            model: path,
            tokenizer: None,
            preprocessing: Preprocessing::Image(spec.clone()),
            feed,
            output: Output { tensor: "values".to_owned(), pooling: Pooling::None, normalize: false },
            licence: None,
        })
    };
    Ok([kept("pixels.onnx", &prepared, Feed::Prepared)?, kept("images.onnx", &decoded, Feed::Decoded)?])
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn differences_are_counted_in_bytes() {
        let own = array![[1.0, 2.0], [3.0, 256.0]];
        let same = PixelAgreement::of(own.view(), own.view()).unwrap();
        assert!(same.is_exact() && same.holds() && same.images == 2);
        let near = PixelAgreement::of(own.view(), array![[1.0, 3.0], [3.0, 256.0]].view()).unwrap();
        assert!(!near.is_exact() && near.holds() && near.mean_difference == 0.25);
        let far = PixelAgreement::of(own.view(), array![[1.0, 2.0], [5.0, 256.0]].view()).unwrap();
        assert!(!far.holds() && far.greatest_difference == 2.0);
        let nan = PixelAgreement::of(own.view(), array![[f32::NAN, 2.0], [3.0, 256.0]].view()).unwrap();
        assert!(!nan.holds() && !nan.is_exact(), "{nan:?}");
        assert!(PixelAgreement::of(own.view(), array![[1.0, 2.0]].view()).is_err());
    }
}
