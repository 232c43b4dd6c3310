//! Split conformal prediction: sets of classes that hold the true one with a chance of at least 1 − α, whatever the model,
//! as long as the rows to calibrate on and the new ones are exchangeable.
//!
//! Nothing is randomised: the same row has the same set, and the coverage is at least 1 − α, not exactly it.

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::report::check_rows;
use crate::error::{Error, Result};

/// What makes a class unlikely enough to be left out. Scores are those of a class in a row; classes with a score of at
/// most the calibrated threshold are in the set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `1 − p` (Sadinle, Lei & Wasserman, J. Am. Stat. Assoc. 114, 2019): the smallest sets on average. A row may have an
    /// empty set.
    Lac,
    /// As `Lac` with a threshold for each class, so that the coverage holds for each.
    ClassLac,
    /// The probability of the class and all likelier ones (Romano, Sesia & Candès, NeurIPS 2020, not randomised): sets grow
    /// with how hard a row is. The likeliest class is always in the set.
    Aps,
    /// As `Aps`, plus `penalty` for each place of the class beyond `free` (Angelopoulos et al., ICLR 2021): no long tails.
    Raps {
        /// λ, at least 0.
        penalty: f64,
        /// k_reg: so many of the likeliest classes go without.
        free: usize,
    },
}

/// A calibrated rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conformal {
    rule: Rule,
    alpha: f64,
    /// One of each class. None: too few rows to leave anything out.
    thresholds: Vec<Option<f64>>,
}

impl Conformal {
    /// Calibrates on n×K `probabilities` of rows whose true classes are `labels` (n indices below K) and which the model
    /// was not fitted on. The threshold is the ⌈(n + 1)(1 − α)⌉-th smallest score of the true classes; with fewer than
    /// `1/α − 1` rows (of the class, for [`Rule::ClassLac`]) every class is in every set.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows, the sizes disagree, a label is not below K, or a probability is not in 0..=1;
    /// [`Error::Usage`] when `alpha` is not between 0 and 1, or the penalty is negative or not finite.
    pub fn fit(rule: Rule, alpha: f64, probabilities: ArrayView2<f32>, labels: &[usize]) -> Result<Self> {
        check_rows(labels, probabilities)?;
        if !(alpha > 0.0 && alpha < 1.0) {
            return Err(Error::Usage(format!("alpha is {alpha}: it must lie between 0 and 1")));
        }
        if let Rule::Raps { penalty, .. } = rule
            && !(penalty >= 0.0 && penalty.is_finite())
        {
            return Err(Error::Usage(format!("the penalty is {penalty}: it must be at least 0")));
        }
        let classes = probabilities.ncols();
        let scores: Vec<f64> =
            probabilities.rows().into_iter().zip(labels).map(|(row, &label)| scores(rule, row)[label]).collect();
        let thresholds = match rule {
            Rule::ClassLac => {
                let of_class = |class| scores.iter().zip(labels).filter(move |(_, l)| **l == class).map(|(&s, _)| s);
                (0..classes).map(|class| threshold(of_class(class).collect(), alpha)).collect()
            }
            Rule::Lac | Rule::Aps | Rule::Raps { .. } => vec![threshold(scores, alpha); classes],
        };
        Ok(Self { rule, alpha, thresholds })
    }

    /// The chance of a miss that was asked for.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// How many classes are in every set, because the rows to calibrate on were too few: see [`Conformal::rows_needed`].
    pub fn in_every_set(&self) -> usize {
        self.thresholds.iter().filter(|threshold| threshold.is_none()).count()
    }

    /// With how many rows to calibrate on (of each class, for [`Rule::ClassLac`]) a class may be left out of a set: `1/α − 1`,
    /// rounded up.
    pub fn rows_needed(&self) -> usize {
        // 1/0.1 − 1 may round to just above a whole number.
        (1.0 / self.alpha - 1.0 - 1e-9).ceil() as usize
    }

    /// Whether the rule has a threshold for each class.
    pub fn by_class(&self) -> bool {
        self.rule == Rule::ClassLac
    }

    /// The set of each row of n×K `probabilities`: classes, ascending.
    ///
    /// # Errors
    /// [`Error::Data`] with another number of classes than calibrated, or a probability that is not in 0..=1.
    pub fn sets(&self, probabilities: ArrayView2<f32>) -> Result<Vec<Vec<usize>>> {
        if probabilities.ncols() != self.thresholds.len() {
            return Err(Error::Data(format!(
                "probabilities of {} classes, calibrated for {}",
                probabilities.ncols(),
                self.thresholds.len()
            )));
        }
        if probabilities.nrows() > 0 {
            check_rows(&vec![0; probabilities.nrows()], probabilities)?;
        }
        let set = |row: ArrayView1<f32>| {
            let scores = scores(self.rule, row);
            let likeliest = match self.rule {
                Rule::Lac | Rule::ClassLac => None,
                Rule::Aps | Rule::Raps { .. } => order(row).first().copied(),
            };
            let within = |class: usize| self.thresholds[class].is_none_or(|threshold| scores[class] <= threshold);
            (0..scores.len()).filter(|&class| within(class) || likeliest == Some(class)).collect()
        };
        Ok(probabilities.rows().into_iter().map(set).collect())
    }
}

/// Share of rows whose set holds their label; NaN without rows.
///
/// # Errors
/// [`Error::Mismatch`] when the sizes disagree.
pub fn coverage(sets: &[Vec<usize>], labels: &[usize]) -> Result<f64> {
    if sets.len() != labels.len() {
        return Err(Error::Mismatch {
            what: "prediction sets and labels".to_string(),
            expected: sets.len().to_string(),
            got: labels.len().to_string(),
        });
    }
    let covered = sets.iter().zip(labels).filter(|(set, label)| set.contains(label)).count();
    Ok(covered as f64 / labels.len() as f64)
}

/// Mean number of classes of a set; NaN without sets.
pub fn mean_size(sets: &[Vec<usize>]) -> f64 {
    sets.iter().map(Vec::len).sum::<usize>() as f64 / sets.len() as f64
}

/// The score of each class in one row.
fn scores(rule: Rule, row: ArrayView1<f32>) -> Vec<f64> {
    let (penalty, free) = match rule {
        Rule::Lac | Rule::ClassLac => return row.iter().map(|&p| 1.0 - f64::from(p)).collect(),
        Rule::Aps => (0.0, 0),
        Rule::Raps { penalty, free } => (penalty, free),
    };
    let (mut scores, mut sum) = (vec![0.0; row.len()], 0.0);
    for (place, class) in order(row).into_iter().enumerate() {
        sum += f64::from(row[class]);
        scores[class] = sum + penalty * (place + 1).saturating_sub(free) as f64;
    }
    scores
}

/// Classes from the likeliest, the first among equals.
fn order(row: ArrayView1<f32>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..row.len()).collect();
    order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    order
}

/// The ⌈(n + 1)(1 − α)⌉-th smallest score, `None` beyond the last.
fn threshold(mut scores: Vec<f64>, alpha: f64) -> Option<f64> {
    scores.sort_by(f64::total_cmp);
    // (n + 1)(1 − 0.1) may round to just above a whole number.
    let place = ((scores.len() + 1) as f64 * (1.0 - alpha) - 1e-9).ceil() as usize;
    scores.get(place.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// See `tests/golden/eval/make_conformal.py`.
    #[derive(Deserialize)]
    struct Golden {
        alpha: f64,
        probabilities: Vec<Vec<f32>>,
        labels: Vec<usize>,
        new: Vec<Vec<f32>>,
        new_labels: Vec<usize>,
        rules: Vec<Expected>,
    }

    #[derive(Deserialize)]
    struct Expected {
        rule: Rule,
        sets: Vec<Vec<usize>>,
        coverage: f64,
        mean_size: f64,
    }

    fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    }

    #[test]
    fn sets_are_mapies() {
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/eval/conformal.json")).unwrap();
        let (known, new) = (matrix(&golden.probabilities), matrix(&golden.new));
        assert_eq!(golden.rules.len(), 4);
        for Expected { rule, sets, coverage: covered, mean_size: size } in golden.rules {
            let fitted = Conformal::fit(rule, golden.alpha, known.view(), &golden.labels).unwrap();
            let got = fitted.sets(new.view()).unwrap();
            assert_eq!(got, sets, "{rule:?}");
            assert_close([coverage(&got, &golden.new_labels).unwrap()], [covered], Tolerance::Close);
            assert_close([mean_size(&got)], [size], Tolerance::Close);
            let again: Conformal = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
            assert_eq!(again, fitted);
            // The guarantee, on the rows that set the threshold.
            let own = coverage(&fitted.sets(known.view()).unwrap(), &golden.labels).unwrap();
            assert!(own >= 1.0 - golden.alpha, "{rule:?}: {own}");
        }
    }

    #[test]
    fn too_few_rows_leave_nothing_out() {
        let p = matrix(&[vec![0.9, 0.1, 0.0], vec![0.2, 0.8, 0.0]]);
        for rule in [Rule::Lac, Rule::ClassLac, Rule::Aps, Rule::Raps { penalty: 0.1, free: 1 }] {
            let fitted = Conformal::fit(rule, 0.1, p.view(), &[0, 1]).unwrap();
            assert_eq!(fitted.sets(p.view()).unwrap(), [[0, 1, 2], [0, 1, 2]]);
            let text = serde_json::to_string(&fitted).unwrap();
            assert_eq!(serde_json::from_str::<Conformal>(&text).unwrap(), fitted);
        }
    }

    #[test]
    fn with_as_many_rows_as_are_needed_and_no_fewer_a_class_can_be_left_out() {
        for alpha in [0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9] {
            let of = |rule, rows: usize| {
                let p = Array2::from_shape_fn((2 * rows, 2), |(_, class)| [0.9, 0.1][class]);
                let labels: Vec<usize> = (0..2 * rows).map(|row| row % 2).collect();
                let p = p.slice(ndarray::s![..if rule == Rule::ClassLac { 2 * rows } else { rows }, ..]);
                Conformal::fit(rule, alpha, p, &labels[..p.nrows()]).unwrap()
            };
            for rule in [Rule::Lac, Rule::ClassLac, Rule::Aps] {
                let needed = of(rule, 1000).rows_needed();
                assert_eq!(of(rule, needed).in_every_set(), 0, "{rule:?} {alpha}");
                if needed > 1 {
                    assert_eq!(of(rule, needed - 1).in_every_set(), 2, "{rule:?} {alpha}");
                }
            }
        }
    }

    #[test]
    fn unusable_input_is_named() {
        let p = matrix(&[vec![0.9, 0.1], vec![0.2, 0.8]]);
        let message =
            |rule, alpha, labels: &[usize]| Conformal::fit(rule, alpha, p.view(), labels).unwrap_err().to_string();
        assert!(message(Rule::Lac, 1.0, &[0, 1]).contains("alpha is 1"));
        assert!(message(Rule::Lac, f64::NAN, &[0, 1]).contains("alpha is NaN"));
        assert!(message(Rule::Raps { penalty: -1.0, free: 1 }, 0.1, &[0, 1]).contains("penalty is -1"));
        assert!(message(Rule::Aps, 0.1, &[0]).contains("1 labels"));
        let fitted = Conformal::fit(Rule::Aps, 0.1, p.view(), &[0, 1]).unwrap();
        assert!(fitted.sets(Array2::zeros((1, 3)).view()).unwrap_err().to_string().contains("3 classes"));
        assert!(coverage(&[vec![0]], &[0, 1]).is_err());
    }
}
