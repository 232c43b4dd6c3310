//! Against scikit-learn's `RidgeCV` (`tests/golden/head/make_ridge.py`), and against refitting.

use ndarray::{Array2, Axis, array, s};
use serde::Deserialize;

use super::*;
use crate::close::{Tolerance, assert_close};

const GOLDEN: Tolerance = Tolerance::Within(1e-8);

#[derive(Deserialize)]
struct Golden {
    alphas: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    rows: Vec<usize>,
    columns: usize,
    classes: usize,
    scaling: Scaling,
    /// For each alpha: the left-out logits of some rows, the mean squared error over all.
    shown: Vec<usize>,
    logits: Vec<Vec<f64>>,
    squared_error: Vec<f64>,
    accuracy: Vec<f64>,
    chosen: f64,
    weights: Vec<f64>,
    intercepts: Vec<f64>,
    objective: f64,
}

/// Some rows and the first columns of optdigits, labels modulo K.
fn data(case: &Case) -> (Array2<f32>, Vec<usize>) {
    let (x, labels) = super::super::goldens::digits();
    let x = x.select(Axis(0), &case.rows).slice(s![.., ..case.columns]).to_owned();
    (x, case.rows.iter().map(|&row| labels[row] % case.classes).collect())
}

/// Each row left out in turn and predicted by a fit on the rest.
fn by_refitting(x: ArrayView2<f32>, labels: &[usize], classes: usize, alpha: f64) -> Array2<f64> {
    let mut out = Array2::zeros((x.nrows(), classes));
    for left_out in 0..x.nrows() {
        let rest: Vec<usize> = (0..x.nrows()).filter(|&i| i != left_out).collect();
        let (rest_x, rest_y): (_, Vec<usize>) = (x.select(Axis(0), &rest), rest.iter().map(|&i| labels[i]).collect());
        let scaler = Scaler::fit(Scaling::None, rest_x.view());
        let spectrum = Spectrum::new(rest_x.view(), &rest_y, classes, &scaler, &()).unwrap();
        let (weights, intercepts) = spectrum.weights(alpha);
        let row = scaler.scaled(x.slice(s![left_out..left_out + 1, ..]));
        out.row_mut(left_out).assign(&(row.dot(&weights) + &intercepts).row(0));
    }
    out
}

#[test]
fn every_alpha_is_scikit_learns() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/head/ridge.json")).unwrap();
    for case in &golden.cases {
        let (x, labels) = data(case);
        let fitted = Ridge::new().alphas(golden.alphas.clone()).scaling(case.scaling);
        let fitted = fitted.fit_watched(x.view(), &labels, &()).unwrap();
        assert_eq!(fitted.alpha, case.chosen);
        assert!(fitted.certificate.converged && fitted.certificate.gradient_norm < 1e-8, "{:?}", fitted.certificate);
        assert_close([fitted.certificate.objective], [case.objective], GOLDEN);
        assert_close(fitted.path.iter().map(|p| p.squared_error), case.squared_error.iter().copied(), GOLDEN);
        assert_close(fitted.path.iter().map(|p| p.accuracy), case.accuracy.iter().copied(), Tolerance::Close);
        // The head is f32.
        assert_close(fitted.head.weights().iter().copied(), case.weights.iter().copied(), Tolerance::Within(1e-6));
        assert_close(
            fitted.head.intercepts().iter().copied(),
            case.intercepts.iter().copied(),
            Tolerance::Within(1e-6),
        );
        let left_out = leave_one_out(x.view(), &labels, &golden.alphas, case.scaling, &()).unwrap();
        for (got, want) in left_out.iter().zip(&case.logits) {
            assert_close(got.logits.select(Axis(0), &case.shown), want.iter().copied(), GOLDEN);
        }
        assert_eq!(left_out.iter().map(|l| l.point).collect::<Vec<_>>(), fitted.path);
    }
}

#[test]
fn leaving_out_is_refitting() {
    let (all, labels) = super::super::goldens::digits();
    for (n, d) in [(40, 64), (60, 20)] {
        let x = all.slice(s![..n, ..d]);
        for alpha in [0.1, 30.0] {
            let got = leave_one_out(x, &labels[..n], &[alpha], Scaling::None, &()).unwrap();
            assert_close(got[0].logits.clone(), by_refitting(x, &labels[..n], 10, alpha), Tolerance::Within(1e-8));
        }
    }
}

#[test]
fn features_without_content_give_the_class_shares() {
    let x = Array2::from_elem((4, 3), 7.0_f32);
    let fitted = Ridge::new().fit_watched(x.view(), &[0, 1, 1, 1], &()).unwrap();
    assert_close(fitted.head.logits(x.view()).unwrap().row(0).to_vec(), [-0.5, 0.5], Tolerance::Close);
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let x = array![[0.0_f32, 1.0], [1.0, f32::INFINITY]];
    let error = Ridge::new().fit_watched(x.view(), &[0, 1], &()).unwrap_err();
    assert!(error.to_string().contains("feature 1 of row 1"), "{error}");
    for alphas in [vec![], vec![0.0], vec![1.0, f64::NAN], vec![-1.0]] {
        assert!(matches!(Ridge::new().alphas(alphas).check(), Err(Error::Usage(_))));
    }
    let x = array![[3e38_f32], [-3e38], [1.0]];
    assert!(Ridge::new().scaling(Scaling::None).fit_watched(x.view(), &[0, 1, 1], &()).is_ok());
}

#[test]
fn swept_heads_are_the_fits_one_by_one() {
    let (all, labels) = super::super::goldens::digits();
    for (n, d) in [(40, 64), (200, 20)] {
        let x = all.slice(s![..n, ..d]);
        let alphas = [3.0, 0.1, 100.0];
        let swept = Ridge::new().alphas(alphas).sweep(x, &labels[..n], &()).unwrap();
        assert_eq!(swept.iter().map(|(alpha, _)| *alpha).collect::<Vec<_>>(), alphas);
        for (alpha, head) in swept {
            assert_eq!(head, Ridge::new().alphas([alpha]).fit_watched(x, &labels[..n], &()).unwrap().head);
        }
    }
}
