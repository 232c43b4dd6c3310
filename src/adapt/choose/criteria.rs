//! What can be said of a head on a domain without labels, of its n×K probabilities alone.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::adapt::linear::entropy;
use crate::error::Result;
use crate::product::product;
use crate::progress::{Progress, Workers};

/// The mean entropy of the rows in nats, from 0, where every row is certain, to ln K.
///
/// Morerio, Cavazza and Murino, "Minimal-entropy correlation alignment", ICLR 2018.
///
/// # Panics
/// When there are no rows.
pub fn mean_entropy(probabilities: ArrayView2<f64>) -> f64 {
    probabilities.rows().into_iter().map(entropy).sum::<f64>() / probabilities.nrows() as f64
}

/// How much a prediction tells of the row, in nats: the entropy of the mean of the rows less [`mean_entropy`], from 0 to ln K. A head
/// that gives all rows the same class is as certain as one can be, and tells nothing.
///
/// Bridle, Heading and MacKay, "Unsupervised classifiers, mutual information and phantom targets", NIPS 1991.
///
/// # Panics
/// As [`mean_entropy`].
pub fn mutual_information(probabilities: ArrayView2<f64>) -> f64 {
    let mean = probabilities.sum_axis(Axis(0)) / probabilities.nrows() as f64;
    entropy(mean.view()) - mean_entropy(probabilities)
}

/// The temperature of the similarities, as published.
const TEMPERATURE: f64 = 0.05;
/// Rows whose similarities to all are held at a time.
const BLOCK: usize = 256;

/// Soft neighbourhood density: the mean entropy in nats of the distribution over its neighbours that each row has, their probabilities'
/// cosines being divided by 0.05 and put through a softmax. Greater where rows lie in dense groups.
///
/// Saito et al., "Tune it the right way: unsupervised validation of domain adaptation via soft neighborhood density", ICCV 2021.
///
/// # Errors
/// [`Error::Interrupted`](crate::Error::Interrupted).
///
/// # Panics
/// When there are fewer than two rows.
pub fn soft_neighbourhood_density(probabilities: ArrayView2<f64>, progress: &dyn Progress) -> Result<f64> {
    let n = probabilities.nrows();
    let lengths = probabilities.map_axis(Axis(1), |row| row.dot(&row).sqrt().max(f64::MIN_POSITIVE));
    let unit = &probabilities / &lengths.insert_axis(Axis(1));
    let sums = Workers { progress, ..Workers::all() }.by_blocks(n, BLOCK, |rows| {
        let mut cosines = Array2::zeros((rows.len(), n));
        product(unit.slice(s![rows.clone(), ..]), unit.t(), cosines.view_mut());
        rows.zip(cosines.rows_mut())
            .map(|(own, mut row)| {
                row[own] = f64::NEG_INFINITY;
                row.mapv_inplace(|cosine| cosine / TEMPERATURE);
                entropy_of_softmax(&row.to_owned())
            })
            .sum::<f64>()
    })?;
    Ok(sums.into_iter().sum::<f64>() / n as f64)
}

/// `ln Σ e^z − Σ p·z` of the softmax p of z.
fn entropy_of_softmax(logits: &Array1<f64>) -> f64 {
    let greatest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for z in logits.iter().map(|z| z - greatest).filter(|z| z.is_finite()) {
        sum += z.exp();
        weighted += z.exp() * z;
    }
    sum.ln() - weighted / sum
}

/// The risk of a head in the target, from the losses of source rows it has not seen and how much each counts there (weights of mean 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightedRisk {
    /// The weighted mean of the losses.
    ///
    /// Sugiyama, Krauledat and Müller, "Covariate shift adaptation by importance weighted cross validation", JMLR 2007.
    pub importance_weighted: f64,
    /// The same less what the weights' own deviation from 1 explains: deep embedded validation, its control variate alone.
    ///
    /// You et al., "Towards accurate model selection in deep unsupervised domain adaptation", ICML 2019.
    pub deep_embedded: f64,
}

impl WeightedRisk {
    /// Of as many losses as weights.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(losses: &[f64], weights: &[f64]) -> Self {
        let n = losses.len() as f64;
        let weighted: Vec<f64> = losses.iter().zip(weights).map(|(loss, weight)| loss * weight).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
        let (risk, weight) = (mean(&weighted), mean(weights));
        // Divisors n − 1 in both, as published (numpy's cov and var(ddof=1)); they cancel.
        let covariance: f64 = weighted.iter().zip(weights).map(|(l, w)| (l - risk) * (w - weight)).sum();
        let variance: f64 = weights.iter().map(|w| (w - weight).powi(2)).sum();
        let eta = if variance > 0.0 { -covariance / variance } else { 0.0 };
        Self { importance_weighted: risk, deep_embedded: risk + eta * weight - eta }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn entropies_are_those_of_closed_form() {
        let certain = array![[1.0, 0.0], [0.0, 1.0]];
        let same = array![[1.0, 0.0], [1.0, 0.0]];
        let unsure = array![[0.5, 0.5], [0.5, 0.5]];
        let ln2 = 2.0_f64.ln();
        let both = |p: &Array2<f64>| [mean_entropy(p.view()), mutual_information(p.view())];
        assert_close(both(&certain), [0.0, ln2], Tolerance::Exact);
        assert_close(both(&same), [0.0, 0.0], Tolerance::Exact);
        assert_close(both(&unsure), [ln2, 0.0], Tolerance::Within(1e-15));
    }

    #[test]
    fn rows_that_are_all_alike_have_all_others_as_neighbours() {
        let n = 300;
        let alike = Array2::from_shape_fn((n, 3), |(_, k)| [0.7, 0.2, 0.1][k]);
        let density = soft_neighbourhood_density(alike.view(), &()).unwrap();
        assert_close([density], [(n as f64 - 1.0).ln()], Tolerance::Within(1e-12));
        // Two groups at right angles: each row has the others of its group, and next to nothing of the other one.
        let groups = Array2::from_shape_fn((n, 2), |(row, k)| f64::from(u8::from(row % 2 == k)));
        let (near, far) = (n as f64 / 2.0 - 1.0, n as f64 / 2.0 * (-20.0_f64).exp());
        let share = far / (near + far) / (n as f64 / 2.0);
        let expected =
            -(1.0 - far / (near + far)) * ((1.0 - far / (near + far)) / near).ln() - far / (near + far) * share.ln();
        let density = soft_neighbourhood_density(groups.view(), &()).unwrap();
        assert_close([density], [expected], Tolerance::Within(1e-9));
    }

    #[test]
    fn the_control_variate_takes_out_what_the_weights_explain() {
        let losses = [0.2, 0.4, 0.1, 0.9];
        let even = WeightedRisk::of(&losses, &[1.0; 4]);
        assert_close([even.importance_weighted, even.deep_embedded], [0.4, 0.4], Tolerance::Within(1e-15));
        // Losses that are all 1: the weighted ones are the weights, and all of their deviation is explained.
        let risk = WeightedRisk::of(&[1.0; 4], &[0.5, 2.0, 1.0, 1.5]);
        assert_close([risk.importance_weighted, risk.deep_embedded], [1.25, 1.0], Tolerance::Within(1e-15));
    }
}
