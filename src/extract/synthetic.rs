//! Images that need no file.

use crate::backbone::Reference;
use crate::error::{Error, Result};
use crate::preprocess::{ImagePreprocessor, ImageSpec, Scratch, Step};

/// The images that [`Reference::pixel`] defines, of the backbone's own size, so that no filter enters; normalised, one after
/// the other.
pub(super) fn synthetic(spec: &ImageSpec, seeds: &[u32]) -> Result<Vec<f32>> {
    let [height, width] = ImagePreprocessor::new(spec.clone())?.output_size();
    let exact = ImageSpec { steps: vec![Step::Resize([height as u32, width as u32])], ..spec.clone() };
    let processor = ImagePreprocessor::new(exact)?;
    let mut values = vec![0.0; seeds.len() * 3 * height * width];
    for (&seed, pixels) in seeds.iter().zip(values.chunks_exact_mut(3 * height * width)) {
        let mut rgb = Vec::with_capacity(3 * height * width);
        for y in 0..height as u32 {
            for x in 0..width as u32 {
                rgb.extend((0..3).map(|channel| Reference::pixel(seed, y, x, channel)));
            }
        }
        processor.process_rgb([height, width], &rgb, &mut Scratch::default(), pixels).map_err(Error::Data)?;
    }
    Ok(values)
}
