//! Small pictures, for people to look at.

use image::RgbImage;
use image::imageops::thumbnail as reduce;
use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

use super::decode::decode;
use super::{Exif, ImageSpec, Interpolation, Transparency};
use crate::guard;

/// Of the JPEG: small details may go.
const QUALITY: u8 = 78;

/// A JPEG of an image file, upright and on white, with no side longer than `side` pixels; a smaller image keeps its size.
///
/// # Errors
/// The reason why the image cannot be used, as [`ImagePreprocessor::process`](super::ImagePreprocessor::process).
pub fn thumbnail(bytes: &[u8], side: u32) -> Result<Vec<u8>, String> {
    // What a viewer shows, whatever the backbone sees.
    let spec = ImageSpec {
        steps: Vec::new(),
        interpolation: Interpolation::Box,
        scale: 1.0,
        mean: [0.0; 3],
        std: [1.0; 3],
        exif: Exif::Apply,
        transparency: Transparency::White,
    };
    let mut rgb = Vec::new();
    let size = decode(bytes, &spec, &mut Vec::new(), &mut rgb)?;
    let [width, height] = [size.width, size.height].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let image = RgbImage::from_raw(width, height, rgb).ok_or("the decoder gave another number of pixels")?;
    let longest = width.max(height);
    let small = if longest <= side {
        image
    } else {
        let scaled = |n: u32| (u64::from(n) * u64::from(side) / u64::from(longest)).clamp(1, u64::from(side)) as u32;
        reduce(&image, scaled(width), scaled(height))
    };
    let [width, height] = [small.width(), small.height()].map(|n| n as usize);
    guard::catch(|| compress(small.as_raw(), width, height, PixelFormat::Rgb, QUALITY, Subsampling::S420))?
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, Rgb};

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let image =
            RgbImage::from_fn(
                width,
                height,
                |x, _| if x < width / 2 { Rgb([220, 30, 30]) } else { Rgb([30, 30, 220]) },
            );
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    #[test]
    fn no_side_is_longer_than_asked_for_and_the_picture_is_the_same() {
        for ((width, height), expected) in [
            ((640, 480), (96, 72)),
            ((480, 640), (72, 96)),
            ((20, 10), (20, 10)),
            ((3000, 2), (96, 1)),
            ((1, 1), (1, 1)),
        ] {
            let jpeg = thumbnail(&png(width, height), 96).unwrap();
            let decoded = libjpeg_turbo_rs::decompress(&jpeg).unwrap();
            assert_eq!((decoded.width, decoded.height), expected, "{width}x{height}");
            assert!(jpeg.len() < 4000, "{} bytes", jpeg.len());
            if width > 1 {
                let (first, last) = (&decoded.data[..3], &decoded.data[decoded.data.len() - 3..]);
                assert!(first[0] > 180 && last[2] > 180, "{width}x{height}: {first:?} {last:?}");
            }
        }
    }

    #[test]
    fn what_is_no_image_is_told() {
        assert!(thumbnail(b"", 96).unwrap_err().contains("empty"));
        assert!(thumbnail(b"<svg onload=alert(1)>", 96).unwrap_err().contains("not an image"));
    }
}
