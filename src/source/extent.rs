//! How far a source has been read.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far a source has been read, in a unit of its own (bytes of a table, files of a folder). Shared between the source,
/// which advances it, and whoever tells the time left.
#[derive(Debug, Default)]
pub struct Extent {
    read: AtomicU64,
    /// 0 while it is unknown.
    total: AtomicU64,
    left_out: AtomicU64,
}

impl Extent {
    /// `more` units have been read.
    pub fn advance(&self, more: u64) {
        self.read.fetch_add(more, Ordering::Relaxed);
    }

    /// There are `more` units than was known; may be called once for each of several inputs.
    pub fn extend(&self, more: u64) {
        self.total.fetch_add(more, Ordering::Relaxed);
    }

    /// `more` images lie in a folder whose own table does not name them.
    pub(super) fn leave_out(&self, more: u64) {
        self.left_out.fetch_add(more, Ordering::Relaxed);
    }

    /// How many images were left out, for the folder's own table names them in no row that can be used; complete once the
    /// source is read to its end.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// The part that has been read, from 0 to 1; `None` while the total is unknown.
    pub fn fraction(&self) -> Option<f64> {
        let (read, total) = (self.read.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        (total > 0).then(|| (read as f64 / total as f64).min(1.0))
    }

    /// `reader`, whose bytes count as read.
    pub(super) fn metered<R>(self: &Arc<Self>, reader: R) -> Metered<R> {
        Metered { reader, extent: self.clone() }
    }
}

/// A reader whose bytes count.
pub(super) struct Metered<R> {
    reader: R,
    extent: Arc<Extent>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.extent.advance(n as u64);
        Ok(n)
    }
}
