//! JPEG, to the bit as Pillow decodes it.
//!
//! Pillow decodes with libjpeg-turbo, and `libjpeg_turbo_rs` repeats its integers: the inverse transform, the
//! interpolation of the chroma, the colours. Other decoders round the chroma otherwise. That is invisible, but a backbone
//! sees it: on ordinary 4:2:0 photos the embeddings of efficientnet-lite0 then have a cosine down to .9991 to Pillow's.
//!
//! Where the compressed data is broken, Pillow fills up with grey or noise; we refuse, for such pixels are no photo.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::decode::not_readable;
use super::view::Size;

/// Each scan of a progressive file costs a walk over all pixels, however few its bytes: libjpeg-turbo's own fuzzers stop
/// here too. Ordinary files have about ten.
const MAX_SCANS: usize = 500;

/// Decodes into `rgb`; `raw` takes pixels of another kind on the way. `check` sees the size before anything is allocated
/// for the pixels. Returns the size as stored and the EXIF orientation.
///
/// # Errors
/// The reason why the file cannot be used.
pub(super) fn decode(
    bytes: &[u8],
    check: impl FnOnce(Size) -> Result<(), String>,
    raw: &mut Vec<u8>,
    rgb: &mut Vec<u8>,
) -> Result<(Size, Orientation), String> {
    // Some broken headers make the decoder index out of bounds.
    catch_unwind(AssertUnwindSafe(|| {
        let limits = DecodeLimits { max_scans: MAX_SCANS, ..DecodeLimits::default() };
        let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(|e| not_readable("JPEG", e))?;
        // Pillow has it: it shows in progressive files that lack their last scans.
        decoder.set_block_smoothing(true);
        let header = decoder.header();
        let size = Size { height: header.height.into(), width: header.width.into() };
        check(size)?;
        let (bits, channels) = (header.precision, header.components.len());
        if bits != 8 {
            return Err(format!("a JPEG of {bits} bits a channel; save it with 8"));
        }
        match channels {
            1 | 3 => fill(&mut decoder, PixelFormat::Rgb, size, rgb)?,
            4 => {
                fill(&mut decoder, PixelFormat::Cmyk, size, raw)?;
                rgb.clear();
                rgb.extend(raw.as_chunks().0.iter().flat_map(|cmyk| to_rgb(*cmyk)));
            }
            _ => return Err(format!("a JPEG of {channels} channels is neither grey, nor colour, nor CMYK")),
        }
        let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk);
        Ok((size, orientation.unwrap_or(Orientation::NoTransforms)))
    }))
    .unwrap_or_else(|_| Err("the JPEG is broken: the decoder failed on it".to_owned()))
}

fn fill(decoder: &mut Decoder<'_>, format: PixelFormat, size: Size, pixels: &mut Vec<u8>) -> Result<(), String> {
    decoder.set_output_format(format);
    let length = format.bytes_per_pixel() * size.height * size.width;
    // What an earlier image left is overwritten, and the decoder says how far.
    pixels.resize(length, 0);
    let written = decoder.decode_image_into(pixels).map_err(|e| not_readable("JPEG", e))?.bytes_written;
    if written != length {
        return Err(format!("the decoder gave {written} bytes, not the {length} of {size} pixels"));
    }
    Ok(())
}

/// Adobe stores CMYK inverted, and Pillow takes every CMYK JPEG for Adobe's; then its `convert("RGB")`.
fn to_rgb(inverted: [u8; 4]) -> [u8; 3] {
    let [c, m, y, white] = inverted.map(u32::from);
    [c, m, y].map(|ink| {
        let product = (255 - ink) * white + 128;
        let darker = ((product >> 8) + product) >> 8;
        white.saturating_sub(darker) as u8
    })
}
