//! Which backbone and which head suit a data set: arrays in, scores out.

mod alpha;
mod heads;
mod leep;
mod logme;
mod loo;
mod nce;
mod spectrum;

pub use alpha::choose_alpha;
pub use heads::{Family, FitHeads, HeadChoice, JudgedHead, choose_head};
pub use leep::leep;
pub use logme::log_me;
pub use loo::{LeaveOneOut, leave_one_out};
pub use nce::nce;
pub use spectrum::Spectrum;

use crate::error::{Error, Result};

/// Fails unless there is one label for each row, each below K, and K is 2 and more.
fn check_labels(labels: &[usize], rows: usize, classes: usize) -> Result<()> {
    if labels.len() != rows {
        return Err(Error::Data(format!("there are {} labels for {rows} rows", labels.len())));
    }
    if classes < 2 {
        return Err(Error::Data(format!("ranking needs two classes and more, got {classes}")));
    }
    match labels.iter().position(|&label| label >= classes) {
        Some(row) => Err(Error::Data(format!("the label of row {row} is {}, not below {classes}", labels[row]))),
        None => Ok(()),
    }
}
