//! Which head suits features.

use ndarray::Axis;
use serde::Serialize;

use crate::curate::Known;
use crate::error::{Error, Result};
use crate::eval::{Division, Fold, FoldComparison, Judgeable};
use crate::head::Head;
use crate::progress::Progress;

/// Fits a head for each name of a family on rows.
pub type FitHeads<'a> = dyn Fn(Known) -> Result<Vec<Head>> + 'a;

/// Heads that are fitted together, such as those of several penalties.
pub struct Family<'a> {
    /// What each head is called.
    pub names: Vec<String>,
    /// Fits them.
    pub fit: Box<FitHeads<'a>>,
}

/// How a head does on rows that it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgedHead {
    /// As its family calls it.
    pub head: String,
    /// Mean over the folds.
    pub accuracy: f64,
    /// Of that mean: the deviation of the folds' accuracies by the root of their number.
    pub standard_error: f64,
    /// Its accuracy less that of the best; none for the best itself.
    pub against_best: Option<FoldComparison>,
}

/// What was tried, from the simplest to the most complex, and what is chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadChoice {
    /// The place in `heads` of the chosen one.
    #[serde(skip)]
    pub chosen: usize,
    /// All, in the order of the families.
    pub heads: Vec<JudgedHead>,
}

/// Judges heads by stratified cross-validation, with no group on both sides where rows are grouped, and chooses the first, in the
/// order given, that is within one standard error of the best (Breiman et al., Classification and Regression Trees, 1984, section
/// 3.4.3). Families stand from the simplest to the most complex. Rows alone in their class, and classes in one group, are left
/// out. The accuracy of what is chosen is that of a winner, and so too good: judge it on other rows.
///
/// # Errors
/// [`Error::Usage`] when there are no heads to choose from; [`Error::Data`] when fewer than two classes have two rows; as
/// [`Division::draw`] and the fits, of which one fails when a fold has all rows of a class; [`Error::Interrupted`].
pub fn choose_head(
    Known { x, labels, groups }: Known,
    families: &[Family],
    (folds, seed): (usize, u64),
    progress: &dyn Progress,
) -> Result<HeadChoice> {
    let Judgeable { rows, labels, classes, groups } = Judgeable::of(labels, groups);
    if classes.len() < 2 {
        return Err(Error::Data(
            "fewer than two classes have two rows, or two groups: there is nothing to choose a head by".into(),
        ));
    }
    let names: Vec<&String> = families.iter().flat_map(|family| &family.names).collect();
    let mut accuracies: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    let mut sides = (0, 0);
    for Fold { train, test } in Division::new(folds, seed).grouped(groups.as_deref()).draw(&labels)?.iter() {
        let pick = |rows: &[usize]| rows.iter().map(|&row| labels[row]).collect::<Vec<_>>();
        let (picked, truth) = (pick(&train), pick(&test));
        let together: Option<Vec<usize>> = groups.as_ref().map(|groups| train.iter().map(|&row| groups[row]).collect());
        let features = |side: &[usize]| x.select(Axis(0), &side.iter().map(|&row| rows[row]).collect::<Vec<_>>());
        let (seen, unseen) = (features(&train), features(&test));
        let mut place = 0;
        for family in families {
            for head in (family.fit)(Known { x: seen.view(), labels: &picked, groups: together.as_deref() })? {
                if progress.interrupted() {
                    return Err(Error::Interrupted);
                }
                let right = head.classify(unseen.view())?.iter().zip(&truth).filter(|(got, want)| got == want).count();
                accuracies[place].push(right as f64 / truth.len() as f64);
                place += 1;
            }
        }
        sides = (train.len(), test.len());
    }
    let mean = |of: &Vec<f64>| of.iter().sum::<f64>() / of.len() as f64;
    let means: Vec<f64> = accuracies.iter().map(mean).collect();
    let Some(best) = (0..means.len()).rev().max_by(|&a, &b| means[a].total_cmp(&means[b])) else {
        return Err(Error::Usage("no head to choose from".into()));
    };
    let standard_error = |place: usize| {
        let (of, folds) = (&accuracies[place], accuracies[place].len() as f64);
        let squares: f64 = of.iter().map(|accuracy| (accuracy - means[place]).powi(2)).sum();
        (squares / (folds - 1.0) / folds).sqrt()
    };
    let judged = names.iter().enumerate().map(|(place, name)| {
        let against = (place != best)
            .then(|| FoldComparison::new(&accuracies[place], &accuracies[best], sides.0, sides.1))
            .transpose()?;
        Ok(JudgedHead {
            head: (*name).clone(),
            accuracy: means[place],
            standard_error: standard_error(place),
            against_best: against,
        })
    });
    let heads = judged.collect::<Result<Vec<_>>>()?;
    let least = means[best] - heads[best].standard_error;
    let chosen = means.iter().position(|&mean| mean >= least).unwrap_or(best);
    Ok(HeadChoice { chosen, heads })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::head::{Input, LinearHead, Logistic, Ridge};

    /// Four clear clusters at the corners of a square, opposite corners of one class: no line parts them.
    fn corners() -> (Array2<f32>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(1);
        let at = |i: usize| (i % 2, i / 2 % 2);
        let x = Array2::from_shape_fn((80, 2), |(i, j)| {
            let corner = if j == 0 { at(i).0 } else { at(i).1 };
            corner as f32 + 0.2 * rng.f32()
        });
        (x, (0..80).map(|i| at(i).0 ^ at(i).1).collect())
    }

    fn constant(class: usize) -> Head {
        let intercepts = Array1::from_shape_fn(2, |k| f32::from(u8::from(k == class)));
        LinearHead::new(Array2::zeros((2, 2)), intercepts, Input::Raw).unwrap().into()
    }

    #[test]
    fn the_simpler_of_equals_is_chosen_and_the_better_of_unequals() {
        let (x, labels) = corners();
        let known = || Known { x: x.view(), labels: &labels, groups: None };
        // By the first column alone both are sure.
        let easy: Vec<usize> = x.column(0).iter().map(|&v| usize::from(v > 0.5)).collect();
        let guess =
            || Family { names: vec!["0".into(), "1".into()], fit: Box::new(|_| Ok(vec![constant(0), constant(1)])) };
        let ridge = Family {
            names: vec!["ridge".into()],
            fit: Box::new(|known| Ok(vec![Ridge::new().fit_watched(known.x, known.labels, &())?.head.into()])),
        };
        let logistic = Family {
            names: vec!["logistic".into()],
            fit: Box::new(|known| Ok(vec![Logistic::new().fit_watched(known.x, known.labels, &())?.head.into()])),
        };
        let choice =
            choose_head(Known { x: x.view(), labels: &easy, groups: None }, &[guess(), logistic, ridge], (4, 0), &())
                .unwrap();
        assert_eq!(choice.heads[choice.chosen].head, "logistic");
        assert_close([choice.heads[2].accuracy, choice.heads[3].accuracy], [1.0, 1.0], Tolerance::Exact);
        let against: Vec<bool> = choice.heads.iter().map(|head| head.against_best.is_some()).collect();
        assert_eq!(against, [true, true, false, true]);
        assert_close([choice.heads[0].against_best.unwrap().difference], [-0.5], Tolerance::Close);

        let choice = choose_head(known(), &[guess()], (4, 0), &()).unwrap();
        assert_close(choice.heads.iter().map(|head| head.accuracy), [0.5, 0.5], Tolerance::Close);
        assert_eq!(choice.chosen, 0);
        assert!(matches!(choose_head(known(), &[], (4, 0), &()), Err(Error::Usage(_))));
    }
}
