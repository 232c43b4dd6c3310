//! Weights of source rows.

use super::super::adapted::{Adapted, Serving, Training};
use crate::error::{Error, Result};

/// No weight is less, so that a head can be fitted though a whole class were of none.
const LEAST: f64 = 1e-6;

/// `(Σ w)²/Σ w²`: of as many rows of equal weight a mean would have the same variance (Kish 1965).
pub fn effective_sample_size(weights: &[f64]) -> f64 {
    let sum: f64 = weights.iter().sum();
    sum * sum / weights.iter().map(|w| w * w).sum::<f64>()
}

/// Divides weights by their mean, cuts what is then above `most`, and divides by the mean again.
///
/// # Errors
/// [`Error::Usage`] when `most` is below 1; [`Error::Data`] when a weight is not finite or all are 0.
pub(super) fn weighted(mut weights: Vec<f64>, most: f64) -> Result<Adapted> {
    if most.is_nan() || most < 1.0 {
        return Err(Error::Usage(format!(
            "the greatest weight, in multiples of the mean, must be 1 and more, got {most}"
        )));
    }
    let n = weights.len() as f64;
    let mean = weights.iter().sum::<f64>() / n;
    if !(mean.is_finite() && mean > 0.0) {
        return Err(Error::Data(format!(
            "the weights of the source rows have the mean {mean}: the domains have nothing in common"
        )));
    }
    let cut = weights.iter().filter(|w| **w / mean > most).count();
    weights.iter_mut().for_each(|w| *w = (*w / mean).clamp(LEAST, most));
    let mean = weights.iter().sum::<f64>() / n;
    weights.iter_mut().for_each(|w| *w /= mean);
    let effective = effective_sample_size(&weights);
    let mut adapted = Adapted::new(Training::Weighted(weights), Serving::AsIs);
    adapted.figures = vec![("effective_sample_size", effective), ("clipped", cut as f64)];
    if effective < 0.1 * n {
        adapted.notes.push(format!("the weights leave an effective {effective:.0} of {n} source rows"));
    }
    Ok(adapted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_cut_counted_and_one_on_average() {
        let adapted = weighted(vec![0.0, 1.0, 1.0, 18.0], 2.0).unwrap();
        let Training::Weighted(weights) = &adapted.training else { panic!("{adapted:?}") };
        assert!((weights.iter().sum::<f64>() - 4.0).abs() < 1e-12 && weights[0] > 0.0);
        assert!((weights[3] / weights[1] - 10.0).abs() < 1e-9);
        assert_eq!(adapted.figures[1], ("clipped", 1.0));
        assert!((effective_sample_size(&[2.0; 5]) - 5.0).abs() < 1e-12);
        assert!(weighted(vec![0.0, 0.0], 2.0).is_err() && weighted(vec![1.0], 0.5).is_err());
        assert!(weighted(vec![f64::INFINITY, 0.0], 2.0).is_err());
    }
}
