//! `make_test_time.py`.

use engraft::adapt::{Adapted, Centroids, Domains, Lesson, Linear, Method, Prototypes, Serving, Templates};
use ndarray::{Array1, Array2, Axis};
use serde::Deserialize;

use super::Pair;
use super::close::{Tolerance, assert_close};

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    pair: Pair,
    weights: Vec<f32>,
    intercepts: Vec<f32>,
    templates: Vec<TemplateCase>,
    centroids: Vec<CentroidCase>,
    prototypes: Vec<PrototypeCase>,
}

#[derive(Deserialize)]
struct TemplateCase {
    supports: Option<usize>,
    weights: Vec<f64>,
    predicted: Vec<usize>,
}

#[derive(Deserialize)]
struct CentroidCase {
    entropy: f64,
    centroids: Vec<f64>,
    predicted: Vec<usize>,
}

#[derive(Deserialize)]
struct PrototypeCase {
    rounds: usize,
    scale: f64,
    prototypes: Vec<f64>,
}

impl Case {
    /// The head that the script starts from.
    fn head(&self) -> Linear {
        let weights = Array2::from_shape_vec((self.intercepts.len(), self.pair.columns), self.weights.clone()).unwrap();
        Linear { weights: weights.reversed_axes(), intercepts: self.intercepts.clone().into() }
    }
}

fn cases() -> Vec<Case> {
    super::cases(include_str!("../golden/adapt/test_time.json"), 2)
}

/// The head that serves, as K rows of d weights and the intercept.
fn served(adapted: &Adapted) -> Array2<f64> {
    let Serving::Head(head) = &adapted.serving else { panic!("{adapted:?}") };
    let mut rows = head.weights.t().mapv(f64::from);
    rows.push_column(head.intercepts.mapv(f64::from).view()).unwrap();
    rows
}

fn predicted(adapted: &Adapted) -> Vec<usize> {
    let said = adapted.labelled.as_ref().unwrap();
    let best = |row: ndarray::ArrayView1<f64>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    said.axis_iter(Axis(0)).map(best).collect()
}

/// Both divided by their lengths, row by row; a wanted row of zeros is a class without rows, which `predicted` has not.
fn same_directions(got: &Array2<f64>, want: &Array2<f64>) {
    let there: Vec<usize> = (0..want.nrows()).filter(|&row| want.row(row).iter().any(|v| *v != 0.0)).collect();
    assert!(!there.is_empty());
    let (got, want) = (&got.select(Axis(0), &there), &want.select(Axis(0), &there));
    let unit = |rows: &Array2<f64>| rows / &rows.map_axis(Axis(1), |row| row.dot(&row).sqrt()).insert_axis(Axis(1));
    assert_close(unit(got), unit(want), Tolerance::Within(1e-6));
}

fn fit(case: &Case, method: Method, domains: &Domains) -> Adapted {
    let learn = |lesson: Lesson| {
        assert_eq!(lesson.x, domains.source());
        Ok(case.head())
    };
    method.fit(domains, &learn, &()).unwrap()
}

#[test]
fn templates_are_t3as() {
    for case in cases() {
        let domains = case.pair.domains();
        for want in &case.templates {
            let adapted = fit(&case, Method::Templates(Templates { supports: want.supports }), &domains);
            assert_eq!(predicted(&adapted), want.predicted);
            let mut templates =
                Array2::from_shape_vec((case.intercepts.len(), case.pair.columns), want.weights.clone()).unwrap();
            templates.push_column(Array1::zeros(case.intercepts.len()).view()).unwrap();
            same_directions(&served(&adapted), &templates);
        }
    }
}

#[test]
fn centroids_are_shots() {
    for case in cases() {
        let domains = case.pair.domains();
        for want in &case.centroids {
            let adapted = fit(&case, Method::Centroids(Centroids { entropy: want.entropy, rounds: 1 }), &domains);
            assert_eq!(predicted(&adapted), want.predicted);
            let shape = (case.intercepts.len(), case.pair.columns + 1);
            same_directions(&served(&adapted), &Array2::from_shape_vec(shape, want.centroids.clone()).unwrap());
        }
    }
}

#[test]
fn prototypes_are_the_formulas() {
    for case in cases() {
        let domains = case.pair.domains();
        for want in &case.prototypes {
            let method = Prototypes { rounds: want.rounds, scale: Some(want.scale), source: 1.0 };
            let adapted = fit(&case, Method::Prototypes(method), &domains);
            let got = served(&adapted);
            let want =
                Array2::from_shape_vec((case.intercepts.len(), case.pair.columns), want.prototypes.clone()).unwrap();
            let weights = got.slice(ndarray::s![.., ..-1]);
            // The head is 2·f·x·p − f·‖p‖², f being of its confidence alone.
            let f = (&weights * &want).sum() / (2.0 * (&want * &want).sum());
            assert_close((&weights / (2.0 * f)).iter().copied(), want.iter().copied(), Tolerance::Within(1e-6));
            let squares = want.map_axis(Axis(1), |p| p.dot(&p));
            assert_close(got.column(case.pair.columns).mapv(|b| -b / f), squares, Tolerance::Within(1e-6));
        }
    }
}

#[test]
fn a_new_head_is_as_confident_as_the_old_one() {
    let case = cases().remove(0);
    let domains = case.pair.domains();
    let mean = |p: &Array2<f64>| p.map_axis(Axis(1), |row| row.iter().copied().fold(0.0, f64::max)).mean().unwrap();
    let want = mean(&case.head().probabilities(domains.target()));
    for method in [
        Method::Templates(Templates::default()),
        Method::Centroids(Centroids::default()),
        Method::Prototypes(Prototypes::default()),
    ] {
        let adapted = fit(&case, method, &domains);
        assert_close([mean(adapted.labelled.as_ref().unwrap())], [want], Tolerance::Within(1e-6));
    }
}
