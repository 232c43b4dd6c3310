//! Out-of-distribution scores: how unlike the rows that a head was fitted on a row is. Higher is stranger.

mod detection;
mod knn;
mod mahalanobis;
mod vim;

use ndarray::{ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

pub use self::detection::Detection;
use self::knn::Knn;
use self::mahalanobis::Mahalanobis;
pub(crate) use self::vim::Vim;
use super::folds::Folds;
use super::interval::percentile;
use super::report::check_labels;
use crate::error::{Error, Result};

/// Of the in-distribution rows, the share that a threshold keeps.
pub const KEPT: f64 = 0.95;
/// Folds of the out-of-fold scores behind the threshold.
const FOLDS: usize = 5;

/// How strangeness is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// `−ln Σ exp(logit)` (Liu et al., NeurIPS 2020). Sees logits alone.
    Energy,
    /// The squared Mahalanobis distance to the nearest class mean under one covariance of all classes (Lee et al., NeurIPS
    /// 2018), shrunk towards a multiple of the identity by Ledoit and Wolf's optimum (J. Multivar. Anal. 88, 2004).
    Mahalanobis,
    /// The distance to the k-th nearest fitted row, all at unit length (Sun et al., ICML 2022).
    Knn {
        /// k, at least 1.
        k: usize,
    },
    /// Virtual-logit matching (Wang et al., CVPR 2022): energy plus the scaled length of what lies outside the features'
    /// principal subspace.
    Vim {
        /// Dimension of that subspace, below the features'. `None` for the paper's choice: 1000 of 2048 and more, 512 of 768
        /// and more, else half; but at most half of the rows.
        dimension: Option<usize>,
    },
}

/// A fitted score with its threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ood {
    score: Score,
    dimension: usize,
    classes: usize,
    threshold: f64,
    model: Model,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Model {
    Energy,
    Mahalanobis(Mahalanobis),
    Knn(Knn),
    Vim(Vim),
}

impl Ood {
    /// Fits `score` on n×d `features` of rows of the classes `labels` (n indices below K), with the d×K `weights` and K
    /// `intercepts` of the linear head that gives their logits. The threshold keeps 95 % of these rows, judged by models
    /// fitted on the other four fifths of them; energy, which fits nothing, is judged on the rows as they are.
    ///
    /// # Errors
    /// [`Error::Data`] with fewer than two rows, sizes that disagree, values that are not finite, or features that the score
    /// cannot use (all alike, all in the subspace or without a logit above 0 for ViM, a zero row for k-NN); [`Error::Usage`] for a k or dimension out of range.
    pub fn fit(
        score: Score,
        features: ArrayView2<f32>,
        labels: &[usize],
        weights: ArrayView2<f32>,
        intercepts: ArrayView1<f32>,
    ) -> Result<Self> {
        let (n, dimension) = features.dim();
        let classes = weights.ncols();
        if weights.nrows() != dimension || intercepts.len() != classes || classes == 0 || dimension == 0 {
            return Err(Error::Data(format!(
                "features of {dimension} columns with {}×{classes} weights and {} intercepts",
                weights.nrows(),
                intercepts.len()
            )));
        }
        check_finite("feature", features)?;
        check_finite("weight", weights)?;
        check_finite("intercept", intercepts.insert_axis(Axis(0)))?;
        let logits = features.dot(&weights) + intercepts;
        check_labels(labels, logits.view())?;
        if n < 2 {
            return Err(Error::Data("an out-of-distribution score needs at least two rows".to_string()));
        }
        let fit = |rows: &[usize]| {
            let (features, logits) = (features.select(Axis(0), rows), logits.select(Axis(0), rows));
            let labels: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
            Model::fit(score, features.view(), &labels, logits.view(), weights, intercepts)
        };
        let model = fit(&(0..n).collect::<Vec<_>>())?;
        let mut known = Vec::with_capacity(n);
        if score == Score::Energy {
            known = model.scores(features, logits.view())?;
        } else {
            for fold in Folds::stratified(labels, FOLDS.min(n), 0)?.iter() {
                let (features, logits) = (features.select(Axis(0), &fold.test), logits.select(Axis(0), &fold.test));
                known.extend(fit(&fold.train)?.scores(features.view(), logits.view())?);
            }
        }
        known.sort_by(f64::total_cmp);
        Ok(Self { score, dimension, classes, threshold: percentile(&known, KEPT), model })
    }

    /// The score that was fitted.
    pub fn score(&self) -> Score {
        self.score
    }

    /// Rows that score above this are out of distribution; 95 % of the in-distribution rows do not.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The whitening d×d and the whitened class means, a row each, where the score is [`Score::Mahalanobis`]: the score is
    /// the least `|x·whitening − mean|²`.
    pub fn mahalanobis(&self) -> Option<(ArrayView2<'_, f64>, ArrayView2<'_, f64>)> {
        match &self.model {
            Model::Mahalanobis(model) => Some((model.whiten(), model.means())),
            _ => None,
        }
    }

    /// The score of each row of n×d `features` with n×K `logits`.
    ///
    /// # Errors
    /// [`Error::Data`] when the sizes disagree, a value is not finite, or for k-NN a row is all zeros.
    pub fn scores(&self, features: ArrayView2<f32>, logits: ArrayView2<f32>) -> Result<Vec<f64>> {
        if features.ncols() != self.dimension || logits.ncols() != self.classes || features.nrows() != logits.nrows() {
            return Err(Error::Data(format!(
                "{:?} features and {:?} logits, fitted for {} columns and {} classes",
                features.dim(),
                logits.dim(),
                self.dimension,
                self.classes
            )));
        }
        check_finite("feature", features)?;
        check_finite("logit", logits)?;
        self.model.scores(features, logits)
    }
}

impl Model {
    fn fit(
        score: Score,
        features: ArrayView2<f32>,
        labels: &[usize],
        logits: ArrayView2<f32>,
        weights: ArrayView2<f32>,
        intercepts: ArrayView1<f32>,
    ) -> Result<Self> {
        Ok(match score {
            Score::Energy => Self::Energy,
            Score::Mahalanobis => Self::Mahalanobis(Mahalanobis::fit(features, labels)?),
            Score::Knn { k } => Self::Knn(Knn::fit(features, k)?),
            Score::Vim { dimension } => {
                let dimension = dimension.unwrap_or_else(|| Vim::usual_dimension(features.nrows(), features.ncols()));
                Self::Vim(Vim::fit(features, logits, weights, intercepts, dimension)?)
            }
        })
    }

    fn scores(&self, features: ArrayView2<f32>, logits: ArrayView2<f32>) -> Result<Vec<f64>> {
        Ok(match self {
            Self::Energy => energies(logits),
            Self::Mahalanobis(model) => model.scores(features),
            Self::Knn(model) => model.scores(features)?,
            Self::Vim(model) => model
                .virtual_logits(features)
                .into_iter()
                .zip(energies(logits))
                .map(|(own, energy)| own + energy)
                .collect(),
        })
    }
}

/// `−ln Σ exp(logit)` of each row.
fn energies(logits: ArrayView2<f32>) -> Vec<f64> {
    let energy = |row: ArrayView1<f32>| {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        -largest - row.iter().map(|&z| (f64::from(z) - largest).exp()).sum::<f64>().ln()
    };
    logits.rows().into_iter().map(energy).collect()
}

fn check_finite(what: &str, values: ArrayView2<f32>) -> Result<()> {
    match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row, column), value)) => Err(Error::Data(format!("{what} {column} in row {row} is {value}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// See `tests/golden/eval/make_ood.py`.
    #[derive(Deserialize)]
    struct Golden {
        features: Vec<Vec<f32>>,
        labels: Vec<usize>,
        weights: Vec<Vec<f32>>,
        intercepts: Vec<f32>,
        new: Vec<Vec<f32>>,
        new_logits: Vec<Vec<f32>>,
        scores: Vec<Expected>,
        known: Vec<f64>,
        strange: Vec<f64>,
        auroc: f64,
        fpr95: f64,
    }

    #[derive(Deserialize)]
    struct Expected {
        score: Score,
        values: Vec<f64>,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../tests/golden/eval/ood.json")).unwrap()
    }

    fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    }

    fn fit(golden: &Golden, score: Score) -> Result<Ood> {
        let (x, w) = (matrix(&golden.features), matrix(&golden.weights));
        Ood::fit(score, x.view(), &golden.labels, w.view(), Array1::from(golden.intercepts.clone()).view())
    }

    #[test]
    fn scores_are_the_peers() {
        let golden = golden();
        let (new, logits) = (matrix(&golden.new), matrix(&golden.new_logits));
        assert_eq!(golden.scores.len(), 4);
        for Expected { score, values } in &golden.scores {
            let fitted = fit(&golden, *score).unwrap();
            let got = fitted.scores(new.view(), logits.view()).unwrap();
            assert_close(got.iter().copied(), values.iter().copied(), Tolerance::Within(1e-6));
            let again: Ood = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
            assert_close(again.scores(new.view(), logits.view()).unwrap(), got, Tolerance::Close);
        }
    }

    #[test]
    fn thresholds_keep_in_distribution_rows_and_stop_far_ones() {
        let mut rng = fastrand::Rng::with_seed(0);
        let mut golden = golden();
        // All in one direction, the far rows in the opposite one.
        golden.features.iter_mut().flatten().for_each(|x| *x = 5.0 + rng.f32());
        let (x, w) = (matrix(&golden.features), matrix(&golden.weights));
        let logits = x.dot(&w) + Array1::from(golden.intercepts.clone());
        let far = x.mapv(|x| -10.0 * x);
        for score in [Score::Mahalanobis, Score::Knn { k: 5 }, Score::Vim { dimension: None }] {
            let fitted = fit(&golden, score).unwrap();
            let strange = fitted.scores(far.view(), Array2::zeros(logits.dim()).view()).unwrap();
            assert!(strange.iter().all(|score| *score > fitted.threshold()), "{score:?}");
            // Rows that the model has seen are no stranger than those it has not.
            let known = fitted.scores(x.view(), logits.view()).unwrap();
            let kept = known.iter().filter(|score| **score <= fitted.threshold()).count();
            assert!(20 * kept >= 19 * known.len(), "{score:?} keeps {kept}");
        }
    }

    #[test]
    fn detection_is_scikit_learns() {
        let golden = golden();
        let got = Detection::new(&golden.known, &golden.strange).unwrap();
        assert_close([got.auroc, got.fpr95], [golden.auroc, golden.fpr95], Tolerance::Close);
        assert!(Detection::new(&golden.known, &[]).is_err());
        assert!(Detection::new(&[0.0, f64::NAN], &[1.0]).unwrap_err().to_string().contains("row 1 is NaN"));
    }

    #[test]
    fn unusable_input_is_named() {
        let mut golden = golden();
        let message = |golden: &Golden, score| fit(golden, score).unwrap_err().to_string();
        assert!(message(&golden, Score::Knn { k: 0 }).contains("k is 0"));
        assert!(message(&golden, Score::Knn { k: 10_000 }).contains("k is 10000"));
        assert!(message(&golden, Score::Vim { dimension: Some(8) }).contains("dimension 8"));
        let mut labels = std::mem::take(&mut golden.labels);
        assert!(message(&golden, Score::Energy).contains("0 labels"));
        std::mem::swap(&mut golden.labels, &mut labels);
        golden.features[2][1] = f32::NAN;
        assert!(message(&golden, Score::Mahalanobis).contains("feature 1 in row 2 is NaN"));
        golden.features[2] = vec![0.0; 8];
        assert!(message(&golden, Score::Knn { k: 1 }).contains("row 2"));
        golden.features.iter_mut().for_each(|row| *row = vec![1.0; 8]);
        assert!(message(&golden, Score::Mahalanobis).contains("alike"));
    }
}
