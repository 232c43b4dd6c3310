//! Labels that are probably wrong: confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating
//! Uncertainty in Dataset Labels", JAIR 70, 2021), with the conventions of cleanlab 2.9.

use ndarray::{Array2, ArrayView1, ArrayView2};

use super::check::{check_labels, check_probabilities};
use crate::error::Result;
use crate::logits::first_maximum;

/// Probabilities nearer than this count as equal, as in cleanlab.
const NEAR: f64 = 1e-6;

/// Which rows are taken for label errors once the confident joint is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LabelFilter {
    /// Of each given class and each other class, as many rows as the calibrated joint says, those with the greatest
    /// `p(other) − p(given)` (cleanlab's default, `prune_by_noise_rate`).
    #[default]
    NoiseRate,
    /// Every row that is confidently of another class than its label (`confident_learning`).
    OffDiagonal,
}

/// Rows, ascending, whose label is probably wrong, by n×K probabilities of a model that has not seen the row
/// (out-of-fold) and n labels below K.
///
/// A row is never named when its label is the likeliest class. A class of one row is left alone.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when there are no rows or fewer than two classes, when the sizes disagree, when a
/// label is not below K, or when a probability is not within 0..=1.
pub fn label_errors(probabilities: ArrayView2<f32>, labels: &[usize], filter: LabelFilter) -> Result<Vec<usize>> {
    check(probabilities, labels)?;
    let confident = confident_classes(probabilities, labels);
    let mut found: Vec<usize> = match filter {
        LabelFilter::OffDiagonal => {
            (0..labels.len()).filter(|&row| confident[row].is_some_and(|class| class != labels[row])).collect()
        }
        LabelFilter::NoiseRate => {
            by_noise_rate(probabilities, labels, &joint(&confident, labels, probabilities.ncols()))
        }
    };
    found.retain(|&row| !is_likeliest(probabilities.row(row), labels[row]));
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The confident joint, K×K: how many of the rows with the label `i` (the row of the matrix) are truly of class `j`, calibrated
/// so that row `i` sums to the number of rows with that label.
///
/// # Errors
/// As [`label_errors`].
pub fn confident_joint(probabilities: ArrayView2<f32>, labels: &[usize]) -> Result<Array2<u64>> {
    check(probabilities, labels)?;
    Ok(joint(&confident_classes(probabilities, labels), labels, probabilities.ncols()))
}

/// The probability of each row's label: near 0 where the label is probably wrong.
///
/// # Errors
/// As [`label_errors`].
pub fn self_confidence(probabilities: ArrayView2<f32>, labels: &[usize]) -> Result<Vec<f64>> {
    check(probabilities, labels)?;
    Ok(labels.iter().enumerate().map(|(row, &label)| f64::from(probabilities[[row, label]])).collect())
}

/// `(p(label) − max p(other) + 1) / 2` of each row, in 0..=1: below one half where another class is likelier.
///
/// # Errors
/// As [`label_errors`].
pub fn normalized_margin(probabilities: ArrayView2<f32>, labels: &[usize]) -> Result<Vec<f64>> {
    check(probabilities, labels)?;
    let margin = |(row, &label): (usize, &usize)| {
        let row = probabilities.row(row);
        let other = (0..row.len()).filter(|&class| class != label).map(|class| row[class]).fold(0.0, f32::max);
        (f64::from(row[label]) - f64::from(other) + 1.0) / 2.0
    };
    Ok(labels.iter().enumerate().map(margin).collect())
}

fn check(probabilities: ArrayView2<f32>, labels: &[usize]) -> Result<()> {
    check_probabilities(probabilities)?;
    check_labels(labels, probabilities.nrows(), probabilities.ncols())
}

/// Whether no class is likelier than the label by more than [`NEAR`].
fn is_likeliest(row: ArrayView1<f32>, label: usize) -> bool {
    let own = f64::from(row[label]) + NEAR;
    row.iter().enumerate().all(|(class, &p)| match f64::from(p) {
        p if class < label => p < own,
        p if class > label => p <= own,
        _ => true,
    })
}

/// The class each row is confidently of: its probability reaches the mean of that class's among the rows labelled so.
fn confident_classes(probabilities: ArrayView2<f32>, labels: &[usize]) -> Vec<Option<usize>> {
    let classes = probabilities.ncols();
    let mut sums = vec![(0.0_f64, 0_u32); classes];
    for (row, &label) in labels.iter().enumerate() {
        sums[label].0 += f64::from(probabilities[[row, label]]);
        sums[label].1 += 1;
    }
    // No probability reaches the threshold of a class without rows.
    let threshold = |(sum, n): (f64, u32)| if n == 0 { 2.0 } else { (sum / f64::from(n)).max(2.0 * NEAR) };
    let thresholds: Vec<f64> = sums.into_iter().map(threshold).collect();
    let class = |row: ArrayView1<f32>| {
        let reaches = |&class: &usize| f64::from(row[class]) >= thresholds[class] - NEAR;
        let mut reached = (0..classes).filter(reaches);
        match (reached.next(), reached.next()) {
            (Some(_), Some(_)) => Some(first_maximum(row)),
            (only, _) => only,
        }
    };
    probabilities.outer_iter().map(class).collect()
}

fn joint(confident: &[Option<usize>], labels: &[usize], classes: usize) -> Array2<u64> {
    let mut counts = Array2::<f64>::zeros((classes, classes));
    let mut given = vec![0.0_f64; classes];
    for (class, &label) in confident.iter().zip(labels) {
        given[label] += 1.0;
        if let Some(class) = *class {
            counts[[label, class]] += 1.0;
        }
    }
    counts.diag_mut().mapv_inplace(|n| n.max(1.0));
    for (mut row, given) in counts.outer_iter_mut().zip(&given) {
        let sum = row.sum();
        row.mapv_inplace(|n| n / sum * given);
    }
    let total = counts.sum();
    counts.mapv_inplace(|n| n / total * labels.len() as f64);
    let mut whole = Array2::zeros((classes, classes));
    for (row, mut to) in counts.outer_iter().zip(whole.outer_iter_mut()) {
        round_keeping_sum(&row.to_vec()).into_iter().zip(&mut to).for_each(|(n, to)| *to = n);
    }
    whole
}

/// Rounds so that the sum is the rounded sum: those that rounding has moved furthest go the other way. Of equals the last is
/// raised first, and the first lowered, as in cleanlab.
fn round_keeping_sum(values: &[f64]) -> Vec<u64> {
    let mut rounded: Vec<f64> = values.iter().map(|v| v.round_ties_even()).collect();
    let missing = values.iter().sum::<f64>().round_ties_even() - rounded.iter().sum::<f64>();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| (values[a] - rounded[a]).total_cmp(&(values[b] - rounded[b])));
    if missing > 0.0 {
        order.reverse();
    }
    // Each of K values is off by at most one half, so that at most K/2 are missing.
    for &at in order.iter().take(missing.abs() as usize) {
        rounded[at] += missing.signum();
    }
    rounded.into_iter().map(|v| v.max(0.0) as u64).collect()
}

fn by_noise_rate(probabilities: ArrayView2<f32>, labels: &[usize], joint: &Array2<u64>) -> Vec<usize> {
    let mut found = Vec::new();
    for (label, counts) in joint.outer_iter().enumerate() {
        let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] == label).collect();
        if rows.len() < 2 {
            continue;
        }
        for (other, count) in keep_one(counts, label).into_iter().enumerate().filter(|&(other, _)| other != label) {
            let margin = |row: usize| f64::from(probabilities[[row, other]]) - f64::from(probabilities[[row, label]]);
            let mut rows: Vec<(f64, usize)> = rows.iter().map(|&row| (margin(row), row)).collect();
            rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            found.extend(rows.into_iter().take(count).map(|(_, row)| row));
        }
    }
    found
}

/// How many rows of the class `label` to take for each other class, so that at least one is left to it.
fn keep_one(counts: ArrayView1<u64>, label: usize) -> Vec<usize> {
    let raised = 1_u64.saturating_sub(counts[label]) as f64;
    let others = (counts.iter().filter(|&&n| n > 0).count() as f64 - 1.0).max(1.0);
    counts.iter().map(|&n| (n as f64 - raised / others).max(0.0) as usize).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::error::Error;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        classes: usize,
        labels: Vec<usize>,
        probabilities: Vec<u32>,
        joint: Vec<u64>,
        prune_by_noise_rate: Vec<usize>,
        confident_learning: Vec<usize>,
        self_confidence: Vec<f64>,
        normalized_margin: Vec<f64>,
    }

    fn cases() -> Vec<(Case, Array2<f32>)> {
        let text = include_str!("../../tests/golden/curate/label_errors.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        let matrix = |case: &Case| {
            let values = case.probabilities.iter().map(|&n| n as f32 / 65536.0).collect();
            Array2::from_shape_vec((case.labels.len(), case.classes), values).unwrap()
        };
        cases.into_iter().map(|case| (matrix(&case), case)).map(|(p, case)| (case, p)).collect()
    }

    #[test]
    fn cleanlabs_indices_are_found() {
        for (case, p) in cases() {
            let joint = confident_joint(p.view(), &case.labels).unwrap();
            assert_eq!(joint.into_raw_vec_and_offset().0, case.joint, "{}", case.name);
            let found = |filter| label_errors(p.view(), &case.labels, filter).unwrap();
            assert_eq!(found(LabelFilter::NoiseRate), case.prune_by_noise_rate, "{}", case.name);
            assert_eq!(found(LabelFilter::OffDiagonal), case.confident_learning, "{}", case.name);
        }
    }

    #[test]
    fn cleanlabs_scores_are_computed() {
        for (case, p) in cases() {
            assert_close(self_confidence(p.view(), &case.labels).unwrap(), case.self_confidence, Tolerance::Close);
            assert_close(normalized_margin(p.view(), &case.labels).unwrap(), case.normalized_margin, Tolerance::Close);
        }
    }

    #[test]
    fn what_cannot_be_judged_is_refused_by_row() {
        let p = ndarray::array![[0.5_f32, 0.5], [0.1, f32::NAN]];
        let refused = |p: ArrayView2<f32>, labels: &[usize], word: &str| {
            let error = label_errors(p, labels, LabelFilter::NoiseRate).unwrap_err();
            assert!(matches!(error, Error::Data(_)) && error.to_string().contains(word), "{error}");
        };
        refused(p.view(), &[0, 1], "row 1");
        refused(p.slice(ndarray::s![..1, ..]), &[2], "row 0");
        refused(p.slice(ndarray::s![..1, ..]), &[0, 1], "2 labels");
        refused(p.slice(ndarray::s![..0, ..]), &[], "no rows");
        refused(p.slice(ndarray::s![..1, ..1]), &[0], "two classes");
        assert_eq!(
            label_errors(p.slice(ndarray::s![..1, ..]), &[1], LabelFilter::NoiseRate).unwrap(),
            [] as [usize; 0]
        );
    }
}
