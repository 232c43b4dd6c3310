//! Calibration: logits to probabilities that can be believed. Fit on rows that the head was not fitted on (out of fold).

mod isotonic;
mod platt;
mod temperature;

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use self::isotonic::Isotonic;
use self::platt::Sigmoid;
use super::report::check_labels;
use crate::error::{Error, Result};

/// How logits are calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `softmax(z/T)` with the T of the least log loss (Guo et al., ICML 2017). One number: needs the fewest rows, and
    /// leaves every prediction as it was.
    Temperature,
    /// `sigmoid(a·z + b)` fitted to Platt's smoothed targets (1999). Two classes: of the difference of their logits; more:
    /// of each class against the rest, then divided by their sum.
    Platt,
    /// The best increasing function, by pooling adjacent violators. Classes as for Platt. Needs the most rows.
    Isotonic,
}

/// A fitted calibration of K classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    classes: usize,
    map: Map,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Map {
    /// 1/T.
    Temperature { inverse: f64 },
    /// One for two classes, else one a class.
    Platt(Vec<Sigmoid>),
    /// As there.
    Isotonic(Vec<Isotonic>),
}

impl Calibration {
    /// Fits `method` on n×K `logits` of rows whose true classes are `labels` (n indices below K).
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows or fewer than two classes, the sizes disagree, a label is not below K, or a
    /// logit is not finite.
    pub fn fit(method: Method, logits: ArrayView2<f32>, labels: &[usize]) -> Result<Self> {
        check_labels(labels, logits)?;
        check_finite(logits)?;
        let classes = logits.ncols();
        if classes < 2 {
            return Err(Error::Data("calibration needs at least two classes".to_string()));
        }
        let each = decisions(logits);
        let targets = |i: usize| -> Vec<bool> {
            let class = if classes == 2 { 1 } else { i };
            labels.iter().map(|&label| label == class).collect()
        };
        let map = match method {
            Method::Temperature => Map::Temperature { inverse: temperature::fit(logits, labels) },
            Method::Platt => Map::Platt(each.iter().enumerate().map(|(i, z)| Sigmoid::fit(z, &targets(i))).collect()),
            Method::Isotonic => {
                Map::Isotonic(each.iter().enumerate().map(|(i, z)| Isotonic::fit(z, &targets(i))).collect())
            }
        };
        Ok(Self { classes, map })
    }

    /// The method that was fitted.
    pub fn method(&self) -> Method {
        match self.map {
            Map::Temperature { .. } => Method::Temperature,
            Map::Platt(_) => Method::Platt,
            Map::Isotonic(_) => Method::Isotonic,
        }
    }

    /// T, where the method is [`Method::Temperature`].
    pub fn temperature(&self) -> Option<f64> {
        match self.map {
            Map::Temperature { inverse } => Some(1.0 / inverse),
            _ => None,
        }
    }

    /// n×K probabilities of n×K `logits`. Where one-against-the-rest gives every class 0, all are equally likely.
    ///
    /// # Errors
    /// [`Error::Data`] with another number of classes than fitted, or a logit that is not finite.
    pub fn apply(&self, logits: ArrayView2<f32>) -> Result<Array2<f32>> {
        if logits.ncols() != self.classes {
            return Err(Error::Data(format!("logits of {} classes, calibrated for {}", logits.ncols(), self.classes)));
        }
        check_finite(logits)?;
        Ok(match &self.map {
            Map::Temperature { inverse } => temperature::apply(*inverse, logits),
            Map::Platt(each) => combine(logits, |class, z| each.get(class).map_or(0.0, |map| map.apply(z))),
            Map::Isotonic(each) => combine(logits, |class, z| each.get(class).map_or(0.0, |map| map.apply(z))),
        })
    }
}

/// What each one-dimensional calibration sees: for two classes the difference of the logits, else each class's logits.
fn decisions(logits: ArrayView2<f32>) -> Vec<Vec<f64>> {
    if logits.ncols() == 2 {
        vec![logits.rows().into_iter().map(|row| f64::from(row[1]) - f64::from(row[0])).collect()]
    } else {
        logits.columns().into_iter().map(|column| column.iter().copied().map(f64::from).collect()).collect()
    }
}

fn combine(logits: ArrayView2<f32>, map: impl Fn(usize, f64) -> f64) -> Array2<f32> {
    let (n, classes) = logits.dim();
    let each = decisions(logits);
    let mut probabilities = Array2::zeros((n, classes));
    for (i, mut row) in probabilities.axis_iter_mut(Axis(0)).enumerate() {
        if classes == 2 {
            let p = map(0, each[0][i]);
            (row[0], row[1]) = ((1.0 - p) as f32, p as f32);
            continue;
        }
        let raw: Vec<f64> = each.iter().enumerate().map(|(class, z)| map(class, z[i])).collect();
        let sum: f64 = raw.iter().sum();
        let share = |p: &f64| if sum > 0.0 { p / sum } else { 1.0 / classes as f64 };
        row.iter_mut().zip(&raw).for_each(|(out, p)| *out = share(p) as f32);
    }
    probabilities
}

fn check_finite(logits: ArrayView2<f32>) -> Result<()> {
    match logits.indexed_iter().find(|(_, z)| !z.is_finite()) {
        Some(((row, class), z)) => Err(Error::Data(format!("the logit of class {class} in row {row} is {z}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// See `tests/golden/eval/make_calibration.py`.
    #[derive(Deserialize)]
    struct Golden {
        logits: Vec<Vec<f32>>,
        labels: Vec<usize>,
        inverse_temperature: f64,
        temperature: Vec<Vec<f64>>,
        sigmoids: Vec<[f64; 2]>,
        platt: Vec<Vec<f64>>,
        isotonic: Vec<Vec<f64>>,
        new_logits: Vec<Vec<f32>>,
    }

    fn golden() -> Vec<Golden> {
        serde_json::from_str(include_str!("../../../tests/golden/eval/calibration.json")).unwrap()
    }

    fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    }

    #[test]
    fn calibrations_are_scikit_learns() {
        for case in golden() {
            let (logits, new) = (matrix(&case.logits), matrix(&case.new_logits));
            for (method, want) in [
                (Method::Temperature, &case.temperature),
                (Method::Platt, &case.platt),
                (Method::Isotonic, &case.isotonic),
            ] {
                let fitted = Calibration::fit(method, logits.view(), &case.labels).unwrap();
                assert_eq!(fitted.method(), method);
                let got = fitted.apply(new.view()).unwrap();
                assert_close(got.iter().copied(), want.concat(), Tolerance::Within(2e-7));
                match &fitted.map {
                    Map::Temperature { inverse } => {
                        assert_close([*inverse], [case.inverse_temperature], Tolerance::Within(1e-6));
                    }
                    Map::Platt(each) => {
                        let got = each.iter().flat_map(|sigmoid| [sigmoid.slope, sigmoid.intercept]);
                        assert_close(got, case.sigmoids.concat(), Tolerance::Within(1e-9));
                    }
                    Map::Isotonic(_) => {}
                }
                let text = serde_json::to_string(&fitted).unwrap();
                let again: Calibration = serde_json::from_str(&text).unwrap();
                assert_eq!(again.apply(new.view()).unwrap(), got);
            }
        }
    }

    #[test]
    fn one_class_and_constant_logits_stay_finite() {
        for logits in
            [matrix(&[vec![1.0, 1.0], vec![1.0, 1.0]]), matrix(&[vec![-3.0, 5.0, 0.0], vec![-900.0, 9.0, 1.0]])]
        {
            for method in [Method::Temperature, Method::Platt, Method::Isotonic] {
                let fitted = Calibration::fit(method, logits.view(), &[1, 1]).unwrap();
                let p = fitted.apply(logits.view()).unwrap();
                assert_close(p.sum_axis(Axis(1)), [1.0, 1.0], Tolerance::Within(1e-6));
            }
        }
    }

    #[test]
    fn unusable_input_is_named() {
        let logits = matrix(&[vec![0.0, 1.0], vec![f32::INFINITY, 0.0]]);
        let message =
            |labels: &[usize]| Calibration::fit(Method::Platt, logits.view(), labels).unwrap_err().to_string();
        assert!(message(&[0, 1]).contains("class 0 in row 1 is inf"));
        assert!(message(&[0]).contains("1 labels"));
        assert!(message(&[0, 2]).contains("row 1 is of class 2"));
        let fitted = Calibration::fit(Method::Platt, matrix(&[vec![0.0, 1.0]]).view(), &[0]).unwrap();
        assert!(fitted.apply(Array2::zeros((1, 3)).view()).unwrap_err().to_string().contains("3 classes"));
    }
}
