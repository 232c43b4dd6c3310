//! What to label next.

mod k_centre;
mod kmeans;
mod typicality;

pub use k_centre::k_centre;
pub use typicality::typicality;

use ndarray::{ArrayView1, ArrayView2};

use super::check::check_probabilities;
use crate::error::{Error, Result};

/// A row that is worth a label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suggestion {
    /// The row.
    pub row: usize,
    /// Why it was chosen, in the strategy's own measure.
    pub score: f64,
}

/// The margin of each row, `p(first) − p(second)` of its two likeliest classes, in 0..=1: the head is least sure where it is
/// least (Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001).
///
/// # Errors
/// [`Error::Data`] when there are no rows, fewer than two classes, or a probability is not within 0..=1.
pub fn margins(probabilities: ArrayView2<f32>) -> Result<Vec<f64>> {
    check_probabilities(probabilities)?;
    let margin = |row: ArrayView1<f32>| {
        let top = row.iter().fold((0.0_f32, 0.0_f32), |(first, second), &p| match p {
            p if p > first => (p, first),
            p => (first, second.max(p)),
        });
        f64::from(top.0) - f64::from(top.1)
    };
    Ok(probabilities.outer_iter().map(margin).collect())
}

/// Fails unless the rows are below `n` and none is given twice.
fn check_rows(what: &str, rows: &[usize], n: usize) -> Result<Vec<bool>> {
    let mut seen = vec![false; n];
    for &row in rows {
        match seen.get_mut(row) {
            Some(seen) if !*seen => *seen = true,
            Some(_) => return Err(Error::Data(format!("row {row} is twice among the {what} rows"))),
            None => return Err(Error::Data(format!("the {what} row {row} is not below {n}"))),
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn margins_are_of_the_two_likeliest() {
        let p = ndarray::array![[0.5_f32, 0.25, 0.25], [0.125, 0.125, 0.75], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]];
        assert_close(margins(p.view()).unwrap(), [0.25, 0.625, 0.0, 1.0], Tolerance::Exact);
        assert!(matches!(margins(p.slice(ndarray::s![.., ..1])), Err(Error::Data(_))));
    }

    #[test]
    fn rows_are_checked() {
        assert_eq!(check_rows("labelled", &[2, 0], 3).unwrap(), [true, false, true]);
        assert!(check_rows("labelled", &[1, 1], 3).unwrap_err().to_string().contains("row 1"));
        assert!(check_rows("labelled", &[3], 3).unwrap_err().to_string().contains("row 3"));
    }
}
