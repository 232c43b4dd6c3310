//! JPEG by libjpeg, to the bit as Pillow decodes it.
//!
//! Pure Rust decoders interpolate the chroma with other roundings. That is invisible, but a backbone sees it: on ordinary
//! 4:2:0 photos the embeddings of efficientnet-lite0 then have a cosine down to .9991 to Pillow's.

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use mozjpeg::{ColorSpace, Decompress, Marker};

use super::view::Size;

/// Where EXIF data is kept.
const EXIF: Marker = Marker::APP(1);

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
    // libjpeg leaves by a panic that carries its message, from below C frames that are built to unwind.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let decoder = Decompress::with_markers(&[EXIF]).from_mem(bytes).map_err(|e| e.to_string())?;
        let size = Size { height: decoder.height(), width: decoder.width() };
        check(size)?;
        let exif = decoder.markers().find_map(|marker| marker.data.strip_prefix(b"Exif\0\0"));
        let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
        match decoder.color_space() {
            ColorSpace::JCS_GRAYSCALE => {
                fill(decoder, ColorSpace::JCS_GRAYSCALE, 1, size, raw)?;
                rgb.clear();
                rgb.extend(raw.iter().flat_map(|l| [*l; 3]));
            }
            ColorSpace::JCS_CMYK | ColorSpace::JCS_YCCK => {
                fill(decoder, ColorSpace::JCS_CMYK, 4, size, raw)?;
                rgb.clear();
                rgb.extend(raw.as_chunks().0.iter().flat_map(|cmyk| to_rgb(*cmyk)));
            }
            _ => fill(decoder, ColorSpace::JCS_RGB, 3, size, rgb)?,
        }
        Ok((size, orientation))
    }));
    outcome
        .unwrap_or_else(|panic| Err(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "libjpeg failed".into())))
}

fn fill(
    decoder: Decompress<&[u8]>,
    space: ColorSpace,
    channels: usize,
    size: Size,
    pixels: &mut Vec<u8>,
) -> Result<(), String> {
    let mut started = decoder.to_colorspace(space).map_err(|e| e.to_string())?;
    pixels.clear();
    pixels.resize(channels * size.height * size.width, 0);
    started.read_scanlines_into(pixels.as_mut_slice()).map_err(|e| e.to_string())?;
    started.finish().map_err(|e| e.to_string())
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
