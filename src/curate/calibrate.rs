//! The calibration of a head on what it says of rows it has not seen.

use ndarray::{Array2, ArrayView2};

use super::{Known, judge_out_of_fold};
use crate::error::Result;
use crate::eval::{Calibration, Division, Method, Options, Report};
use crate::head::{CalibrationFigures, CalibrationRecord, Calibrator, softmax};

/// A calibration with what it is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// Fitted on all rows, and the figures of `probabilities` beside those of the plain softmax.
    pub record: CalibrationRecord,
    /// n×K: of each row by a calibration that was fitted on other rows.
    pub probabilities: Array2<f32>,
}

/// Fits `method` on n×K out-of-fold `logits` of rows whose true classes are `labels`. By the same `division` that the logits come
/// from, each part is judged by a calibration of the others, to tell what the calibration is worth on rows, and groups, that it
/// was not fitted on.
///
/// # Errors
/// As [`Calibration::fit`] and [`judge_out_of_fold`].
pub fn calibrate(method: Method, logits: ArrayView2<f32>, labels: &[usize], division: Division) -> Result<Calibrated> {
    let calibrator = single_precision(&Calibration::fit(method, logits, labels)?);
    let judge = |known: Known, others: ArrayView2<f32>| {
        let fitted = single_precision(&Calibration::fit(method, known.x, known.labels)?);
        Calibrator::probabilities(Some(&fitted), others.to_owned())
    };
    let probabilities = judge_out_of_fold(logits, (labels, logits.ncols()), &judge, division)?;
    let before = figures(labels, softmax(logits.to_owned()).view())?;
    let after = figures(labels, probabilities.view())?;
    Ok(Calibrated { record: CalibrationRecord { calibrator, rows: labels.len(), before, after }, probabilities })
}

fn figures(labels: &[usize], probabilities: ArrayView2<f32>) -> Result<CalibrationFigures> {
    let names: Vec<String> = (0..probabilities.ncols()).map(|class| class.to_string()).collect();
    let report = Report::new(labels, probabilities, &names, Options { resamples: 0, ..Options::default() })?;
    Ok(CalibrationFigures { log_loss: report.log_loss, ece: report.ece })
}

/// The calibration as the head's graph computes it.
fn single_precision(calibration: &Calibration) -> Calibrator {
    if let Some(sigmoids) = calibration.sigmoids() {
        return Calibrator::Platt(sigmoids.iter().map(|pair| pair.map(|v| v as f32)).collect());
    }
    if let Some(curves) = calibration.corners() {
        let single = |corners: &[(f64, f64)]| corners.iter().map(|&(z, p)| [z as f32, p as f32]).collect();
        return Calibrator::Isotonic(curves.into_iter().map(single).collect());
    }
    Calibrator::Temperature { inverse: calibration.temperature().map_or(1.0, |t| (1.0 / t) as f32) }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// Logits of rows of `classes` classes, three times as sure as they should be.
    fn overconfident(rows: usize, classes: usize) -> (Array2<f32>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(3);
        let truth = Array2::from_shape_fn((rows, classes), |_| 4.0 * (rng.f32() - 0.5));
        let likely = softmax(truth.clone());
        let labels = likely.outer_iter().map(|row| {
            let mut left = rng.f32();
            let found = row.iter().position(|&p| {
                left -= p;
                left < 0.0
            });
            found.unwrap_or(classes - 1)
        });
        (truth * 3.0, labels.collect())
    }

    #[test]
    fn the_single_precision_form_is_the_calibration() {
        for classes in [2, 4] {
            let (logits, labels) = overconfident(300, classes);
            for method in [Method::Temperature, Method::Platt, Method::Isotonic] {
                let fitted = Calibration::fit(method, logits.view(), &labels).unwrap();
                let got = softmax(single_precision(&fitted).apply(logits.view()).unwrap());
                assert_close(got, fitted.apply(logits.view()).unwrap(), Tolerance::Approximate);
            }
        }
    }

    #[test]
    fn overconfidence_is_mended_on_rows_that_the_calibration_has_not_seen() {
        for classes in [2, 4] {
            let (logits, labels) = overconfident(1000, classes);
            for method in [Method::Temperature, Method::Platt, Method::Isotonic] {
                let Calibrated { record, probabilities } =
                    calibrate(method, logits.view(), &labels, Division::new(5, 0)).unwrap();
                assert!(record.after.log_loss < record.before.log_loss - 0.1, "{method:?} {record:?}");
                assert!(record.after.ece < 0.5 * record.before.ece, "{method:?} {record:?}");
                assert_close(probabilities.sum_axis(Axis(1)), vec![1.0; 1000], Tolerance::Approximate);
                if let Calibrator::Temperature { inverse } = record.calibrator {
                    assert!((inverse * 3.0 - 1.0).abs() < 0.15, "{inverse}");
                }
            }
        }
        assert!(calibrate(Method::Platt, Array2::zeros((1, 2)).view(), &[0], Division::new(5, 0)).is_err());
    }
}
