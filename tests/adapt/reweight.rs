//! `make_reweight.py`.

use std::collections::BTreeMap;

use engraft::adapt::{Adapted, Discriminator, Judged, Kliep, MeanMatching, Method, Training};
use ndarray::{Array1, Array2, ArrayView2};
use serde::Deserialize;

use super::close::{Tolerance, assert_close};
use super::{Pair, fit, logistic};

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    pair: Pair,
    discriminator: Vec<f64>,
    gamma: f64,
    kliep: Vec<f64>,
    kmm: BTreeMap<String, f64>,
}

fn cases() -> Vec<Case> {
    super::cases(include_str!("../golden/adapt/reweight.json"), 2)
}

fn weights(adapted: &Adapted) -> Vec<f64> {
    match &adapted.training {
        Training::Weighted(weights) => weights.clone(),
        other => panic!("{other:?}"),
    }
}

fn figure(adapted: &Adapted, name: &str) -> f64 {
    adapted.figures.iter().find(|(known, _)| *known == name).unwrap().1
}

#[test]
fn the_discriminator_is_skadas_right_way_up() {
    for case in cases() {
        let method = Method::Discriminator(Discriminator { judged: Judged::InSample, most: f64::INFINITY });
        let adapted = method.fit(&case.pair.domains(), &logistic, &()).unwrap();
        assert_close(weights(&adapted), case.discriminator.clone(), Tolerance::Within(1e-4));
        let squares: f64 = case.discriminator.iter().map(|w| w * w).sum();
        let n = case.discriminator.len() as f64;
        assert_close([figure(&adapted, "effective_sample_size")], [n * n / squares], Tolerance::Within(1e-3));
    }
}

#[test]
fn kliep_is_at_scipys_optimum() {
    for case in cases() {
        let method = Method::Kliep(Kliep { gamma: Some(case.gamma), most: f64::INFINITY, ..Kliep::default() });
        let adapted = fit(method, &case.pair.domains());
        assert_close(weights(&adapted), case.kliep, Tolerance::Within(1e-4));
        assert!(figure(&adapted, "gap") < 1e-8);
    }
}

fn kernel(x: ArrayView2<f32>, y: ArrayView2<f32>, gamma: f64) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), y.nrows()), |(i, j)| {
        let square: f64 = x.row(i).iter().zip(y.row(j)).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        (-gamma * square).exp()
    })
}

#[test]
fn mean_matching_satisfies_the_conditions_of_its_optimality() {
    for case in cases() {
        let domains = case.pair.domains();
        let (x, y) = (domains.source(), domains.target());
        let n = x.nrows() as f64;
        let quadratic = kernel(x, x, case.gamma);
        let linear = kernel(x, y, case.gamma).mean_axis(ndarray::Axis(1)).unwrap() * n;
        for (bound, want) in &case.kmm {
            let bound: f64 = bound.parse().unwrap();
            let matching = MeanMatching { gamma: Some(case.gamma), bound, most: f64::INFINITY, ..Default::default() };
            let adapted = fit(Method::MeanMatching(matching), &domains);
            let residual = figure(&adapted, "kkt_residual");
            assert!(residual < 1e-10, "{residual:e}");
            // The weights are given with the mean 1; the optimum's own mean makes the objective least along the ray.
            let given = Array1::from(weights(&adapted));
            let scale = given.dot(&linear) / given.dot(&quadratic.dot(&given));
            let beta =
                if bound > 100.0 { &given * scale } else { &given * (bound / given.fold(0.0, |a: f64, b| a.max(*b))) };
            let value = 0.5 * beta.dot(&quadratic.dot(&beta)) - linear.dot(&beta);
            assert_close([value / want], [1.0], Tolerance::Within(if bound > 100.0 { 1e-4 } else { 1e-6 }));
            let slope = (quadratic.dot(&beta) - &linear) / n;
            for (row, (&b, &g)) in beta.iter().zip(&slope).enumerate() {
                // The slope is the multiplier of β ≥ 0, or less that of β ≤ B; the mean is far from its bounds.
                let (lower, upper) = (g.max(0.0), (-g).max(0.0));
                assert!(lower * b < 1e-5, "row {row}: weight {b}, slope {g}");
                assert!(upper * (bound - b) < 1e-5 * bound, "row {row}: weight {b}, slope {g}");
            }
        }
    }
}

#[test]
fn parts_are_matched_by_themselves_and_weights_are_cut() {
    let case = cases().remove(0);
    let domains = case.pair.domains();
    let matching = MeanMatching { part: 25, most: 3.0, ..Default::default() };
    let adapted = fit(Method::MeanMatching(matching), &domains);
    assert_eq!(figure(&adapted, "parts"), 3.0);
    let weights = weights(&adapted);
    assert_close([weights.iter().sum::<f64>()], [weights.len() as f64], Tolerance::Within(1e-9));
    assert!(figure(&adapted, "effective_sample_size") <= weights.len() as f64);
    for wrong in [
        MeanMatching { bound: 1.0, ..Default::default() },
        MeanMatching { gamma: Some(0.0), ..Default::default() },
        MeanMatching { part: 1, ..Default::default() },
        MeanMatching { most: 0.5, ..Default::default() },
    ] {
        assert!(Method::MeanMatching(wrong).fit(&domains, &logistic, &()).is_err());
    }
}
