//! What every head asks of its training data.

use ndarray::ArrayView2;

use crate::counted::counted;
use crate::error::{Error, Result};

/// Number of classes of n×d features and n class indices that a head can be fitted on.
///
/// # Errors
/// [`Error::Data`] when there are no rows, no columns, fewer than two classes, a class without rows, or a value that is
/// not finite, which is named; [`Error::Mismatch`] when there is another number of labels than rows.
pub(crate) fn count_classes(x: ArrayView2<f32>, labels: &[usize]) -> Result<usize> {
    check_rows(x, labels.len())?;
    let n = labels.len();
    let top = labels.iter().copied().max().unwrap_or(0);
    if top == 0 {
        return Err(Error::Data("all rows have the same label: nothing to tell apart".into()));
    }
    // K classes with a row each need K rows: a greater index is refused before anything of its size is allocated.
    if top >= n {
        return Err(Error::Data(format!("class {top} of {n} rows: some class below it has no row")));
    }
    let mut seen = vec![false; top + 1];
    labels.iter().for_each(|&label| seen[label] = true);
    match seen.iter().position(|seen| !seen) {
        Some(class) => Err(Error::Data(format!("class {class} has no row to learn from"))),
        None => Ok(top + 1),
    }
}

/// Refuses n×d features and n×K labels, of which a row may have any number, that K binary fits cannot be made on.
///
/// # Errors
/// [`Error::Data`] when there are no rows, no columns, fewer than two labels, a label that every row has or none, or a value
/// that is not finite, which is named; [`Error::Mismatch`] when there are other numbers of rows.
pub(crate) fn check_multi_label(x: ArrayView2<f32>, labels: ArrayView2<bool>) -> Result<()> {
    check_rows(x, labels.nrows())?;
    if labels.ncols() < 2 {
        let reason =
            format!("{} to tell apart: fit two classes, with it and without", counted(labels.ncols(), "label"));
        return Err(Error::Data(reason));
    }
    for (label, rows) in labels.columns().into_iter().enumerate() {
        let some = |has: bool| rows.iter().any(|&row| row == has);
        let whose = match (some(true), some(false)) {
            (true, true) => continue,
            (true, false) => "every row has",
            (false, _) => "no row has",
        };
        return Err(Error::Data(format!("{whose} the label {label}: nothing to tell apart")));
    }
    Ok(())
}

fn check_rows(x: ArrayView2<f32>, labels: usize) -> Result<()> {
    let (n, d) = x.dim();
    if n == 0 || d == 0 {
        return Err(Error::Data(format!("nothing to fit: the features are {n} rows of {d} values")));
    }
    if labels != n {
        return Err(Error::Mismatch {
            what: "the numbers of feature rows and labels".into(),
            expected: n.to_string(),
            got: labels.to_string(),
        });
    }
    for (i, row) in x.rows().into_iter().enumerate() {
        if let Some(j) = row.iter().position(|v| !v.is_finite()) {
            return Err(Error::Data(format!("feature {j} of row {i} is {}; rows count from 0", row[j])));
        }
    }
    Ok(())
}

/// [`Error::Usage`] unless `value` is finite and above 0.
pub(crate) fn positive(name: &str, value: f64) -> Result<()> {
    let usable = value.is_finite() && value > 0.0;
    usable.then_some(()).ok_or_else(|| Error::Usage(format!("{name} must be above 0, got {value}")))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn unusable_data_is_told_apart() {
        let x = array![[0.0_f32], [1.0], [2.0]];
        let reason = |x: &Array2<f32>, labels: &[usize]| count_classes(x.view(), labels).unwrap_err().to_string();
        assert_eq!(count_classes(x.view(), &[1, 0, 2]).unwrap(), 3);
        assert!(reason(&x, &[0, 1]).contains("do not match"));
        assert!(reason(&x, &[0, 0, 0]).contains("same label"));
        assert!(reason(&x, &[0, 0, 2]).contains("class 1 has no row"));
        assert!(reason(&x, &[0, 0, usize::MAX]).contains("some class below it"));
        assert!(reason(&Array2::zeros((0, 4)), &[]).contains("0 rows"));
        assert!(reason(&array![[0.0], [f32::NAN]], &[0, 1]).contains("feature 0 of row 1 is NaN"));
    }

    #[test]
    fn two_labels_are_needed_that_some_rows_have_and_some_have_not() {
        let x = array![[0.0_f32], [1.0], [2.0]];
        let reason = |x: &Array2<f32>, labels: Array2<bool>| {
            check_multi_label(x.view(), labels.view()).map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        let labels = array![[true, false], [true, true], [false, false]];
        assert_eq!(reason(&x, labels.clone()), "");
        assert!(reason(&x, labels.slice(ndarray::s![..2, ..]).to_owned()).contains("do not match"));
        assert!(reason(&x, labels.slice(ndarray::s![.., ..1]).to_owned()).contains("1 label to tell apart"));
        assert!(reason(&x, array![[true, true], [true, false], [true, true]]).contains("every row has the label 0"));
        assert!(reason(&x, array![[true, false], [false, false], [true, false]]).contains("no row has the label 1"));
        assert!(reason(&array![[0.0], [f32::NAN], [1.0]], labels).contains("feature 0 of row 1 is NaN"));
    }
}
