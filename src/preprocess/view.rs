//! Pixels of a part of an image.

use std::fmt;
use std::ops::Range;

/// Height and width in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub height: usize,
    pub width: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A rectangle of an image, in pixels.
#[derive(Debug, Clone, PartialEq, Eq, Copy)]
pub(super) struct Window {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

impl Window {
    /// All of an image.
    pub(super) fn all(size: Size) -> Self {
        Self { top: 0, left: 0, height: size.height, width: size.width }
    }

    pub(super) fn of(rows: Range<usize>, columns: Range<usize>) -> Self {
        Self { top: rows.start, left: columns.start, height: rows.len(), width: columns.len() }
    }

    pub(super) fn rows(&self) -> Range<usize> {
        self.top..self.top + self.height
    }

    pub(super) fn columns(&self) -> Range<usize> {
        self.left..self.left + self.width
    }

    pub(super) fn is_empty(&self) -> bool {
        self.height == 0 || self.width == 0
    }
}

/// Borrowed 8-bit RGB pixels of one window of an image; the rest of the image need never have been computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    /// From the window's first pixel on.
    pub pixels: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    pub window: Window,
}

impl<'a> View<'a> {
    /// Of rows that follow one another without a gap.
    pub(super) fn tight(pixels: &'a [u8], window: Window) -> Self {
        Self { pixels, stride: 3 * window.width, window }
    }

    /// A smaller window of the same image.
    pub(super) fn narrow(self, window: Window) -> Self {
        if window.is_empty() {
            return Self { pixels: &[], window, ..self };
        }
        let skipped = (window.top - self.window.top) * self.stride + 3 * (window.left - self.window.left);
        Self { pixels: &self.pixels[skipped..], window, ..self }
    }

    /// The `y`-th row of the window.
    #[inline(always)]
    pub(super) fn row(&self, y: usize) -> &'a [u8] {
        &self.pixels[y * self.stride..][..3 * self.window.width]
    }
}
