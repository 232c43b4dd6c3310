//! Priors by maximum likelihood.

use ndarray::{Array1, ArrayView2};

use super::check_probabilities;
use crate::error::{Error, Result};

/// No share changes by more in the last iteration.
const TOLERANCE: f64 = 1e-12;
const ITERATIONS: usize = 20_000;

/// The likeliest shares of K classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Priors {
    /// Their sum is 1.
    pub shares: Vec<f64>,
    /// Of the algorithm.
    pub iterations: usize,
    /// By how much the mean log likelihood of a row may be below its greatest value, in nats; 0 and more.
    pub gap: f64,
}

/// The shares of K classes under which m×K `probabilities`, calibrated for the shares `source`, are likeliest, by expectation
/// maximisation (Saerens, Latinne & Decaestecker, Neural Computation 14, 2002): `r_ik ∝ q_k/p_k·P_ik`, then `q_k = mean_i r_ik`. The
/// likelihood is concave in q; `gap` bounds what is missing: the greatest `mean_i (P_ik/p_k)/(Σ_j q_j/p_j·P_ij)`, less 1.
///
/// # Errors
/// [`Error::Data`] when there are no rows, the numbers of classes differ, a source share is not above 0, or a row is no probabilities.
pub fn likeliest_priors(source: &[f64], probabilities: ArrayView2<f64>) -> Result<Priors> {
    let (m, k) = probabilities.dim();
    if m == 0 || k != source.len() {
        return Err(Error::Data(format!("{m} rows of {k} probabilities and shares of {} classes", source.len())));
    }
    if let Some(class) = source.iter().position(|p| !(p.is_finite() && *p > 0.0)) {
        return Err(Error::Data(format!("the source's share of class {class} is {}, not above 0", source[class])));
    }
    check_probabilities(probabilities)?;
    let ratios = probabilities.to_owned() / &Array1::from(source.to_vec());
    let mut shares = Array1::from(source.to_vec()) / source.iter().sum::<f64>();
    let mut iterations = 0;
    loop {
        // The factors by which shares grow; 1 for all that do not vanish at the optimum.
        let mut growth = Array1::<f64>::zeros(k);
        for row in ratios.rows() {
            let evidence = row.dot(&shares);
            if evidence > 0.0 {
                growth.scaled_add(1.0 / (evidence * m as f64), &row);
            }
        }
        let gap = growth.iter().copied().fold(1.0, f64::max) - 1.0;
        let next = &shares * &growth;
        let next = &next / next.sum();
        let change = (&next - &shares).iter().fold(0.0, |most: f64, d| most.max(d.abs()));
        if change <= TOLERANCE || iterations == ITERATIONS {
            return Ok(Priors { shares: shares.to_vec(), iterations, gap });
        }
        shares = next;
        iterations += 1;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_shares_of_a_known_mixture_are_the_optimum() {
        // Two classes, and rows of two kinds only: the optimum has a closed form, mean (P₁/p₁ − P₀/p₀)/(…) = 0.
        let probabilities = Array2::from_shape_fn((100, 2), |(i, j)| {
            let p = if i < 70 { 0.9 } else { 0.2 };
            if j == 1 { p } else { 1.0 - p }
        });
        let found = likeliest_priors(&[0.5, 0.5], probabilities.view()).unwrap();
        // 70·0.8/(0.1 + 0.8q) = 30·0.6/(0.8 − 0.6q).
        let q = (56.0 * 0.8 - 18.0 * 0.1) / (18.0 * 0.8 + 56.0 * 0.6);
        assert_close(found.shares.clone(), [1.0 - q, q], Tolerance::Within(1e-9));
        assert!(found.gap < 1e-9 && found.iterations > 1);
    }

    #[test]
    fn certain_rows_are_counted_and_absent_classes_vanish() {
        let certain = array![[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
        let found = likeliest_priors(&[0.2, 0.2, 0.6], certain.view()).unwrap();
        assert_close(found.shares, [0.75, 0.25, 0.0], Tolerance::Within(1e-12));
        let one = likeliest_priors(&[0.5, 0.5], array![[0.6, 0.4]].view()).unwrap();
        assert!(one.shares[0] > 0.99);
    }

    #[test]
    fn what_has_no_priors_is_refused() {
        let p = array![[0.5, 0.5]];
        assert!(likeliest_priors(&[1.0], p.view()).is_err());
        assert!(likeliest_priors(&[1.0, 0.0], p.view()).is_err());
        assert!(likeliest_priors(&[0.5, 0.5], array![[0.5, 0.9]].view()).is_err());
        assert!(likeliest_priors(&[0.5, 0.5], Array2::zeros((0, 2)).view()).is_err());
    }
}
