//! Ridge's alpha where rows are grouped.

use crate::curate::{Known, Part, for_each_fold};
use crate::error::Result;
use crate::eval::{Division, Judgeable};
use crate::head::Ridge;
use crate::progress::Progress;

/// The alpha of `ridge` with the least squared error in stratified folds with no group on both sides, the greater among equals.
/// The closed form of leaving rows out asks for one row at a time; rows of one group may tell of one another, and an alpha chosen so
/// would be too small. None where the groups are too few to choose by: fewer than two classes lie in two groups.
///
/// Errors are those against the targets of [`Ridge`]: 1 for the row's class and −1 for the others. Rows of a class that is in one fold
/// alone count with the classes there are.
///
/// # Errors
/// As [`Division::draw`] and [`Ridge::sweep`].
pub fn choose_alpha(
    Known { x, labels, groups }: Known,
    ridge: &Ridge,
    (folds, seed): (usize, u64),
    progress: &dyn Progress,
) -> Result<Option<f64>> {
    let judgeable = Judgeable::of(labels, groups);
    if judgeable.classes.len() < 2 {
        return Ok(None);
    }
    let division = Division::new(folds, seed).grouped(judgeable.groups.as_deref());
    let mut errors: Vec<(f64, f64)> = Vec::new();
    let (features, classes) = (judgeable.features(x), judgeable.classes.len());
    for_each_fold(features.view(), (&judgeable.labels, classes), division, |others, Part { truth, x, .. }| {
        if others.classes() < 2 {
            return Ok(());
        }
        for (place, (alpha, head)) in ridge.sweep(others.x, others.labels, progress)?.into_iter().enumerate() {
            let logits = head.logits(x)?;
            let target = |row: usize, class: usize| if truth[row] == Some(class) { 1.0 } else { -1.0 };
            let error =
                |((row, class), &value): ((usize, usize), &f32)| (f64::from(value) - target(row, class)).powi(2);
            let error: f64 = logits.indexed_iter().map(error).sum();
            match errors.get_mut(place) {
                Some((_, sum)) => *sum += error,
                None => errors.push((alpha, error)),
            }
        }
        Ok(())
    })?;
    Ok(errors.into_iter().min_by(|a, b| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0))).map(|(alpha, _)| alpha))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};

    use super::*;
    use crate::eval::Fold;

    /// Copies of each of 40 rows, a group each: labels that no other row knows.
    fn copies(of_each: usize) -> (Array2<f32>, Vec<usize>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(6);
        let unique = Array2::from_shape_fn((40, 12), |(row, column)| {
            rng.f32() + if column == row % 2 && row % 5 > 0 { 0.5 } else { 0.0 }
        });
        let groups: Vec<usize> = (0..40 * of_each).map(|row| row / of_each).collect();
        (unique.select(Axis(0), &groups), groups.iter().map(|group| group % 2).collect(), groups)
    }

    #[test]
    fn copies_of_a_row_do_not_choose_for_it() {
        let (x, labels, groups) = copies(5);
        let ridge = Ridge::new();
        let by_rows = ridge.fit_watched(x.view(), &labels, &()).unwrap().alpha;
        let known = |groups| Known { x: x.view(), labels: &labels, groups };
        let chosen = choose_alpha(known(Some(&groups)), &ridge, (5, 0), &()).unwrap().unwrap();
        assert!(chosen > by_rows, "{chosen} and, by rows, {by_rows}");

        // By hand: the error of each fold's own fit, for the alpha that was chosen and those beside it.
        let folds = Division::new(5, 0).grouped(Some(&groups)).draw(&labels).unwrap();
        let error = |alpha: f64| -> f64 {
            let of_fold = |Fold { train, test }: Fold| {
                let picked: Vec<usize> = train.iter().map(|&row| labels[row]).collect();
                let fit = Ridge::new().alphas([alpha]).fit_watched(x.select(Axis(0), &train).view(), &picked, &());
                let logits = fit.unwrap().head.logits(x.select(Axis(0), &test).view()).unwrap();
                let target = |i: usize, k: usize| if labels[test[i]] == k { 1.0 } else { -1.0 };
                logits.indexed_iter().map(|((i, k), &v)| (f64::from(v) - target(i, k)).powi(2)).sum::<f64>()
            };
            folds.iter().map(of_fold).sum()
        };
        let step = 10_f64.sqrt();
        assert!(error(chosen) < error(chosen * step) && error(chosen) < error(chosen / step));
        assert_eq!(choose_alpha(known(Some(&groups)), &ridge, (5, 0), &()).unwrap(), Some(chosen));
    }

    #[test]
    fn too_few_groups_choose_nothing() {
        let (x, labels, _) = copies(1);
        for groups in [vec![0; 40], labels.clone()] {
            let known = Known { x: x.view(), labels: &labels, groups: Some(&groups) };
            assert_eq!(choose_alpha(known, &Ridge::new(), (5, 0), &()).unwrap(), None);
        }
    }
}
