//! Rows of any number of labels, against scikit-learn's one-vs-rest: `tests/golden/head/make_multi_label.py`.

use ndarray::{Array2, Axis, s};
use serde::Deserialize;

use super::goldens::digits;
use super::*;
use crate::close::{Tolerance, assert_close};
use crate::error::Error;

#[derive(Deserialize)]
struct Golden {
    rows: Vec<usize>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    scaling: Scaling,
    alpha: f64,
    objective: f64,
    probabilities: Vec<f64>,
}

/// Whether digits are even, 5 or more, and prime.
pub(super) fn properties(digits: &[usize]) -> Array2<bool> {
    Array2::from_shape_fn((digits.len(), 3), |(row, property)| match property {
        0 => digits[row].is_multiple_of(2),
        1 => digits[row] >= 5,
        _ => [2, 3, 5, 7].contains(&digits[row]),
    })
}

#[test]
fn labels_reach_scikit_learns_optimum() {
    let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/head/multi_label.json")).unwrap();
    let (x, digits) = digits();
    let labels = properties(&digits);
    assert_eq!(golden.cases.len(), 4);
    for case in &golden.cases {
        let fit = Logistic::new().alpha(case.alpha).scaling(case.scaling);
        let found = fit.fit_multi_label(x.view(), labels.view(), &()).unwrap().certificate;
        assert!(found.converged, "{found:?}");
        assert_close([found.objective / case.objective], [1.0], Tolerance::Within(1e-6));
        // The bound covers what is missing; rounding the column scales to f32 moves the optimum itself by a 1e-7th.
        let slack = if case.scaling == Scaling::None { 1e-12 } else { 1e-7 };
        assert!(found.objective / case.objective - 1.0 < found.gap + slack, "{found:?}");

        let tight = fit.tolerance(1e-12).fit_multi_label(x.view(), labels.view(), &()).unwrap();
        let logits = tight.head.logits(x.select(Axis(0), &golden.rows).view()).unwrap();
        assert_close(sigmoid(logits), case.probabilities.iter().copied(), Tolerance::Within(1e-6));
    }
}

#[test]
fn a_fit_is_the_fits_of_its_labels() {
    let (x, digits) = digits();
    let labels = properties(&digits);
    let fit = Logistic::new().alpha(10.0).tolerance(1e-9);
    let together = fit.fit_multi_label(x.view(), labels.view(), &()).unwrap();
    let mut objective = 0.0;
    for (label, has) in labels.columns().into_iter().enumerate() {
        let classes: Vec<usize> = has.iter().map(|&has| usize::from(has)).collect();
        let alone = fit.fit_watched(x.view(), &classes, &()).unwrap();
        objective += alone.certificate.objective;
        let alone = alone.head.probabilities(x.view()).unwrap().column(1).to_vec();
        let among = sigmoid(together.head.logits(x.view()).unwrap()).column(label).to_vec();
        assert_close(among, alone, Tolerance::Within(1e-4));
    }
    assert_close([together.certificate.objective / objective], [1.0], Tolerance::Within(1e-8));
}

#[test]
fn two_labels_are_no_two_classes() {
    let (x, digits) = digits();
    let labels = properties(&digits);
    let of = |labels: Array2<bool>| Logistic::new().alpha(10.0).fit_multi_label(x.view(), labels.view(), &()).unwrap();
    let (two, one) = (of(labels.slice(s![.., ..2]).to_owned()), of(labels.slice(s![.., 1..]).to_owned()));
    assert!(two.certificate.converged && one.certificate.converged);
    let column =
        |fitted: &FittedLogistic, label: usize| sigmoid(fitted.head.logits(x.view()).unwrap()).column(label).to_vec();
    assert_close(column(&two, 1), column(&one, 0), Tolerance::Within(3e-3));
}

#[test]
fn threads_change_nothing_and_what_cannot_be_fitted_is_refused() {
    let (x, digits) = digits();
    let labels = properties(&digits);
    let fit = |logistic: Logistic| logistic.fit_multi_label(x.view(), labels.view(), &());
    let on = |threads: usize| fit(Logistic::new().threads(threads.try_into().unwrap())).unwrap().head;
    assert_eq!(on(1), on(3));
    assert!(matches!(fit(Logistic::new().solver(Solver::Linfa)), Err(Error::Usage(_))));
    assert!(matches!(fit(Logistic::new().class_weight(ClassWeight::Balanced)), Err(Error::Usage(_))));
    let none = Array2::from_elem((1797, 2), false);
    assert!(matches!(Logistic::new().fit_multi_label(x.view(), none.view(), &()), Err(Error::Data(_))));
}
