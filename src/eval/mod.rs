//! Evaluation: arrays in, numbers out.
//!
//! Classes are indices `0..K`. A test row whose label is not among the classes of the head has no index: the caller has to
//! decide whether such rows are left out (and say how many) or refuse the data; here they cannot be expressed.

mod auc;
mod confusion;
mod interval;
mod report;
mod rows;

pub use confusion::{ClassScores, Confusion};
pub(crate) use interval::Z;
pub use interval::{Interval, percentile, wilson};
pub use report::{ClassReport, Options, Report, TopK};
pub use rows::argmax;
