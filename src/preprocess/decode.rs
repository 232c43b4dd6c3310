//! From the bytes of an image file to 8-bit RGB, as Pillow has it.

use std::error::Error;
use std::fmt::Display;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::jpeg;
use super::view::Size;
use super::{Exif, ImageSpec, Transparency};
use crate::guard;

/// Pillow's limit, above which it suspects a decompression bomb.
const MAX_PIXELS: u64 = 178_956_970;
/// What a decoder may allocate: room for that many RGBA pixels and its own needs.
const MAX_BYTES: u64 = 1 << 30;

/// Of that, for what is not pixels.
const MAX_BESIDE: u64 = 64 << 20;

/// Decodes into `rgb`; `raw` takes pixels of another kind on the way.
///
/// # Errors
/// The reason why the file cannot be used.
pub(super) fn decode(bytes: &[u8], spec: &ImageSpec, raw: &mut Vec<u8>, rgb: &mut Vec<u8>) -> Result<Size, String> {
    guard::catch(|| decode_unguarded(bytes, spec, raw, rgb))
        .unwrap_or_else(|panic| Err(format!("the decoder failed: {panic}")))
}

fn decode_unguarded(bytes: &[u8], spec: &ImageSpec, raw: &mut Vec<u8>, rgb: &mut Vec<u8>) -> Result<Size, String> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| e.to_string())?;
    let Some(format) = reader.format() else {
        return Err(match bytes {
            [] => "the file is empty".to_owned(),
            _ => "not an image of a known format (JPEG, PNG, WebP, GIF, BMP, TIFF)".to_owned(),
        });
    };
    if format == ImageFormat::Jpeg {
        if is_cut_off(bytes) {
            return Err("the JPEG is cut off: its end is missing".to_owned());
        }
        let (size, orientation) = jpeg::decode(bytes, check_size, raw, rgb)?;
        return match spec.exif {
            Exif::Apply => turn(size, orientation, rgb),
            Exif::Ignore => Ok(size),
        };
    }
    let mut limits = Limits::default();
    // The PNG decoder asks about nothing but what is beside the pixels: colour profiles and texts, which inflate.
    limits.max_alloc = Some(if format == ImageFormat::Png { MAX_BESIDE } else { MAX_BYTES });
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|e| unreadable(format, &e))?;
    let (width, height) = decoder.dimensions();
    let size = Size { height: height as usize, width: width as usize };
    check_size(size)?;
    let color = decoder.color_type();
    if color == ColorType::L16 {
        return Err("16-bit greyscale: its range is not known; save it as 8-bit".to_owned());
    }
    let length = decoder.total_bytes();
    if length > MAX_BYTES {
        return Err(format!("{width}x{height} pixels of {color:?} do not fit in {MAX_BYTES} bytes"));
    }
    // A TIFF's orientation is a part of the format, and Pillow always applies it.
    let orientation = match spec.exif {
        Exif::Ignore if format != ImageFormat::Tiff => Orientation::NoTransforms,
        _ => decoder.orientation().unwrap_or(Orientation::NoTransforms),
    };
    let target = if color == ColorType::Rgb8 { &mut *rgb } else { &mut *raw };
    zero(target, usize::try_from(length).map_err(|e| e.to_string())?)?;
    decoder.read_image(target).map_err(|e| unreadable(format, &e))?;
    to_rgb(color, spec.transparency, raw, rgb)?;
    turn(size, orientation, rgb)
}

/// In words that name the format as users do; the decoder's own follow.
fn unreadable(format: ImageFormat, error: &ImageError) -> String {
    let name = match format {
        ImageFormat::WebP => "WebP".to_owned(),
        other => format!("{other:?}").to_uppercase(),
    };
    if !cfg!(feature = "full") && matches!(error, ImageError::Unsupported(_)) {
        return format!("this build of engraft reads no {name}: give png or jpg");
    }
    let cause = match error {
        // What stands around the source says the format again.
        ImageError::Decoding(e) => e.source().map(ToString::to_string),
        _ => None,
    };
    not_readable(&name, cause.unwrap_or_else(|| error.to_string()))
}

pub(super) fn not_readable(format: &str, cause: impl Display) -> String {
    format!("not a readable {format}: {cause}")
}

/// Zeroes anew, so that nothing of another image can show through where a decoder leaves a gap.
fn zero(target: &mut Vec<u8>, length: usize) -> Result<(), String> {
    if length <= target.capacity() {
        target.clear();
        target.resize(length, 0);
        return Ok(());
    }
    // The old buffer goes first. What cannot be had is this image's fault alone, and must not end the process.
    *target = Vec::new();
    target.try_reserve_exact(length).map_err(|e| format!("{length} bytes of pixels: {e}"))?;
    // Zeroed by the system, page by page as it is written to: a header that lies costs no memory.
    *target = Vec::new();
    *target = vec![0; length];
    Ok(())
}

/// Before anything is allocated for the pixels.
fn check_size(size: Size) -> Result<(), String> {
    let Size { height, width } = size;
    let pixels = (height as u64).saturating_mul(width as u64);
    if pixels == 0 {
        return Err(format!("the image has no pixels ({width}x{height})"));
    }
    if pixels > MAX_PIXELS {
        return Err(format!("{width}x{height} pixels are more than the limit of {MAX_PIXELS}"));
    }
    Ok(())
}

/// Turns the pixels upright; returns their new size.
fn turn(size: Size, orientation: Orientation, rgb: &mut Vec<u8>) -> Result<Size, String> {
    if orientation == Orientation::NoTransforms {
        return Ok(size);
    }
    let [width, height] = [size.width, size.height].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let stored = RgbImage::from_raw(width, height, std::mem::take(rgb));
    let mut image = DynamicImage::from(stored.ok_or("the decoder gave another number of pixels")?);
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    let size = Size { height: image.height() as usize, width: image.width() as usize };
    *rgb = image.into_raw();
    Ok(size)
}

fn to_rgb(color: ColorType, transparency: Transparency, raw: &[u8], rgb: &mut Vec<u8>) -> Result<(), String> {
    // Of samples of two bytes, in the machine's own order, the high one is kept.
    let high = if cfg!(target_endian = "little") { 1 } else { 0 };
    let over = match transparency {
        Transparency::White => over_white,
        Transparency::Drop => |value, _| value,
    };
    if color != ColorType::Rgb8 {
        rgb.clear();
    }
    match color {
        ColorType::Rgb8 => {}
        ColorType::L8 => rgb.extend(raw.iter().flat_map(|l| [*l; 3])),
        ColorType::La8 => rgb.extend(raw.as_chunks().0.iter().flat_map(|[l, a]| [over(*l, *a); 3])),
        ColorType::Rgba8 => {
            rgb.extend(raw.as_chunks().0.iter().flat_map(|[r, g, b, a]| [r, g, b].map(|x| over(*x, *a))));
        }
        ColorType::La16 => {
            rgb.extend(raw.as_chunks::<4>().0.iter().flat_map(|p| [over(p[high], p[2 + high]); 3]));
        }
        ColorType::Rgb16 => rgb.extend(raw.as_chunks::<2>().0.iter().map(|x| x[high])),
        ColorType::Rgba16 => {
            let pixels = raw.as_chunks::<8>().0.iter();
            rgb.extend(pixels.flat_map(|p| [0, 2, 4].map(|channel| over(p[channel + high], p[6 + high]))));
        }
        other => return Err(format!("pixels of type {other:?} are not supported; save the image as 8-bit RGB")),
    }
    Ok(())
}

/// `value` of opacity `alpha` on a white ground, rounded as Pillow's `Image.alpha_composite` does: seven more bits, and
/// a division by 255 in shifts.
fn over_white(value: u8, alpha: u8) -> u8 {
    let sum = u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha));
    let scaled = (sum << 7) + (0x80 << 7);
    (((scaled >> 8) + scaled) >> 15) as u8
}

/// Whether a JPEG has no end marker after its first scan. The decoder would fill up with grey; Pillow refuses.
fn is_cut_off(bytes: &[u8]) -> bool {
    const END: [u8; 2] = [0xFF, 0xD9];
    const START_OF_SCAN: u8 = 0xDA;
    // Segment by segment to the first scan: a thumbnail among them has an end marker of its own.
    let mut rest = bytes.get(2..).unwrap_or_default();
    loop {
        rest = match *rest {
            [0xFF, START_OF_SCAN, ..] => return !rest.windows(2).rev().any(|pair| pair == END),
            // Fill bytes, and markers without a length.
            [0xFF, 0xFF, ..] => &rest[1..],
            [0xFF, 0x01 | 0xD0..=0xD8, ..] => &rest[2..],
            [0xFF, _, high, low, ..] => {
                rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..).unwrap_or_default()
            }
            [] | [_] | [0xFF, ..] => return true,
            // Garbage between segments is the decoder's business.
            _ => return false,
        };
    }
}
