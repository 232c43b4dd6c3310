//! `make_label_shift.py`, and the whole way from features.

use engraft::adapt::{Domains, LabelShift, Method, PriorEstimator, black_box_priors, likeliest_priors};
use ndarray::{Array2, Axis};
use serde::Deserialize;

use super::close::{Tolerance, assert_close};
use super::{cases, logistic};

#[derive(Deserialize)]
struct Case {
    priors: Vec<f64>,
    probabilities: Vec<f64>,
    joint: Vec<f64>,
    predicted: Vec<f64>,
    em: Vec<f64>,
    bbse: Vec<f64>,
}

#[test]
fn priors_are_the_formulas() {
    for case in cases::<Case>(include_str!("../golden/adapt/label_shift.json"), 3) {
        let probabilities = Array2::from_shape_vec((case.probabilities.len() / 4, 4), case.probabilities).unwrap();
        let found = likeliest_priors(&case.priors, probabilities.view()).unwrap();
        assert_close(found.shares, case.em, Tolerance::Within(1e-6));
        assert!(found.gap < 1e-6, "{}", found.gap);
        let joint = Array2::from_shape_vec((4, 4), case.joint).unwrap();
        assert_close(black_box_priors(&joint, &case.predicted).unwrap(), case.bbse, Tolerance::Within(1e-6));
    }
}

/// Three overlapping classes of two features, in these shares.
fn drawn(shares: [usize; 3], seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let labels: Vec<usize> = (0..3).flat_map(|class| std::iter::repeat_n(class, shares[class])).collect();
    // A sum of uniform numbers is normal enough.
    let mut noise = || (0..6).map(|_| rng.f32() - 0.5).sum::<f32>();
    let centres = [[0.0, 0.0], [1.2, 0.0], [0.0, 1.2]];
    let x = Array2::from_shape_fn((labels.len(), 2), |(i, j)| centres[labels[i]][j] + noise());
    (x, labels)
}

#[test]
fn shares_are_found_and_correct_the_head() {
    let (source, labels) = drawn([400, 400, 400], 1);
    let (target, truth) = drawn([900, 90, 210], 2);
    let domains = Domains::new(source.view(), &labels, target.view()).unwrap();
    let plain = Method::Unadapted.fit(&domains, &logistic, &()).unwrap();
    let right = |head: &engraft::adapt::Linear| {
        let p = head.probabilities(target.view());
        let best = |row: ndarray::ArrayView1<f64>| (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        p.axis_iter(Axis(0)).zip(&truth).filter(|(row, label)| best(*row) == **label).count()
    };
    let before = right(&plain.served(&domains, &logistic, &()).unwrap());
    for estimator in [PriorEstimator::BlackBox, PriorEstimator::Likelihood] {
        let adapted = Method::LabelShift(LabelShift::new(estimator)).fit(&domains, &logistic, &()).unwrap();
        assert_close(adapted.priors.clone().unwrap(), [0.75, 0.075, 0.175], Tolerance::Within(0.05));
        let head = adapted.served(&domains, &logistic, &()).unwrap();
        assert!(right(&head) > before + 50, "{} against {before} of {}", right(&head), truth.len());
        let want = adapted.labelled.unwrap();
        assert_close(head.probabilities(target.view()), want, Tolerance::Within(1e-5));
    }
}
