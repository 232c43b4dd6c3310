//! What a backbone takes, and how it is given to a session.

use ndarray::Array2;

use crate::backbone::{Backbone, Feed, Output, Session, Tensor, normalize_rows};
use crate::error::{Error, Result};
use crate::preprocess::{Encoded, ImagePreprocessor, Preprocessing, TextPreprocessor, TokenBatch};

/// Prepares inputs for a backbone, and knows the names of the graph's own.
pub(super) enum Inputs {
    Image {
        processor: ImagePreprocessor,
        feed: Feed,
        pixels: String,
    },
    Text {
        processor: Box<TextPreprocessor>,
        input_ids: String,
        attention_mask: Option<String>,
        token_type_ids: Option<String>,
    },
}

/// Planes of pixels, image by image.
#[derive(Debug)]
pub(super) enum Pixels {
    /// Normalised values.
    Floats(Vec<f32>),
    /// As they were decoded; the graph normalises them.
    Bytes(Vec<u8>),
}

/// An image as it was decoded.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// Height and width.
    pub(super) size: [usize; 2],
    /// Pixel by pixel.
    pub(super) rgb: Vec<u8>,
}

impl Inputs {
    /// # Errors
    /// When the inputs of the session's graph are not those of the backbone's modality.
    pub(super) fn of(backbone: &Backbone, session: &Session) -> Result<Self> {
        let names: Vec<&str> = session.inputs().iter().map(|i| i.name.as_str()).collect();
        Self::named(backbone, &names)
    }

    /// The same of a graph whose inputs have these names.
    pub(super) fn named(backbone: &Backbone, names: &[&str]) -> Result<Self> {
        let wrong = |needed: &str| {
            Error::model(&backbone.name, format!("it needs {needed}, and its inputs are {}", names.join(", ")))
        };
        match &backbone.preprocessing {
            Preprocessing::Image(spec) => match *names {
                [input] => {
                    let processor = ImagePreprocessor::new(spec.clone())?;
                    Ok(Self::Image { processor, feed: backbone.feed, pixels: input.to_owned() })
                }
                _ => Err(wrong("exactly one image input")),
            },
            Preprocessing::Text(spec) => {
                let named = |name: &str| names.contains(&name).then(|| name.to_owned());
                let known = ["input_ids", "attention_mask", "token_type_ids"];
                if names.iter().any(|n| !known.contains(n)) {
                    return Err(wrong("no inputs but input_ids, attention_mask and token_type_ids"));
                }
                let tokenizer = backbone.tokenizer.as_deref().ok_or_else(|| {
                    Error::model(&backbone.name, "a text backbone needs a tokenizer.json: name it with --tokenizer")
                })?;
                Ok(Self::Text {
                    processor: Box::new(TextPreprocessor::from_file(tokenizer, spec)?),
                    input_ids: named("input_ids").ok_or_else(|| wrong("an input named input_ids"))?,
                    attention_mask: named("attention_mask"),
                    token_type_ids: named("token_type_ids"),
                })
            }
        }
    }

    /// Embeddings of some of the images in `images`: `rows` counts images.
    pub(super) fn run_pixels(
        &self,
        output: &Output,
        session: &mut Session,
        images: &Pixels,
        rows: std::ops::Range<usize>,
    ) -> Result<Array2<f32>> {
        let Self::Image { processor, pixels, .. } = self else {
            return Err(Error::model("backbone", "it takes texts"));
        };
        let [height, width] = processor.output_size();
        let (shape, each) = ([rows.len(), 3, height, width], 3 * height * width);
        let places = rows.start * each..rows.end * each;
        let tensor = match images {
            Pixels::Floats(values) => values.get(places).map(|values| Tensor::F32(&shape, values)),
            Pixels::Bytes(values) => values.get(places).map(|values| Tensor::U8(&shape, values)),
        };
        let tensor =
            tensor.ok_or_else(|| Error::model("backbone", format!("there are fewer than {} images", rows.end)))?;
        session.run_with(&[(pixels, tensor)], |shape, values| finish(output, shape, values, None))
    }

    /// The embedding of a decoded image.
    pub(super) fn run_decoded(&self, output: &Output, session: &mut Session, image: &Decoded) -> Result<Array2<f32>> {
        let Self::Image { pixels, .. } = self else { return Err(Error::model("backbone", "it takes texts")) };
        let [height, width] = image.size;
        let shape = [1, height, width, 3];
        session
            .run_with(&[(pixels, Tensor::U8(&shape, &image.rgb))], |shape, values| finish(output, shape, values, None))
    }

    /// Embeddings of texts.
    pub(super) fn run_tokens(&self, output: &Output, session: &mut Session, texts: &[Encoded]) -> Result<Array2<f32>> {
        let Self::Text { processor, input_ids, attention_mask, token_type_ids } = self else {
            return Err(Error::model("backbone", "it takes images"));
        };
        let batch = processor.batch(texts);
        let shape = [batch.rows, batch.columns];
        let names = [Some(input_ids), attention_mask.as_ref(), token_type_ids.as_ref()];
        session.run_with(&tensors(names, &batch, &shape), |shape, values| {
            finish(output, shape, values, Some(&batch.attention_mask))
        })
    }
}

/// The tensors of a batch for inputs of these names: tokens, mask and segments.
pub(super) fn tensors<'a>(
    names: [Option<&'a String>; 3],
    batch: &'a TokenBatch,
    shape: &'a [usize; 2],
) -> Vec<(&'a str, Tensor<'a>)> {
    let values = [&batch.input_ids, &batch.attention_mask, &batch.token_type_ids];
    let named = names.into_iter().zip(values);
    named.filter_map(|(name, values)| Some((name?.as_str(), Tensor::I64(shape, values)))).collect()
}

fn finish(output: &Output, shape: &[usize], values: &[f32], mask: Option<&[i64]>) -> Result<Array2<f32>> {
    let mut matrix = output.pooling.pool(values, shape, mask)?;
    if output.normalize {
        normalize_rows(&mut matrix);
    }
    Ok(matrix)
}
