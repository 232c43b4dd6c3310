//! Two classifiers on the same rows.

use crate::error::{Error, Result};
use crate::eval::{Interval, Z};

/// The accuracy of the first less that of the second, and its 95 % interval, from which rows each has right: Wald's interval of
/// paired shares with one row added to each kind of disagreement (Bonett and Price, "Adjusted Wald Confidence Interval for a
/// Difference of Binomial Proportions Based on Paired Data", J. Educ. Behav. Stat. 37, 2012). Rows on which both agree narrow it,
/// so that it tells apart what two separate intervals do not.
///
/// # Errors
/// [`Error::Data`] when there are no rows or the numbers of rows differ.
pub fn paired_difference(first: &[bool], second: &[bool]) -> Result<(f64, Interval)> {
    if first.is_empty() || first.len() != second.len() {
        let (a, b) = (first.len(), second.len());
        return Err(Error::Data(format!("classifiers are compared on the same rows, got {a} and {b}")));
    }
    let count = |a: bool| first.iter().zip(second).filter(|&(&x, &y)| x != y && x == a).count() as f64;
    let (won, lost, n) = (count(true), count(false), first.len() as f64);
    let (p, q) = ((won + 1.0) / (n + 2.0), (lost + 1.0) / (n + 2.0));
    let half = Z * ((p + q - (p - q).powi(2)) / (n + 2.0)).sqrt();
    Ok(((won - lost) / n, [(p - q - half).max(-1.0), (p - q + half).min(1.0)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_formula_by_hand() {
        // Of 98 rows the first wins 9, the second 4.
        let first: Vec<bool> = (0..98).map(|i| !(9..13).contains(&i)).collect();
        let second: Vec<bool> = (0..98).map(|i| i >= 9).collect();
        let (difference, [low, high]) = paired_difference(&first, &second).unwrap();
        assert_close([difference], [5.0 / 98.0], Tolerance::Close);
        let half = 1.959_963_984_540_054 * ((0.1 + 0.05 - 0.0025) / 100.0_f64).sqrt();
        assert_close([low, high], [0.05 - half, 0.05 + half], Tolerance::Close);
        let (back, [low_back, high_back]) = paired_difference(&second, &first).unwrap();
        assert_close([back, low_back, high_back], [-difference, -high, -low], Tolerance::Close);
    }

    #[test]
    fn rows_must_be_the_same() {
        assert!(paired_difference(&[], &[]).is_err());
        assert!(paired_difference(&[true], &[true, false]).is_err());
    }
}
