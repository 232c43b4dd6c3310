//! The preprocessing of images as a graph of standard operators: from decoded pixels to those that the backbone normalises.

use std::iter::Peekable;

use super::formula::Formula;
use super::resample::{Line, resize};
use crate::error::Result;
use crate::onnx::build::Dim;
use crate::onnx::{DataType, Model, PixelLayout, PixelScale, has_tensor, rename_tensor, signature, splice, take_bytes};
use crate::preprocess::{ImagePreprocessor, ImageSpec, Interpolation, Step};

/// The input.
const IMAGE: &str = "image";
/// What a tensor of that name in the backbone is called then.
const NORMALIZED: &str = "preprocess/image";
/// The output of the steps.
const RESIZED: &str = "preprocess/resized";

/// Puts the preprocessing before an image model (called `name` in errors) whose one input is f32, batch × 3 × height × width. The
/// new input is `image [n, height, width, 3]`, bytes, RGB: images of any size, one size a batch. The backbone gets what [`ImagePreprocessor`]
/// makes of the same pixels, to the bit.
///
/// # Errors
/// When the model has not one such input, is older than the operators needed and cannot be raised, or the specification is not valid.
pub fn take_images(model: Model, spec: &ImageSpec, name: &str) -> Result<Model> {
    let pixels = PixelScale { scale: spec.scale, mean: spec.mean, std: spec.std };
    let mut model = take_bytes(model, PixelLayout::Hwc, pixels, name)?;
    if has_tensor(&model, IMAGE) {
        rename_tensor(&mut model, IMAGE, NORMALIZED);
    }
    let inputs = signature(&model).inputs;
    let bytes = inputs.first().map_or("", |input| &input.name);
    splice(steps(spec)?, model, &[(RESIZED, bytes)], name)
}

/// From [`IMAGE`] to [`RESIZED`], `[n, h, w, 3]`, by the steps of `spec`.
fn steps(spec: &ImageSpec) -> Result<Model> {
    let [height, width] = ImagePreprocessor::new(spec.clone())?.output_size();
    let mut f = Formula::new("preprocess");
    let channels = Dim::Fixed(3);
    f.graph.input(IMAGE, DataType::Uint8, &[Dim::Named("n"), Dim::Named("height"), Dim::Named("width"), channels]);
    let mut x = IMAGE.to_owned();
    let mut sizes = [1, 2].map(|axis| f.size(&x, axis));
    let mut later = spec.steps.iter().peekable();
    while let Some(step) = later.next() {
        match *step {
            Step::Resize(size) => {
                let to = fixed(&mut f, size);
                (x, sizes) = resized(&mut f, (&x, sizes), to, spec.interpolation, following(&mut later));
            }
            Step::ShortestEdge(edge) => {
                let to = shortest(&mut f, &sizes, edge);
                (x, sizes) = resized(&mut f, (&x, sizes), to, spec.interpolation, following(&mut later));
            }
            Step::CenterCrop(size) => {
                let wanted = centre(&mut f, &sizes, size);
                x = cut(&mut f, &x, &wanted);
                x = padded(&mut f, &x, &sizes, size);
                sizes = fixed(&mut f, size);
            }
            Step::CentralSquare { size, margin } => {
                let (wanted, side) = square(&mut f, &sizes, [size, margin]);
                x = cut(&mut f, &x, &wanted);
                sizes = [side.clone(), side];
            }
        }
    }
    f.graph.node("Identity", &[&x], RESIZED, vec![]);
    let fixed = |edge: usize| Dim::Fixed(i64::try_from(edge).unwrap_or(i64::MAX));
    f.graph.output(RESIZED, DataType::Uint8, &[Dim::Named("n"), fixed(height), fixed(width), channels]);
    Ok(f.graph.finish())
}

/// Height and width, or places on both axes: i64 of no dimensions.
type Sizes = [String; 2];

fn fixed(f: &mut Formula, size: [u32; 2]) -> Sizes {
    size.map(|edge| f.int(i64::from(edge)))
}

/// Both edges in proportion to the shorter one, rounded down: of the shorter one this is `edge` itself.
fn shortest(f: &mut Formula, sizes: &Sizes, edge: u32) -> Sizes {
    let short = f.of("Min", &[&sizes[0], &sizes[1]]);
    sizes.each_ref().map(|size| {
        let product = f.with_int("Mul", size, i64::from(edge));
        f.of("Div", &[&product, &short])
    })
}

/// The crop that comes next: what it throws away need not be resized.
fn following<'a>(later: &mut Peekable<impl Iterator<Item = &'a Step>>) -> Option<[u32; 2]> {
    match later.next_if(|step| matches!(step, Step::CenterCrop(_))) {
        Some(Step::CenterCrop(size)) => Some(*size),
        _ => None,
    }
}

fn resized(
    f: &mut Formula,
    (x, from): (&str, Sizes),
    to: Sizes,
    filter: Interpolation,
    crop: Option<[u32; 2]>,
) -> (String, Sizes) {
    let wanted = match crop {
        Some(size) => centre(f, &to, size),
        None => to.each_ref().map(|to| [f.int(0), to.clone()]),
    };
    let ([height, width], [tall, wide], [rows, columns]) = (from, &to, wanted);
    let rows = Line { from: height, to: tall.clone(), wanted: rows };
    let columns = Line { from: width, to: wide.clone(), wanted: columns };
    let x = resize(f, x, filter, [&rows, &columns]);
    match crop {
        Some(size) => (padded(f, &x, &to, size), fixed(f, size)),
        None => (x, to),
    }
}

/// Where a centred cut of this size lies on the image, as far as it does. Its start is rounded down, also where it is negative.
fn centre(f: &mut Formula, from: &Sizes, size: [u32; 2]) -> [[String; 2]; 2] {
    [0, 1].map(|axis| {
        let (from, size) = (&from[axis], i64::from(size[axis]));
        let start = start(f, from, size);
        let end = f.with_int("Add", &start, size);
        [f.with_int("Max", &start, 0), f.of("Min", &[&end, from])]
    })
}

/// `⌊(from − size) / 2⌋`, by a division that rounds towards zero.
fn start(f: &mut Formula, from: &str, size: i64) -> String {
    let sum = f.with_int("Add", from, size);
    let half = f.with_int("Div", &sum, 2);
    f.with_int("Sub", &half, size)
}

/// The black border that an image of the size `from` needs to be cut to `size`; `x` is the cut so far.
fn padded(f: &mut Formula, x: &str, from: &Sizes, size: [u32; 2]) -> String {
    let none = f.int(0);
    let [(top, bottom), (left, right)] = [0, 1].map(|axis| {
        let (size, present) = (i64::from(size[axis]), f.size(x, axis as i64 + 1));
        let start = start(f, &from[axis], size);
        let before = f.of("Neg", &[&start]);
        let before = f.with_int("Max", &before, 0);
        let rest = f.of("Add", &[&before, &present]);
        let all = f.int(size);
        let after = f.of("Sub", &[&all, &rest]);
        (before, after)
    });
    let pads = f.list(&[&none, &top, &left, &none, &none, &bottom, &right, &none]);
    f.of("Pad", &[x, &pads])
}

/// The central square of side `short · size / (size + margin)`, and its side. Its start is rounded up.
fn square(f: &mut Formula, from: &Sizes, [size, margin]: [u32; 2]) -> ([[String; 2]; 2], String) {
    let short = f.of("Min", &[&from[0], &from[1]]);
    let product = f.with_int("Mul", &short, i64::from(size));
    let side = f.with_int("Div", &product, i64::from(size) + i64::from(margin));
    let side = f.with_int("Max", &side, 1);
    let places = from.each_ref().map(|from| {
        let rest = f.of("Sub", &[from, &side]);
        let rest = f.with_int("Add", &rest, 1);
        let start = f.with_int("Div", &rest, 2);
        let end = f.of("Add", &[&start, &side]);
        [start, end]
    });
    (places, side)
}

fn cut(f: &mut Formula, x: &str, [rows, columns]: &[[String; 2]; 2]) -> String {
    let [rows, columns] = [rows, columns].map(|[from, to]| [from.as_str(), to.as_str()]);
    let x = f.part(x, 1, rows);
    f.part(&x, 2, columns)
}
