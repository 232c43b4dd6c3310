//! Resolves the steps for one image size into what must be computed, and computes it.
//!
//! The plan is made backwards: each step tells which window of its input its output depends on. So a crop costs
//! nothing, and a 1x4000 image whose short edge becomes 256 never exists in its full 256x1024000 pixels.

use std::ops::Range;

use super::resize::{Resizer, needed};
use super::view::{Size, View, Window};
use super::{ImageSpec, Interpolation, Step};

/// The longest edge that a step may lead to.
const MAX_EDGE: u64 = 1 << 28;
/// The largest part of an image that a step may compute: the decoder's own limit, rounded up.
const MAX_PIXELS: usize = 1 << 28;

/// One step for a known image size: the windows of its input and of its output that count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Operation {
    action: Action,
    input: Window,
    output: Window,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    Resize(Interpolation, [Size; 2]),
    /// Where the cut begins, from the top and from the left; negative where the image is smaller.
    Crop([isize; 2]),
}

/// The sizes that the steps lead an image of `size` through, and the operations that this needs.
///
/// # Errors
/// When an edge or an image would grow beyond all measure.
pub(super) fn plan(spec: &ImageSpec, size: Size) -> Result<Vec<Operation>, String> {
    let mut sizes = vec![size];
    let mut actions = Vec::with_capacity(spec.steps.len());
    let mut current = size;
    for step in &spec.steps {
        let next = after(step, current).filter(|s| s.height.max(s.width) as u64 <= MAX_EDGE);
        let next = next.ok_or_else(|| format!("{size} pixels: the edges are too unequal"))?;
        if next == current {
            continue;
        }
        actions.push(match step {
            Step::Resize(_) | Step::ShortestEdge(_) => Action::Resize(spec.interpolation, [current, next]),
            // Rounded towards the top left also where it is negative: where image_transforms.center_crop of
            // Hugging Face pads, and where it does not.
            Step::CenterCrop(_) => {
                let offset = |from: usize, to: usize| (from as isize - to as isize).div_euclid(2);
                Action::Crop([offset(current.height, next.height), offset(current.width, next.width)])
            }
            // TensorFlow rounds the other way.
            Step::CentralSquare { .. } => {
                let offset = |from: usize, to: usize| (from - to).div_ceil(2) as isize;
                Action::Crop([offset(current.height, next.height), offset(current.width, next.width)])
            }
        });
        sizes.push(next);
        current = next;
    }
    let mut output = Window::all(current);
    let mut operations = Vec::with_capacity(actions.len());
    for (action, from) in actions.into_iter().zip(&sizes).rev() {
        let input = match action {
            Action::Resize(filter, [from, to]) => Window::of(
                needed(filter, from.height, to.height, output.rows()),
                needed(filter, from.width, to.width, output.columns()),
            ),
            Action::Crop([top, left]) => {
                Window::of(shifted(output.rows(), top, from.height), shifted(output.columns(), left, from.width))
            }
        };
        if output.height.checked_mul(output.width).is_none_or(|n| n > MAX_PIXELS) {
            return Err(format!("a step leads to {}x{} pixels", output.width, output.height));
        }
        operations.push(Operation { action, input, output });
        output = input;
    }
    operations.reverse();
    Ok(operations)
}

/// The size of an image of `size` after a step; none if it is beyond all measure.
pub(super) fn after(step: &Step, size: Size) -> Option<Size> {
    let (short, long) = (size.height.min(size.width), size.height.max(size.width));
    match *step {
        Step::Resize([height, width]) | Step::CenterCrop([height, width]) => {
            Some(Size { height: usize::try_from(height).ok()?, width: usize::try_from(width).ok()? })
        }
        Step::ShortestEdge(edge) => {
            let other = u64::from(edge).checked_mul(long as u64)? / short as u64;
            let (edge, other) = (usize::try_from(edge).ok()?, usize::try_from(other).ok()?);
            let upright = size.width <= size.height;
            Some(if upright { Size { height: other, width: edge } } else { Size { height: edge, width: other } })
        }
        Step::CentralSquare { size, margin } => {
            let side = (short as u64).checked_mul(u64::from(size))? / (u64::from(size) + u64::from(margin));
            let side = usize::try_from(side).ok()?.max(1);
            Some(Size { height: side, width: side })
        }
    }
}

/// `range` moved by `offset`, as far as it lies on the image; empty where it does not.
fn shifted(range: Range<usize>, offset: isize, length: usize) -> Range<usize> {
    let clip = |x: usize| x.saturating_add_signed(offset).min(length);
    clip(range.start)..clip(range.end)
}

/// Carries out the operations on `source` and hands what remains to `sink`. Each operation has its own buffer.
pub(super) fn run<T>(
    operations: &[Operation],
    source: View<'_>,
    resizer: &mut Resizer,
    buffers: &mut [Vec<u8>],
    sink: impl FnOnce(View<'_>) -> T,
) -> Result<T, String> {
    let (Some((operation, later)), Some((buffer, buffers))) = (operations.split_first(), buffers.split_first_mut())
    else {
        return Ok(sink(source));
    };
    let Operation { action, input, output } = *operation;
    let source = source.narrow(input);
    let result = match action {
        _ if output.is_empty() => View { window: output, ..source },
        Action::Resize(filter, sizes) => {
            resizer.resize(source, sizes, output, filter, buffer)?;
            View::tight(buffer, output)
        }
        Action::Crop(_) if (input.height, input.width) == (output.height, output.width) => {
            View { window: output, ..source }
        }
        Action::Crop([top, left]) => {
            pad(source, [top, left], output, buffer);
            View::tight(buffer, output)
        }
    };
    run(later, result, resizer, buffers, sink)
}

/// Copies the source into a black image.
fn pad(source: View<'_>, [top, left]: [isize; 2], output: Window, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(3 * output.height * output.width, 0);
    if source.window.is_empty() {
        return;
    }
    let skip = |input: usize, offset: isize, output: usize| input.saturating_add_signed(-offset).saturating_sub(output);
    let (down, right) = (skip(source.window.top, top, output.top), skip(source.window.left, left, output.left));
    for (y, row) in buffer.chunks_exact_mut(3 * output.width).skip(down).take(source.window.height).enumerate() {
        row[3 * right..][..3 * source.window.width].copy_from_slice(source.row(y));
    }
}
