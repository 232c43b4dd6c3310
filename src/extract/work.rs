//! What the pipeline's threads do, apart from handing things on.

use std::ops::Range;
use std::time::Duration;

use ndarray::Array2;

use super::meter::Lane;
use crate::error::Result;
use crate::source::{Reject, Sample};

/// The two kinds of work of an extraction: preparing samples, and running what is prepared.
pub(super) trait Work: Sync {
    /// What one thread keeps from unit to unit.
    type Scratch;
    /// Prepared inputs of one piece, in order.
    type Data: Send;
    /// Runs pieces; one thread owns it.
    type Runner;

    /// For a thread that begins.
    fn scratch(&self) -> Self::Scratch;

    /// Prepares the samples of a unit, and cuts what is usable into pieces.
    fn prepare(&self, lane: Lane, scratch: &mut Self::Scratch, samples: &[Sample]) -> Prepared<Self::Data>;

    /// A runner for one more thread. Called when there is work for it.
    ///
    /// # Errors
    /// They end the run.
    fn runner(&self) -> Result<Self::Runner>;

    /// How many rows pieces that are ready may be joined to.
    fn join_up_to(&self) -> usize;

    /// One piece of several, in order.
    fn join(&self, pieces: Vec<Self::Data>) -> Self::Data;

    /// Some rows of a piece through the backbone: one embedding each.
    ///
    /// # Errors
    /// The backbone's; then other rows, or fewer, may still go through.
    fn run(&self, runner: &mut Self::Runner, data: &Self::Data, rows: Range<usize>) -> Result<Array2<f32>>;

    /// Takes back what is no longer needed, to use it again.
    fn recycle(&self, data: Self::Data);

    /// A whole piece of this goal took a while. Returns what the user should know.
    fn record(&self, goal: usize, data: &Self::Data, elapsed: Duration) -> Option<String>;

    /// So many rows of a piece were too much for the memory. Returns what the user should know.
    fn halve(&self, data: &Self::Data, rows: usize) -> String;
}

/// What became of the samples of a unit.
pub(super) struct Prepared<D> {
    /// One a sample, in order.
    pub(super) checked: Vec<Result<Checked, Reject>>,
    /// Together they hold each usable sample once.
    pub(super) pieces: Vec<Piece<D>>,
}

/// What is known of a usable sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checked {
    /// A digest of the input's bytes: equal inputs have equal digests.
    pub(super) content: String,
    /// Whether a text was longer than the backbone takes, and cut.
    pub(super) truncated: bool,
}

/// Prepared samples that run together.
pub(super) struct Piece<D> {
    /// Places of the samples in their unit.
    pub(super) slots: Vec<usize>,
    /// The size that the piece was cut to, for [`Work::record`].
    pub(super) goal: usize,
    pub(super) data: D,
}
