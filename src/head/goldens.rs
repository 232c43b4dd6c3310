//! Against scikit-learn's optima: `tests/golden/head/make_head.py`.

use std::io::Read;
use std::num::NonZeroUsize;

use linfa::ParamGuard;
use ndarray::{Array2, Axis};
use serde::Deserialize;

use super::*;
use crate::close::{Tolerance, assert_close};
use crate::error::Error;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<usize>,
    digits: Vec<Case>,
    iris: Vec<Case>,
    weighted_digits: Vec<Weighted>,
    weighted_iris: Vec<Weighted>,
    iris_x: Vec<f32>,
    iris_y: Vec<usize>,
    iris_rows: Vec<usize>,
}

#[derive(Deserialize)]
struct Case {
    scaling: Scaling,
    alpha: f64,
    objective: f64,
    probabilities: Vec<f64>,
    accuracy: f64,
}

#[derive(Deserialize)]
struct Weighted {
    alpha: f64,
    class_weight: serde_json::Value,
    row_weights: bool,
    objective: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/golden/head/head.json")).unwrap()
}

/// optdigits, 1797×64 of 0..=16.
pub(crate) fn digits() -> (Array2<f32>, Vec<usize>) {
    let mut bytes = Vec::new();
    let packed: &[u8] = include_bytes!("../../tests/golden/head/digits.bin.gz");
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let x = Array2::from_shape_fn((1797, 64), |(i, j)| f32::from(bytes[65 * i + j]));
    (x, (0..1797).map(|i| usize::from(bytes[65 * i + 64])).collect())
}

fn check(case: &Case, x: &Array2<f32>, labels: &[usize], rows: &[usize]) {
    let fit = Logistic::new().alpha(case.alpha).scaling(case.scaling).check().unwrap();
    let fitted = fit.fit_watched(x.view(), labels, &()).unwrap();
    let got = fitted.certificate;
    assert!(got.converged);
    let above = (got.objective - case.objective) / case.objective;
    assert!(above.abs() < 1e-6, "objective {} against {}: {above:e}", got.objective, case.objective);
    // The bound must cover what is really missing; rounding the column scales to f32 moves the optimum itself by a 1e-7th.
    let slack = if case.scaling == Scaling::None { 1e-12 } else { 1e-7 };
    assert!(above < got.gap + slack, "{above:e} above the optimum, certified {:e}", got.gap);
    let probabilities = fitted.head.probabilities(x.select(Axis(0), rows).view()).unwrap();
    assert_close(probabilities, case.probabilities.iter().copied(), Tolerance::Within(2e-3));
    let predicted = fitted.head.classify(x.view()).unwrap();
    let right = predicted.iter().zip(labels).filter(|(p, l)| p == l).count();
    assert_close([right as f64 / labels.len() as f64], [case.accuracy], Tolerance::Within(0.5 / labels.len() as f64));
}

#[test]
fn digits_reach_scikit_learns_optimum() {
    let golden = golden();
    let (x, labels) = digits();
    for case in &golden.digits {
        check(case, &x, &labels, &golden.rows);
    }
}

#[test]
fn two_classes_reach_scikit_learns_optimum() {
    let golden = golden();
    let x = Array2::from_shape_vec((100, 4), golden.iris_x).unwrap();
    for case in &golden.iris {
        check(case, &x, &golden.iris_y, &golden.iris_rows);
    }
}

#[test]
fn threads_change_nothing() {
    let (x, labels) = digits();
    let fit = |threads| {
        let params = Logistic::new().alpha(10.0).threads(NonZeroUsize::new(threads).unwrap()).check().unwrap();
        params.fit_watched(x.view(), &labels, &()).unwrap().head
    };
    assert_eq!(fit(1), fit(3));
}

#[test]
fn renaming_the_classes_renames_the_columns() {
    let (x, labels) = digits();
    let order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7];
    let renamed: Vec<usize> = labels.iter().map(|&label| order[label]).collect();
    let fit = Logistic::new().alpha(10.0).tolerance(1e-9).check().unwrap();
    let first = fit.fit_watched(x.view(), &labels, &()).unwrap();
    let second = fit.fit_watched(x.view(), &renamed, &()).unwrap();
    assert_close([first.certificate.objective], [second.certificate.objective], Tolerance::Within(1e-9));
    for (class, &name) in order.iter().enumerate() {
        let (one, two) = (first.head.weights(), second.head.weights());
        assert_close(one.column(class).to_vec(), two.column(name).to_vec(), Tolerance::Within(1e-4));
    }
}

#[test]
fn linfa_is_refused_where_it_misses_the_optimum() {
    let (x, labels) = digits();
    let fit = Logistic::new().solver(Solver::Linfa).scaling(Scaling::None).max_iterations(100).check().unwrap();
    let error = fit.fit_watched(x.view(), &labels, &()).unwrap_err();
    assert!(matches!(error, Error::Data(_)));
    assert!(
        error.to_string().contains("refused: at its weights the objective is")
            && error.to_string().contains("gradient")
    );
}

#[test]
fn linfa_is_believed_where_it_reaches_it() {
    let golden = golden();
    let x = Array2::from_shape_vec((100, 4), golden.iris_x).unwrap();
    let flipped: Vec<usize> = golden.iris_y.iter().map(|y| 1 - y).collect();
    for labels in [&golden.iris_y, &flipped] {
        let fit = Logistic::new().solver(Solver::Linfa).check().unwrap();
        let fitted = fit.fit_watched(x.view(), labels, &()).unwrap();
        let want = golden.iris.iter().find(|case| case.scaling == Scaling::Standardize && case.alpha == 1.0).unwrap();
        assert_close([fitted.certificate.objective], [want.objective], Tolerance::Within(1e-6));
    }
    let three: Vec<usize> = (0..100).map(|i| if i < 20 { 2 } else { golden.iris_y[i] }).collect();
    let certificate = |solver| {
        let fit = Logistic::new().solver(solver).tolerance(1e-4).check().unwrap();
        fit.fit_watched(x.view(), &three, &()).unwrap().certificate
    };
    assert_close(
        [certificate(Solver::Linfa).objective],
        [certificate(Solver::Lbfgs).objective],
        Tolerance::Within(1e-4),
    );
}

/// Every third of class 0 alone, so that the classes differ in size.
fn check_weighted(cases: &[Weighted], x: &Array2<f32>, labels: &[usize]) {
    let rows: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] > 0 || row % 3 == 0).collect();
    let (x, labels) = (x.select(Axis(0), &rows), rows.iter().map(|&row| labels[row]).collect::<Vec<_>>());
    let weights: Vec<f64> = (0..labels.len()).map(|row| (row % 4) as f64 / 2.0).collect();
    for case in cases {
        let class_weight = match &case.class_weight {
            serde_json::Value::Null => ClassWeight::Uniform,
            serde_json::Value::String(_) => ClassWeight::Balanced,
            given => ClassWeight::Given(serde_json::from_value(given.clone()).unwrap()),
        };
        let samples = Samples::new(x.view(), &labels);
        let samples = if case.row_weights { samples.weighted(&weights) } else { samples };
        let fit = Logistic::new().alpha(case.alpha).class_weight(class_weight).tolerance(1e-9);
        let got = fit.fit_samples(samples, &()).unwrap().certificate;
        assert!(got.converged, "{got:?}");
        // The column scales are f32, which moves the optimum by a 1e-7th.
        assert_close([got.objective / case.objective], [1.0], Tolerance::Within(1e-7));
        assert!(got.gradient_norm < 1e-5);
    }
}

#[test]
fn weights_are_scikit_learns() {
    let golden = golden();
    let (x, labels) = digits();
    check_weighted(&golden.weighted_digits, &x, &labels);
    let x = Array2::from_shape_vec((100, 4), golden.iris_x).unwrap();
    check_weighted(&golden.weighted_iris, &x, &golden.iris_y);
}

#[test]
fn a_row_of_weight_two_is_two_rows() {
    let (x, labels) = digits();
    let twice: Vec<usize> = (0..300).flat_map(|row| std::iter::repeat_n(row, row % 3)).collect();
    let weights: Vec<f64> = (0..300).map(|row| (row % 3) as f64).collect();
    let fit = Logistic::new().scaling(Scaling::None).tolerance(1e-10);
    let (some, repeated) = (x.slice(ndarray::s![..300, ..]), x.select(Axis(0), &twice));
    let weighted = fit.fit_samples(Samples::new(some, &labels[..300]).weighted(&weights), &()).unwrap();
    let labels: Vec<usize> = twice.iter().map(|&row| labels[row]).collect();
    let repeated = fit.fit_watched(repeated.view(), &labels, &()).unwrap();
    assert_close([weighted.certificate.objective / repeated.certificate.objective], [1.0], Tolerance::Within(1e-9));
    assert_close(
        weighted.head.weights().iter().copied(),
        repeated.head.weights().iter().copied(),
        Tolerance::Within(1e-3),
    );
}

#[test]
fn a_path_is_the_fits_one_by_one() {
    let (x, labels) = digits();
    let alphas = [0.1, 1000.0, 10.0];
    let path = Logistic::new().fit_path(Samples::new(x.view(), &labels), &alphas, &()).unwrap();
    for (fitted, alpha) in path.iter().zip(alphas) {
        let alone = Logistic::new().alpha(alpha).fit_watched(x.view(), &labels, &()).unwrap().certificate;
        assert!(fitted.certificate.converged && alone.converged);
        assert_close([fitted.certificate.objective / alone.objective], [1.0], Tolerance::Within(2e-6));
    }
    assert!(path[0].certificate.iterations > 0 && path.len() == 3);
}

#[test]
fn weights_that_say_nothing_are_refused() {
    let (x, labels) = digits();
    let reason = |weights: &[f64], class_weight: ClassWeight| {
        let samples = Samples::new(x.view(), &labels).weighted(weights);
        Logistic::new().class_weight(class_weight).fit_samples(samples, &()).unwrap_err().to_string()
    };
    let mut weights = vec![1.0; labels.len()];
    assert!(reason(&weights[1..], ClassWeight::Uniform).contains("feature rows and weights"));
    assert!(reason(&weights, ClassWeight::Given(vec![1.0; 9])).contains("classes and class weights"));
    assert!(reason(&weights, ClassWeight::Given((0..10).map(f64::from).collect())).contains("class 0 weighs 0"));
    weights[7] = -1.0;
    assert!(reason(&weights, ClassWeight::Balanced).contains("row 7"));
    weights[7] = f64::NAN;
    assert!(reason(&weights, ClassWeight::Balanced).contains("row 7"));
    labels.iter().zip(&mut weights).for_each(|(&label, weight)| *weight = f64::from(label != 3));
    assert!(reason(&weights, ClassWeight::Balanced).contains("class 3 weighs"));
    let linfa = Logistic::new()
        .solver(Solver::Linfa)
        .fit_samples(Samples::new(x.view(), &labels).weighted(&vec![1.0; 1797]), &());
    assert!(linfa.unwrap_err().to_string().contains("takes no weights"));
}
