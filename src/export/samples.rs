//! What an export is verified with where the user gives nothing: drawn pictures and common sentences.

use std::io::Cursor;

use image::{ImageFormat, RgbImage};

use crate::error::{Error, Result};
use crate::source::{Content, Entry, Modality, Sample};

/// Height and width of the pictures, in turn: upright, wide, small, and larger than backbones take.
const SIZES: [[u32; 2]; 6] = [[180, 240], [320, 200], [64, 64], [256, 256], [300, 450], [97, 401]];
/// How many pictures there are.
const PICTURES: u32 = 24;
/// Of many lengths, with marks, figures and letters beyond ASCII.
const SENTENCES: [&str; 16] = [
    "What a lovely day",
    "I would not buy this again.",
    "The delivery was two weeks late and nobody answered my letters, which is a pity, for the thing itself is well made.",
    "Grüße aus Zürich",
    "42",
    "Is it worth 19.99?",
    "The committee will meet on Tuesday, 3 March, at half past nine.",
    "no",
    "Best film of the year!!! :-)",
    "The cat sat on the mat, and the dog looked at the cat, and the mat lay where it always lies.",
    "A résumé of the naïve approach",
    "Shares fell by 3 % after the announcement.",
    "Please reset my password",
    "It was neither good nor bad, only very, very long; after an hour I had looked at my watch eleven times, after two I slept.",
    "東京は今日も晴れです",
    "Stir the flour into the butter, add the milk little by little, and let it simmer for ten minutes.",
];

/// Samples of this kind, the same ones always.
///
/// # Errors
/// When a picture cannot be encoded.
pub fn built_in(modality: Modality) -> Result<Vec<Entry>> {
    let entry = |id: String, content| Entry::Sample(Sample { id, content, label: None, kept: Vec::new() });
    match modality {
        Modality::Text => {
            let sentences = SENTENCES.iter().enumerate();
            Ok(sentences.map(|(i, text)| entry(format!("sentence {i}"), Content::Text((*text).to_owned()))).collect())
        }
        Modality::Image => {
            let picture = |i| Ok(entry(format!("picture {i}"), Content::Bytes(picture(i)?)));
            (0..PICTURES).map(picture).collect()
        }
    }
}

/// A PNG of shaded stripes and discs, of which each number has its own.
fn picture(number: u32) -> Result<Vec<u8>> {
    let [height, width] = SIZES[number as usize % SIZES.len()];
    let mut rng = fastrand::Rng::with_seed(u64::from(number));
    let waves: [[f32; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| rng.f32()));
    let discs: [[f32; 6]; 4] = std::array::from_fn(|_| std::array::from_fn(|_| rng.f32()));
    let image = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
        let mut colour = waves.map(|[a, b, c]| 0.5 + 0.5 * ((8.0 * a * x + 8.0 * b * y + 6.0 * c).sin()));
        for [cx, cy, size, r, g, b] in discs {
            if (x - cx).hypot(y - cy) < 0.05 + 0.25 * size {
                colour = [r, g, b];
            }
        }
        image::Rgb(colour.map(|value| (255.0 * value) as u8))
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(|e| Error::Data(format!("a picture: {e}")))?;
    Ok(bytes.into_inner())
}
