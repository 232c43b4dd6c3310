//! Probabilities of rows by heads that have not seen them.

use ndarray::{Array2, ArrayView2, Axis};

use super::check::{check_features, check_labels};
use crate::error::{Error, Result};
use crate::eval::{Division, Fold};
use crate::head::Head;

/// Rows whose classes are known.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// n×d features.
    pub x: ArrayView2<'a, f32>,
    /// n class indices.
    pub labels: &'a [usize],
    /// The group of each row, where they are grouped: what is chosen on these rows is to be chosen without a group on both
    /// sides.
    pub groups: Option<&'a [usize]>,
}

impl Known<'_> {
    /// Number of classes, each of which has a row.
    pub fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&top| top + 1)
    }
}

/// Fits a head on rows.
pub type FitHead<'a> = dyn Fn(Known) -> Result<Head> + 'a;

/// Learns from rows, and gives n'×K values of n'×d other features, K being the number of classes of the rows.
pub type Judge<'a> = dyn Fn(Known, ArrayView2<f32>) -> Result<Array2<f32>> + 'a;

/// The n×K probabilities of each row by a head that was fitted on the other parts of a division. Of a repeated one the rows
/// of the repeats follow one another. A class all of whose rows are in one part has there the probability 0: its groups may
/// be too few for more.
///
/// # Errors
/// [`Error::Data`] when a class below `classes` has fewer than two rows (its row could not be judged by others); as
/// [`Division::draw`] and `fit`.
pub fn out_of_fold(
    x: ArrayView2<f32>,
    labels: (&[usize], usize),
    fit: &FitHead,
    division: Division,
) -> Result<Array2<f32>> {
    judge_out_of_fold(x, labels, &|known, others| fit(known)?.probabilities(others), division)
}

/// The n×K logits of each row, otherwise as [`out_of_fold`].
///
/// # Errors
/// As [`out_of_fold`]; [`Error::Data`] when all rows of a class are in one part.
pub fn out_of_fold_logits(
    x: ArrayView2<f32>,
    labels: (&[usize], usize),
    fit: &FitHead,
    division: Division,
) -> Result<Array2<f32>> {
    out_of_fold_logits_shown(x, labels, fit, division, |_, _, _| Ok(()))
}

/// The same, showing `see` each head, the features it was fitted on, and the others with the logits that it gives them.
pub(super) fn out_of_fold_logits_shown(
    x: ArrayView2<f32>,
    (labels, classes): (&[usize], usize),
    fit: &FitHead,
    division: Division,
    mut see: impl FnMut(&Head, ArrayView2<f32>, (ArrayView2<f32>, ArrayView2<f32>)) -> Result<()>,
) -> Result<Array2<f32>> {
    let mut logits = Array2::zeros((labels.len() * division.repeats(), classes));
    for_each_fold(x, (labels, classes), division, |known, part| {
        if known.classes() < classes {
            return Err(Error::Data("the groups of a class are too few: one fold has all of them".into()));
        }
        let head = fit(known)?;
        let judged = head.logits(part.x)?;
        see(&head, known.x, (part.x, judged.view()))?;
        part.put(judged.view(), &mut logits);
        Ok(())
    })?;
    Ok(logits)
}

/// What `judge` says of each row when it may learn from the other parts of a division, otherwise as [`out_of_fold`].
///
/// # Errors
/// As [`out_of_fold`].
pub fn judge_out_of_fold(
    x: ArrayView2<f32>,
    (labels, classes): (&[usize], usize),
    judge: &Judge,
    division: Division,
) -> Result<Array2<f32>> {
    let mut probabilities = Array2::zeros((labels.len() * division.repeats(), classes));
    for_each_fold(x, (labels, classes), division, |known, part| {
        part.put(judge(known, part.x)?.view(), &mut probabilities);
        Ok(())
    })?;
    Ok(probabilities)
}

/// Rows to be judged by others.
pub(crate) struct Part<'a> {
    /// Of each row, its place among all rows of all repeats.
    places: &'a [usize],
    /// The classes that the others have, ascending: their k-th is the others' class k.
    classes: &'a [usize],
    /// Of each row, its class among the others' classes; none where they have it not.
    pub(crate) truth: &'a [Option<usize>],
    /// Features.
    pub(crate) x: ArrayView2<'a, f32>,
}

impl Part<'_> {
    /// Puts what the others say of these rows among what is said of all.
    fn put(&self, said: ArrayView2<f32>, of_all: &mut Array2<f32>) {
        for (&place, said) in self.places.iter().zip(said.outer_iter()) {
            let mut of_row = of_all.row_mut(place);
            self.classes.iter().zip(said).for_each(|(&class, &value)| of_row[class] = value);
        }
    }
}

/// Shows `see` each part of a division, and the rows of the other parts.
///
/// # Errors
/// As [`out_of_fold`].
pub(crate) fn for_each_fold(
    x: ArrayView2<f32>,
    (labels, classes): (&[usize], usize),
    division: Division,
    mut see: impl FnMut(Known, Part) -> Result<()>,
) -> Result<()> {
    check_features(x)?;
    check_labels(labels, x.nrows(), classes)?;
    if let Some(class) = (0..classes).find(|class| labels.iter().filter(|&label| label == class).count() < 2) {
        return Err(Error::Data(format!("class {class} has fewer than two rows")));
    }
    let n = labels.len();
    let folds = division.draw(labels)?;
    for (fold, Fold { train, test }) in folds.iter().enumerate() {
        let picked: Vec<usize> = train.iter().map(|&row| labels[row]).collect();
        let mut there = picked.clone();
        there.sort_unstable();
        there.dedup();
        let truth: Vec<Option<usize>> = test.iter().map(|&row| there.binary_search(&labels[row]).ok()).collect();
        let labels: Vec<usize> = picked.iter().map(|&class| there.partition_point(|&other| other < class)).collect();
        let groups: Option<Vec<usize>> = division.groups().map(|groups| train.iter().map(|&row| groups[row]).collect());
        let learnt = x.select(Axis(0), &train);
        let known = Known { x: learnt.view(), labels: &labels, groups: groups.as_deref() };
        let places: Vec<usize> = test.iter().map(|&row| fold / folds.k() * n + row).collect();
        let unseen = x.select(Axis(0), &test);
        see(known, Part { places: &places, classes: &there, truth: &truth, x: unseen.view() })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Logistic;

    fn logistic(known: Known) -> Result<Head> {
        Ok(Logistic::new().alpha(0.1).fit_watched(known.x, known.labels, &())?.head.into())
    }

    #[test]
    fn a_row_is_judged_by_others_alone() {
        // Row 0 lies among class 0 and is labelled 1: a head that had seen it would be less sure.
        let mut rng = fastrand::Rng::with_seed(1);
        let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let x = Array2::from_shape_fn((40, 3), |(i, j)| rng.f32() + if j == 0 { 3.0 * labels[i] as f32 } else { 0.0 });
        let mut wrong = labels.clone();
        wrong[0] = 1;
        let judged = out_of_fold(x.view(), (&wrong, 2), &logistic, Division::new(4, 0)).unwrap();
        assert!(judged[[0, 0]] > 0.8, "{}", judged[[0, 0]]);
        for (row, sum) in judged.sum_axis(Axis(1)).iter().enumerate() {
            assert!((sum - 1.0).abs() < 1e-5, "row {row}: {sum}");
        }
        let seen =
            logistic(Known { x: x.view(), labels: &wrong, groups: None }).unwrap().probabilities(x.view()).unwrap();
        assert!(seen[[0, 0]] < judged[[0, 0]]);
    }

    #[test]
    fn what_cannot_be_folded_is_refused() {
        let x = Array2::zeros((3, 2));
        let folded = |labels: &[usize], folds| out_of_fold(x.view(), (labels, 2), &logistic, Division::new(folds, 0));
        assert!(matches!(folded(&[0, 0, 1], 2), Err(Error::Data(text)) if text.contains("class 1")));
        assert!(matches!(folded(&[0, 0, 1, 1], 1), Err(Error::Data(_))));
        assert!(matches!(folded(&[0, 0], 2), Err(Error::Data(_))));
    }

    #[test]
    fn repeats_follow_one_another_and_groups_reach_the_judge() {
        let labels = [0, 1, 0, 1, 0, 1, 2, 2];
        let groups = [4, 4, 5, 5, 6, 6, 6, 6];
        let x = Array2::from_shape_fn((8, 1), |(row, _)| row as f32);
        // Says which rows it has not seen, and checks that none of their group was.
        let judge = |known: Known, others: ArrayView2<f32>| {
            let seen = known.groups.unwrap();
            assert!(others.column(0).iter().all(|&row| !seen.contains(&groups[row as usize])));
            Ok(Array2::from_shape_fn((others.nrows(), known.classes()), |(i, _)| 1.0 + others[[i, 0]]))
        };
        let division = Division::new(3, 0).repeated(2).grouped(Some(&groups));
        let judged = judge_out_of_fold(x.view(), (&labels, 3), &judge, division).unwrap();
        assert_eq!(judged.dim(), (16, 3));
        for (row, of_row) in judged.outer_iter().enumerate() {
            let own = (row % 8) as f32 + 1.0;
            // Class 2 lies in one group: where it is tested nothing of it was learnt.
            assert_eq!(of_row.to_vec(), [own, own, if groups[row % 8] == 6 { 0.0 } else { own }], "{row}");
        }
        let fit = |known: Known| logistic(known);
        let error = out_of_fold_logits(x.view(), (&labels, 3), &fit, division).unwrap_err();
        assert!(error.to_string().contains("groups of a class are too few"), "{error}");
    }
}
