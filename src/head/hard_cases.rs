//! Data that makes solvers hang, lie or crash.

use std::sync::atomic::{AtomicUsize, Ordering};

use linfa::ParamGuard;
use linfa::traits::{Fit, Predict};
use ndarray::{Array2, ArrayView2, Axis, array, concatenate};

use super::*;
use crate::close::{Tolerance, assert_close};
use crate::error::{Error, Result};
use crate::progress::Progress;

fn fit(params: Logistic, x: ArrayView2<f32>, labels: &[usize]) -> Result<FittedLogistic> {
    params.check().unwrap().fit_watched(x, labels, &())
}

/// Overlapping clouds, one around each class' own corner.
fn clouds(n: usize, d: usize, classes: usize, spread: f32) -> (Array2<f32>, Vec<usize>) {
    let mut rng = fastrand::Rng::with_seed(5);
    let labels: Vec<usize> = (0..n).map(|i| i % classes).collect();
    let x = Array2::from_shape_fn((n, d), |(i, j)| {
        let center = if j % classes == labels[i] { 1.0 } else { 0.0 };
        center + spread * (rng.f32() + rng.f32() + rng.f32() - 1.5)
    });
    (x, labels)
}

#[test]
fn separable_data_with_a_tiny_penalty_ends() {
    for classes in [2, 3] {
        let (x, labels) = clouds(60, 6, classes, 0.1);
        for alpha in [1e-2, 1e-5, 1e-8] {
            let fitted = fit(Logistic::new().alpha(alpha), x.view(), &labels).unwrap();
            assert!(fitted.certificate.converged);
            assert_eq!(fitted.head.classify(x.view()).unwrap().to_vec(), labels);
        }
    }
}

#[test]
fn a_thousand_classes_are_fitted() {
    let mut rng = fastrand::Rng::with_seed(7);
    let labels: Vec<usize> = (0..3000).map(|row| row % 1000).collect();
    let centres = Array2::from_shape_simple_fn((1000, 24), || 4.0 * rng.f32());
    let x = Array2::from_shape_fn((3000, 24), |(row, j)| centres[[labels[row], j]] + 0.3 * rng.f32());
    let fitted = fit(Logistic::new().alpha(0.1), x.view(), &labels).unwrap();
    assert!(fitted.certificate.converged, "{:?}", fitted.certificate);
    let right = fitted.head.classify(x.view()).unwrap().iter().zip(&labels).filter(|(a, b)| a == b).count();
    assert!(right > 2900, "{right}");
}

#[test]
fn columns_of_any_scale_give_the_same_head() {
    let (x, labels) = clouds(300, 4, 3, 1.5);
    let scales = array![1e-6_f32, 1e6, 1.0, 1e3];
    let plain = fit(Logistic::new(), x.view(), &labels).unwrap();
    let scaled_x = &x * &scales;
    let scaled = fit(Logistic::new(), scaled_x.view(), &labels).unwrap();
    assert_close([scaled.certificate.objective], [plain.certificate.objective], Tolerance::Within(1e-5));
    assert_close(
        scaled.head.probabilities(scaled_x.view()).unwrap(),
        plain.head.probabilities(x.view()).unwrap(),
        Tolerance::Within(1e-3),
    );
    let raw = fit(Logistic::new().scaling(Scaling::None), scaled_x.view(), &labels).unwrap();
    assert!(raw.certificate.converged);
}

#[test]
fn a_constant_column_changes_nothing() {
    let (x, labels) = clouds(200, 4, 3, 1.5);
    let with = concatenate![Axis(1), x, Array2::from_elem((200, 1), 0.1_f32)];
    let one = fit(Logistic::new(), x.view(), &labels).unwrap();
    let two = fit(Logistic::new(), with.view(), &labels).unwrap();
    assert_close([two.certificate.objective], [one.certificate.objective], Tolerance::Within(2e-6));
}

#[test]
fn rows_twice_are_half_the_penalty() {
    let (x, labels) = clouds(100, 4, 3, 1.5);
    let twice = concatenate![Axis(0), x, x];
    let one = fit(Logistic::new().alpha(0.5), x.view(), &labels).unwrap();
    let two = fit(Logistic::new().alpha(1.0), twice.view(), &[labels.clone(), labels].concat()).unwrap();
    assert_close([two.certificate.objective], [2.0 * one.certificate.objective], Tolerance::Within(3e-6));
}

#[test]
fn equal_features_give_the_class_frequencies() {
    let x = Array2::from_elem((10, 3), 7.0_f32);
    for (labels, want) in [(vec![0, 1, 2, 2, 2, 2, 2, 2, 2, 2], vec![0.1, 0.1, 0.8]), ([0, 1].repeat(5), vec![0.5; 2])]
    {
        let fitted = fit(Logistic::new(), x.view(), &labels).unwrap();
        assert!(fitted.certificate.converged, "{:?}", fitted.certificate);
        let got = fitted.head.probabilities(x.slice(ndarray::s![..1, ..])).unwrap();
        assert_close(got, want, Tolerance::Within(1e-3));
    }
}

#[test]
fn a_class_of_one_row_is_fitted() {
    let (x, mut labels) = clouds(80, 5, 2, 1.0);
    labels[79] = 2;
    let fitted = fit(Logistic::new(), x.view(), &labels).unwrap();
    assert!(fitted.certificate.converged);
    assert_eq!(fitted.head.classes(), 3);
}

#[test]
fn unusable_data_is_named() {
    let (mut x, labels) = clouds(20, 3, 2, 1.0);
    let message = |x: ArrayView2<f32>, labels: &[usize]| fit(Logistic::new(), x, labels).unwrap_err().to_string();
    assert!(message(x.view(), &[0; 20]).contains("same label"));
    assert!(message(x.view(), &[1; 20]).contains("class 0 has no row"));
    assert!(message(x.view(), &[usize::MAX; 20]).contains("no row"));
    assert!(message(x.view(), &labels[1..]).contains("expected 20, got 19"));
    assert!(message(Array2::zeros((0, 3)).view(), &[]).contains("0 rows of 3"));
    assert!(message(Array2::zeros((20, 0)).view(), &labels).contains("20 rows of 0"));
    x[[7, 2]] = f32::NAN;
    assert!(message(x.view(), &labels).contains("feature 2 of row 7 is NaN"));
    for bad in [0.0, -1.0, f64::NAN] {
        assert!(matches!(Logistic::new().alpha(bad).check(), Err(Error::Usage(_))));
    }
}

#[test]
fn too_few_iterations_are_not_called_converged() {
    let (x, labels) = clouds(300, 6, 3, 1.5);
    let certificate = fit(Logistic::new().max_iterations(2), x.view(), &labels).unwrap().certificate;
    assert!(!certificate.converged && certificate.iterations == 2, "{certificate:?}");
}

#[test]
fn l2_ignores_the_length_of_a_row() {
    let (x, labels) = clouds(100, 4, 2, 0.5);
    let lengths = Array2::from_shape_fn((100, 1), |(i, _)| 0.5 + i as f32);
    let head = fit(Logistic::new().scaling(Scaling::L2).alpha(0.01), x.view(), &labels).unwrap().head;
    assert_eq!(head.input(), Input::UnitLength);
    let got = head.probabilities((&x * &lengths).view()).unwrap();
    assert_close(got, head.probabilities(x.view()).unwrap(), Tolerance::Approximate);
}

#[test]
fn ctrl_c_stops_the_fit() {
    struct After(AtomicUsize);
    impl Progress for After {
        fn interrupted(&self) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed) >= 3
        }
    }
    let (x, labels) = clouds(300, 6, 3, 1.5);
    let watch = After(AtomicUsize::new(0));
    let result = Logistic::new().check().unwrap().fit_watched(x.view(), &labels, &watch);
    assert!(matches!(result, Err(Error::Interrupted)));
}

#[test]
fn linfas_traits_fit_and_predict() {
    let (x, labels) = clouds(90, 4, 3, 0.3);
    let data = linfa::Dataset::new(x, ndarray::Array1::from(labels));
    let fitted = Logistic::new().fit(&data).unwrap();
    assert_eq!(fitted.head.predict(data.records()), *data.targets());
    assert!(matches!(Logistic::new().alpha(-1.0).fit(&data), Err(Error::Usage(_))));
}
