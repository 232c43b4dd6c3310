//! Against DINO's rule in numpy: `tests/golden/head/make_knn.py`.

use ndarray::{Axis, array};
use serde::Deserialize;

use super::*;
use crate::close::{Tolerance, assert_close};

#[derive(Deserialize)]
struct Golden {
    train: Vec<usize>,
    test: Vec<usize>,
    cases: Vec<Case>,
    leave_one_out: Vec<(usize, f64)>,
}

#[derive(Deserialize)]
struct Case {
    neighbours: NonZeroUsize,
    predicted: Vec<usize>,
    probabilities: Vec<f64>,
}

#[test]
fn the_vote_is_dinos() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/head/knn.json")).unwrap();
    let (x, labels) = super::super::goldens::digits();
    let (train, test) = (x.select(Axis(0), &golden.train), x.select(Axis(0), &golden.test));
    let labels: Vec<usize> = golden.train.iter().map(|&row| labels[row]).collect();
    for case in &golden.cases {
        let fit = Knn::new().neighbours(Neighbours::Fixed(case.neighbours));
        let head = fit.fit(train.view(), &labels).unwrap().head;
        assert_eq!(head.classify(test.view()).unwrap().to_vec(), case.predicted);
        // The floor of every class, and similarities in f32 divided by T.
        let probabilities = head.probabilities(test.view()).unwrap();
        assert_close(probabilities, case.probabilities.iter().copied(), Tolerance::Within(2e-5));
    }
    let path = Knn::new().fit(train.view(), &labels).unwrap().path;
    assert_eq!(path.iter().map(|p| p.neighbours).collect::<Vec<_>>(), [10, 20, 100, 200]);
    for (point, (neighbours, accuracy)) in path.iter().zip(&golden.leave_one_out) {
        assert_eq!(point.neighbours, *neighbours);
        assert_close([point.accuracy], [*accuracy], Tolerance::Close);
    }
}

#[test]
fn equals_are_taken_by_the_lower_row() {
    let x = array![[1.0_f32, 0.0], [1.0, 0.0], [2.0, 0.0]];
    let head = Head::Knn(KnnHead::new(x.view(), vec![1, 0, 0], 2, 1, 0.07).unwrap());
    assert_eq!(head.classify(array![[3.0, 0.0]].view()).unwrap().to_vec(), [1]);
}

#[test]
fn what_is_no_head_is_refused() {
    let x = array![[1.0_f32, 0.0], [0.0, 1.0]];
    let reason = |labels: &[usize], k, t| KnnHead::new(x.view(), labels.to_vec(), 2, k, t).unwrap_err().to_string();
    assert!(reason(&[0], 1, 0.07).contains("n labels"));
    assert!(reason(&[0, 2], 1, 0.07).contains("row 1 is of class 2"));
    assert!(reason(&[0, 1], 3, 0.07).contains("3 neighbours cannot be had of 2 rows"));
    assert!(reason(&[0, 1], 0, 0.07).contains("0 neighbours"));
    assert!(reason(&[0, 1], 1, f32::NAN).contains("temperature"));
    assert!(matches!(Knn::new().temperature(0.0).check(), Err(Error::Usage(_))));
}

#[test]
fn no_row_is_judged_by_its_own_group() {
    // Three copies of each of 60 rows: left out alone, a row's copies know its class; left out together, nothing does.
    let mut rng = fastrand::Rng::with_seed(4);
    let unique = ndarray::Array2::from_shape_fn((60, 5), |_| rng.f32() - 0.5);
    let groups: Vec<usize> = (0..180).map(|row| row / 3).collect();
    let x = unique.select(Axis(0), &groups);
    let labels: Vec<usize> = groups.iter().map(|group| group % 4).collect();
    let accuracies =
        |fitted: FittedKnn| fitted.path.into_iter().map(|p| (p.neighbours, p.accuracy)).collect::<Vec<_>>();
    let alone = accuracies(Knn::new().fit(x.view(), &labels).unwrap());
    let apart = accuracies(Knn::new().fit_grouped(x.view(), &labels, &groups).unwrap());
    assert_eq!(apart.iter().map(|p| p.0).collect::<Vec<_>>(), [10, 20, 100]);
    assert!(alone[0].1 > 0.8 && apart.iter().all(|p| p.1 < 0.6), "{alone:?} {apart:?}");
    // By hand: each row against the rows of the other groups.
    let by_hand = (0..180).filter(|&row| {
        let others: Vec<usize> = (0..180).filter(|&other| groups[other] != groups[row]).collect();
        let theirs: Vec<usize> = others.iter().map(|&other| labels[other]).collect();
        let fixed = Neighbours::Fixed(NonZeroUsize::new(20).unwrap());
        let head = Knn::new().neighbours(fixed).fit(x.select(Axis(0), &others).view(), &theirs).unwrap().head;
        head.classify(x.select(Axis(0), &[row]).view()).unwrap()[0] == labels[row]
    });
    assert_close([apart[1].1], [by_hand.count() as f64 / 180.0], Tolerance::Close);
    let one = Knn::new().fit_grouped(x.view(), &labels, &[7; 180]).unwrap();
    assert_eq!((one.neighbours, one.path.len()), (10, 0));
    assert!(matches!(Knn::new().fit_grouped(x.view(), &labels, &[7]), Err(Error::Mismatch { .. })));
}
