//! LogME.

use ndarray::Array2;

use super::{Spectrum, check_labels};
use crate::error::Result;

/// The logarithm of the maximum evidence of a Bayesian linear model of each class's indicator, per row and averaged over the
/// classes: the greater, the better the features suit the labels (You et al., "LogME: Practical Assessment of Pre-trained Models
/// for Transfer Learning", ICML 2021, by the fixed point of "Ranking and Tuning Pre-trained Models", JMLR 23, 2022).
///
/// The arithmetic is that of the published code (github.com/thuml/LogME), its constants and its stopping rule included. Where
/// n > d and the rank k is below d, directions without variance add nothing; where n ≤ d the published code lets them add
/// `(d−k)/2n·ln α`, and so does this.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when there is not one label a row, a label is not below `classes`, or there are fewer than two
/// classes.
pub fn log_me(spectrum: &Spectrum, labels: &[usize], classes: usize) -> Result<f64> {
    check_labels(labels, spectrum.rows(), classes)?;
    let n = labels.len();
    let dimensions = if n > spectrum.columns() { spectrum.squares.len() } else { spectrum.columns() };
    let mut projected = Array2::<f64>::zeros((classes, spectrum.squares.len()));
    let mut counts = vec![0.0; classes];
    for (row, &label) in spectrum.left.outer_iter().zip(labels) {
        let mut sum = projected.row_mut(label);
        sum += &row;
        counts[label] += 1.0;
    }
    let evidence = |(projected, &count): (ndarray::ArrayView1<f64>, &f64)| {
        let squares: Vec<f64> = projected.iter().map(|x| x * x).collect();
        evidence(&spectrum.squares, &squares, count, n as f64, dimensions as f64)
    };
    Ok(projected.outer_iter().zip(&counts).map(evidence).sum::<f64>() / classes as f64)
}

/// The evidence per row for one target of the squared length `target`, of which `x2` lies along each left singular vector.
fn evidence(sigma: &[f64], x2: &[f64], target: f64, n: f64, dimensions: f64) -> f64 {
    let along = |f: &dyn Fn(f64, f64) -> f64| sigma.iter().zip(x2).map(|(&s, &x)| f(s, x)).sum::<f64>();
    let outside = target - x2.iter().sum::<f64>();
    let (mut alpha, mut beta) = (1.0_f64, 1.0_f64);
    let (mut m2, mut res2) = (0.0, 0.0);
    for _ in 0..11 {
        let t = alpha / beta;
        let gamma = along(&|s, _| s / (s + t));
        m2 = along(&|s, x| s * x / ((t + s) * (t + s)));
        res2 = along(&|s, x| x / ((1.0 + s / t) * (1.0 + s / t))) + outside;
        alpha = gamma / (m2 + 1e-5);
        beta = (n - gamma) / (res2 + 1e-5);
        if (alpha / beta - t).abs() / t <= 1e-3 {
            break;
        }
    }
    let logarithms = along(&|s, _| (alpha + beta * s).ln());
    let evidence = dimensions / 2.0 * alpha.ln() + n / 2.0 * beta.ln()
        - 0.5 * logarithms
        - beta / 2.0 * res2
        - alpha / 2.0 * m2
        - n / 2.0 * (2.0 * std::f64::consts::PI).ln();
    evidence / n
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[derive(Deserialize)]
    struct Case {
        columns: usize,
        x: Vec<f32>,
        labels: Vec<usize>,
        logme: f64,
    }

    #[test]
    fn the_published_code_is_equalled() {
        #[derive(Deserialize)]
        struct Golden {
            logme: Vec<Case>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/rank/rank.json")).unwrap();
        assert!(golden.logme.len() > 3);
        for case in golden.logme {
            let x = Array2::from_shape_vec((case.labels.len(), case.columns), case.x).unwrap();
            let classes = case.labels.iter().max().unwrap() + 1;
            let got = log_me(&Spectrum::new(x.view()).unwrap(), &case.labels, classes).unwrap();
            assert_close([got], [case.logme], Tolerance::Within(1e-6));
        }
    }

    #[test]
    fn labels_must_fit() {
        let spectrum = Spectrum::new(Array2::<f32>::eye(3).view()).unwrap();
        for (labels, classes) in [(vec![0, 1], 2), (vec![0, 1, 2], 2), (vec![0, 0, 0], 1)] {
            assert!(log_me(&spectrum, &labels, classes).is_err());
        }
    }
}
