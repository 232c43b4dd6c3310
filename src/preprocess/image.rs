//! From the bytes of an image file to the tensor that a backbone takes.

use super::decode::decode;
use super::geometry::{self, Operation, plan};
use super::resize::Resizer;
use super::view::{Size, View, Window};
use super::{ImageSpec, Step};
use crate::error::{Error, Result};

/// Pixels of the output, of which every thread holds some at a time. Backbones take a hundredth of it.
const MAX_OUTPUT: usize = 4096 * 4096;

/// An [`ImageSpec`] that has been checked: decodes, resizes, crops and normalises. Shared by all threads; each brings
/// its own [`Scratch`].
#[derive(Debug, Clone)]
pub struct ImagePreprocessor {
    spec: ImageSpec,
    size: Size,
    /// What each of the 256 values of each channel becomes.
    tables: Box<[[f32; 256]; 3]>,
}

/// What a thread keeps from image to image so that nothing is allocated and no weight computed twice: the decoded
/// pixels, the images between the steps, the filter weights of the last size. It never changes a result.
#[derive(Debug, Default)]
pub struct Scratch {
    rgb: Vec<u8>,
    raw: Vec<u8>,
    resizer: Resizer,
    buffers: Vec<Vec<u8>>,
}

impl Scratch {
    /// A buffer that outgrew this many bytes is given back after the image that needed it.
    const KEEP: usize = 64 << 20;

    fn trim(&mut self) {
        let Self { rgb, raw, buffers, .. } = self;
        for buffer in [rgb, raw].into_iter().chain(buffers).filter(|b| b.capacity() > Self::KEEP) {
            *buffer = Vec::new();
        }
    }
}

impl ImagePreprocessor {
    /// Checks a specification.
    ///
    /// # Errors
    /// [`Error::Usage`] when a size is zero, a number is not finite, a standard deviation is zero, or the steps leave
    /// the output's size to the image.
    pub fn new(spec: ImageSpec) -> Result<Self> {
        let wrong = |what: &str| Error::Usage(format!("image preprocessing: {what}"));
        let zero = spec.steps.iter().any(|step| match *step {
            Step::Resize(size) | Step::CenterCrop(size) => size.contains(&0),
            Step::ShortestEdge(size) | Step::CentralSquare { size, .. } => size == 0,
        });
        if zero {
            return Err(wrong("a size is zero"));
        }
        if !spec.scale.is_finite() || !spec.mean.iter().chain(&spec.std).all(|x| x.is_finite()) {
            return Err(wrong("scale, mean and std must be finite numbers"));
        }
        if spec.std.contains(&0.0) {
            return Err(wrong("std must not be zero"));
        }
        let size = fixed_size(&spec.steps)
            .ok_or_else(|| wrong("the steps must end in one size for all images: add a resize or a center_crop"))?;
        if size.height.checked_mul(size.width).is_none_or(|n| n > MAX_OUTPUT) {
            return Err(wrong(&format!("an output of {size} pixels; at most {MAX_OUTPUT} in all are computed")));
        }
        let table =
            |channel: usize| std::array::from_fn(|x| (spec.scale * x as f32 - spec.mean[channel]) / spec.std[channel]);
        let tables = Box::new([table(0), table(1), table(2)]);
        Ok(Self { spec, size, tables })
    }

    /// Height and width of the output in pixels.
    pub fn output_size(&self) -> [usize; 2] {
        [self.size.height, self.size.width]
    }

    /// Writes the tensor of an image file into `out`: 3 planes (R, G, B) of height × width values, row by row.
    ///
    /// The format is told by the content: JPEG, PNG, WebP, GIF (its first frame), BMP or TIFF. Colours become RGB as
    /// Pillow's `convert("RGB")` makes them: grey is repeated, palettes are looked up, transparency is dealt with as
    /// [`ImageSpec::transparency`] says, 16-bit colours keep their high byte, CMYK is multiplied out; colour profiles are
    /// not applied. 16-bit grey is refused, for Pillow clips it at 255. Where a GIF's first frame leaves a part of its
    /// screen free, that part is black. After an error `out` holds nothing of use.
    ///
    /// # Errors
    /// The reason why the image cannot be used: not an image, broken, cut off, or larger than Pillow's limit of
    /// 178956970 pixels.
    pub fn process(&self, bytes: &[u8], scratch: &mut Scratch, out: &mut [f32]) -> Result<(), String> {
        self.file(bytes, scratch, out, self.normalized())
    }

    /// As [`process`](Self::process), but the 8-bit pixels before they are scaled and normalised, for a model that does
    /// this itself: 3 planes (R, G, B) of height × width bytes, row by row.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    pub fn process_u8(&self, bytes: &[u8], scratch: &mut Scratch, out: &mut [u8]) -> Result<(), String> {
        self.file(bytes, scratch, out, |pixel| pixel)
    }

    /// The pixels of an image file as [`process`](Self::process) decodes them, for a model that resizes them itself: height and width,
    /// and three bytes a pixel (R, G, B), row by row.
    ///
    /// # Errors
    /// As [`process`](Self::process).
    pub fn decode<'a>(&self, bytes: &[u8], scratch: &'a mut Scratch) -> Result<([usize; 2], &'a [u8]), String> {
        scratch.trim();
        let Scratch { rgb, raw, .. } = scratch;
        let Size { height, width } = decode(bytes, &self.spec, raw, rgb)?;
        Ok(([height, width], rgb))
    }

    /// As [`process`](Self::process), from `width` × `height` decoded pixels, three bytes each, row by row.
    ///
    /// # Errors
    /// When the number of bytes is not that of the pixels, or there are none.
    pub fn process_rgb(
        &self,
        [height, width]: [usize; 2],
        rgb: &[u8],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), String> {
        let bytes = height.checked_mul(width).and_then(|n| n.checked_mul(3));
        if rgb.is_empty() || bytes != Some(rgb.len()) {
            return Err(format!("{} bytes are not {width}x{height} RGB pixels", rgb.len()));
        }
        let size = Size { height, width };
        let Scratch { resizer, buffers, .. } = scratch;
        self.transform(rgb, size, resizer, buffers, out, self.normalized())
    }

    /// The values that the three bytes of a pixel become.
    fn normalized(&self) -> impl Fn([u8; 3]) -> [f32; 3] {
        let [reds, greens, blues] = &*self.tables;
        |[r, g, b]| [reds[usize::from(r)], greens[usize::from(g)], blues[usize::from(b)]]
    }

    fn file<T>(
        &self,
        bytes: &[u8],
        scratch: &mut Scratch,
        out: &mut [T],
        values: impl Fn([u8; 3]) -> [T; 3],
    ) -> Result<(), String> {
        let Scratch { rgb, raw, resizer, buffers } = &mut *scratch;
        let result = decode(bytes, &self.spec, raw, rgb)
            .and_then(|size| self.transform(rgb, size, resizer, buffers, out, values));
        scratch.trim();
        result
    }

    fn transform<T>(
        &self,
        rgb: &[u8],
        size: Size,
        resizer: &mut Resizer,
        buffers: &mut Vec<Vec<u8>>,
        out: &mut [T],
        values: impl Fn([u8; 3]) -> [T; 3],
    ) -> Result<(), String> {
        if out.len() != 3 * self.size.height * self.size.width {
            return Err(format!("the output has {} values, not 3x{}x{}", out.len(), self.size.height, self.size.width));
        }
        let operations: Vec<Operation> = plan(&self.spec, size)?;
        if buffers.len() < operations.len() {
            buffers.resize_with(operations.len(), Vec::new);
        }
        let source = View::tight(rgb, Window::all(size));
        geometry::run(&operations, source, resizer, buffers, |view| self.planes(view, out, values))
    }

    /// Planes from interleaved pixels.
    fn planes<T>(&self, view: View<'_>, out: &mut [T], values: impl Fn([u8; 3]) -> [T; 3]) {
        let (red, rest) = out.split_at_mut(self.size.height * self.size.width);
        let (green, blue) = rest.split_at_mut(red.len());
        let width = self.size.width;
        let planes = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
        for (y, ((red, green), blue)) in planes.enumerate() {
            let targets = red.iter_mut().zip(green).zip(blue);
            for (pixel, ((red, green), blue)) in view.row(y).as_chunks::<3>().0.iter().zip(targets) {
                [*red, *green, *blue] = values(*pixel);
            }
        }
    }
}

/// The size that the steps lead every image to, if there is one.
fn fixed_size(steps: &[Step]) -> Option<Size> {
    /// What is known of the size, whatever the image.
    #[derive(Clone, Copy)]
    enum Known {
        Nothing,
        Square,
        All(Size),
    }
    let known = steps.iter().try_fold(Known::Nothing, |known, step| match (known, step) {
        (Known::All(size), step) => geometry::after(step, size).map(Known::All),
        (_, Step::Resize(_) | Step::CenterCrop(_)) | (Known::Square, Step::ShortestEdge(_)) => {
            // The size before does not matter, as long as it is square.
            geometry::after(step, Size { height: 1, width: 1 }).map(Known::All)
        }
        (Known::Nothing, Step::ShortestEdge(_)) => Some(Known::Nothing),
        (_, Step::CentralSquare { .. }) => Some(Known::Square),
    })?;
    match known {
        Known::All(size) => Some(size),
        _ => None,
    }
}
