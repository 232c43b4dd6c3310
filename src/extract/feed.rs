//! Samples as the tensors that a backbone's graph takes, for graphs that are run elsewhere.

use std::borrow::Cow;

use rayon::prelude::*;

use super::backend::read;
use super::inputs::{Inputs, tensors};
use crate::backbone::{Backbone, Feed as Fed, Tensor};
use crate::error::{Error, Result};
use crate::guard;
use crate::preprocess::{Encoded, ImagePreprocessor, Scratch, random_view};
use crate::progress::Progress;
use crate::source::{Content, Sample};

/// Texts of lengths up to the same multiple of it are padded alike: there are few shapes then, and little padding.
const STEP: usize = 8;

/// Samples, divided into batches.
pub struct Feed<'a> {
    inputs: Inputs,
    samples: &'a [Sample],
    texts: Vec<Encoded>,
    batches: Vec<Batch>,
    size: usize,
    seed: u64,
}

/// Samples that are run together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Their places among all.
    pub samples: Vec<usize>,
    /// Tokens of each, with its padding; 1 for images.
    pub units: usize,
    /// Which view of each: 0 for the sample as it is.
    pub view: usize,
}

impl<'a> Feed<'a> {
    /// Divides samples into batches of at most `size` for a graph of these inputs: images in their order, texts by their length, the
    /// longest first. The same samples always come to the same batches.
    ///
    /// # Errors
    /// When the inputs are not those of the backbone's modality, the graph preprocesses images itself, or a text cannot be
    /// tokenised; [`Error::Interrupted`].
    pub fn new(
        backbone: &Backbone,
        inputs: &[&str],
        samples: &'a [Sample],
        size: usize,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let inputs = Inputs::named(backbone, inputs)?;
        let places: Vec<usize> = (0..samples.len()).collect();
        let (texts, groups) = match &inputs {
            Inputs::Image { feed: Fed::Decoded, .. } => {
                let reason = "it preprocesses images itself: give the model before it was made to";
                return Err(Error::model(&backbone.name, reason));
            }
            Inputs::Image { .. } => (Vec::new(), vec![(1, places)]),
            Inputs::Text { processor, .. } => {
                let encode = |sample: &Sample| match &sample.content {
                    _ if progress.interrupted() => Err(Error::Interrupted),
                    Content::Text(text) => processor.encode(text).map_err(|reason| failed(sample, reason)),
                    Content::File(_) | Content::Bytes(_) => Err(failed(sample, "it is no text")),
                };
                let texts = samples.par_iter().map(encode).collect::<Result<Vec<Encoded>>>()?;
                let groups = by_length(&texts);
                (texts, groups)
            }
        };
        let batch = |units: usize| move |samples: &[usize]| Batch { samples: samples.to_vec(), units, view: 0 };
        let size = size.max(1);
        let batches = groups.iter().flat_map(|(units, group)| group.chunks(size).map(batch(*units))).collect();
        Ok(Self { inputs, samples, texts, batches, size, seed: 0 })
    }

    /// With further batches, behind those that there are: the images at `places` again, each cut out and mirrored at random, until there are
    /// `views` of each. What is drawn depends on `seed`, the place and the view.
    ///
    /// # Errors
    /// [`Error::Usage`] when more than one view of texts is asked for.
    pub fn with_views(mut self, places: &[usize], views: usize, seed: u64) -> Result<Self> {
        if views > 1 && matches!(self.inputs, Inputs::Text { .. }) {
            return Err(Error::Usage("several views are made of images, not of texts".into()));
        }
        let again = (1..views).flat_map(|view| places.chunks(self.size).map(move |samples| (samples, view)));
        self.batches.extend(again.map(|(samples, view)| Batch { samples: samples.to_vec(), units: 1, view }));
        self.seed = seed;
        Ok(self)
    }

    /// The batches.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    fn drawn(&self, sample: usize, view: usize) -> fastrand::Rng {
        let mixed = (sample as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (view as u64).rotate_left(32);
        fastrand::Rng::with_seed(self.seed.wrapping_add(mixed))
    }

    /// Prepares a batch and lets `run` see its tensors by the names of the inputs.
    ///
    /// # Errors
    /// [`Error::Data`] naming the sample that cannot be read or decoded; what `run` fails with.
    pub fn run<R>(&self, batch: &Batch, run: impl FnOnce(&[(&str, Tensor)]) -> Result<R>) -> Result<R> {
        match &self.inputs {
            Inputs::Image { processor, pixels, .. } => {
                let [height, width] = processor.output_size();
                let mut values = vec![0.0; batch.samples.len() * 3 * height * width];
                let images = values.par_chunks_mut(3 * height * width).zip(&batch.samples);
                images.try_for_each_init(Box::<Scratch>::default, |scratch, (place, &sample)| {
                    decode(processor, scratch, &self.samples[sample], place)?;
                    if batch.view > 0 {
                        random_view(place, [height, width], &mut self.drawn(sample, batch.view));
                    }
                    Ok::<(), Error>(())
                })?;
                run(&[(pixels, Tensor::F32(&[batch.samples.len(), 3, height, width], &values))])
            }
            Inputs::Text { processor, input_ids, attention_mask, token_type_ids } => {
                let texts: Vec<Encoded> = batch.samples.iter().map(|&i| self.texts[i].clone()).collect();
                let padded = processor.padded(&texts, batch.units);
                let names = [Some(input_ids), attention_mask.as_ref(), token_type_ids.as_ref()];
                run(&tensors(names, &padded, &[padded.rows, padded.columns]))
            }
        }
    }
}

/// The texts whose lengths come to one multiple of the step, with the greatest length among them; the longest first.
fn by_length(texts: &[Encoded]) -> Vec<(usize, Vec<usize>)> {
    let mut groups: std::collections::BTreeMap<usize, (usize, Vec<usize>)> = Default::default();
    for (place, text) in texts.iter().enumerate() {
        let (longest, group) = groups.entry(text.ids.len().div_ceil(STEP)).or_default();
        *longest = text.ids.len().max(*longest);
        group.push(place);
    }
    groups.into_values().rev().collect()
}

fn decode(processor: &ImagePreprocessor, scratch: &mut Scratch, sample: &Sample, place: &mut [f32]) -> Result<()> {
    let bytes = match &sample.content {
        Content::File(path) => Cow::Owned(read(path).map_err(Error::io("read", path))?),
        Content::Bytes(bytes) => Cow::Borrowed(bytes.as_slice()),
        Content::Text(_) => return Err(failed(sample, "it is no image")),
    };
    let decoded = guard::catch(|| processor.process(&bytes, scratch, place));
    decoded.unwrap_or_else(Err).map_err(|reason| failed(sample, reason))
}

fn failed(sample: &Sample, reason: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} cannot be prepared: {reason}", sample.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_like_length_come_together() {
        let text = |n: usize| Encoded { ids: vec![7; n], type_ids: vec![0; n], truncated: false };
        let groups = by_length(&[text(3), text(9), text(7), text(17), text(16)]);
        assert_eq!(groups, [(17, vec![3]), (16, vec![1, 4]), (7, vec![0, 2])]);
    }
}
