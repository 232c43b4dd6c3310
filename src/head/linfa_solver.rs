//! The same fit by linfa-logistic, as a second opinion.
//!
//! Release 0.8.1 subtracts the matrix' maximum in its log-sum-exp, not the row's, and clamps the sum at 1e-15: on
//! features that are not small it stops far from the optimum and reports success. So nothing it returns is believed
//! before the certificate says so.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::{LogisticRegression, MultiLogisticRegression};
use ndarray::Array1;

use super::certificate::Certificate;
use super::objective::{Problem, Targets};
use crate::error::{Error, Result};

impl From<linfa::Error> for Error {
    fn from(error: linfa::Error) -> Self {
        Error::Data(error.to_string())
    }
}

/// θ as [`Problem`] lays it out, and the number of iterations, which linfa does not tell (0).
pub(super) fn minimize(problem: &Problem, tolerance: f64, max_iterations: usize) -> Result<(Vec<f64>, usize)> {
    if problem.weights.is_some() {
        return Err(Error::Usage("linfa-logistic takes no weights: use engraft's own solver".into()));
    }
    let Targets::Classes(labels) = problem.targets else {
        return Err(Error::Usage("linfa-logistic takes one class a row: use engraft's own solver".into()));
    };
    let data = DatasetBase::new(problem.scaler.scaled(problem.x), Array1::from(labels.to_vec()));
    let failed = |error: linfa_logistic::error::Error| Error::Data(format!("linfa-logistic: {error}"));
    // linfa's tolerance is absolute, on the gradient of the sum; this one makes the gap about `tolerance` for J near 1.
    let gradient_tolerance = (2.0 * problem.alpha * tolerance).sqrt();
    let theta = if problem.outputs == 1 {
        let fitted = LogisticRegression::new()
            .alpha(problem.alpha)
            .gradient_tolerance(gradient_tolerance)
            .max_iterations(max_iterations as u64)
            .fit(&data)
            .map_err(failed)?;
        // linfa calls the rarer class negative, whatever its index.
        let sign = if fitted.labels().pos.class == 1 { 1.0 } else { -1.0 };
        fitted.params().iter().chain([&fitted.intercept()]).map(|v| sign * v).collect()
    } else {
        let fitted = MultiLogisticRegression::new()
            .alpha(problem.alpha)
            .gradient_tolerance(gradient_tolerance)
            .max_iterations(max_iterations as u64)
            .fit(&data)
            .map_err(failed)?;
        fitted.params().iter().chain(fitted.intercept()).copied().collect()
    };
    Ok((theta, 0))
}

/// The error for a result that is not the optimum.
pub(super) fn refusal(certificate: &Certificate, tolerance: f64) -> Error {
    Error::Data(format!(
        "linfa-logistic's result is refused: at its weights the objective is {:.6e} and the gradient norm {:.1e} of \
         the start's, which proves the objective only to {:.1e} of itself where {tolerance:.1e} was asked for; use \
         engraft's own solver",
        certificate.objective, certificate.gradient_norm, certificate.gap
    ))
}
