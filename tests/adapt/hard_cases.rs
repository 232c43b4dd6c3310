//! What users will try.

use engraft::adapt::{Coral, Domains, Group, LinearTransport, Method, Shrinkage};
use ndarray::{Array2, s};

use super::{logistic, trained_on};

/// Two classes of four features that differ in the first; in the target they lie elsewhere.
fn rows(n: usize, seed: u64, shift: f32) -> (Array2<f32>, Vec<usize>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let labels: Vec<usize> = (0..n).map(|i| i % 2).collect();
    let x =
        Array2::from_shape_fn((n, 4), |(i, j)| rng.f32() + shift + if j == 0 { 3.0 * labels[i] as f32 } else { 0.0 });
    (x, labels)
}

#[test]
fn identical_domains_stay_as_they_are() {
    let (x, labels) = rows(40, 1, 0.0);
    let domains = Domains::new(x.view(), &labels, x.view()).unwrap();
    let plain = Method::Unadapted.fit(&domains, &logistic, &()).unwrap().served(&domains, &logistic, &()).unwrap();
    // Those of the test time build heads of another kind, without an intercept or with spheres for classes.
    for method in Method::all().into_iter().filter(|method| method.group() != Group::TestTime) {
        let head = method.fit(&domains, &logistic, &()).unwrap().served(&domains, &logistic, &()).unwrap();
        let (got, want) = (head.probabilities(x.view()), plain.probabilities(x.view()));
        for (row, (got, want)) in got.rows().into_iter().zip(want.rows()).enumerate() {
            assert_eq!(got[1] > 0.5, want[1] > 0.5, "{} changes row {row}", method.name());
        }
    }
}

#[test]
fn one_target_row_is_refused_in_words_or_survived() {
    let (x, labels) = rows(40, 1, 0.0);
    let target = x.slice(s![..1, ..]);
    let domains = Domains::new(x.view(), &labels, target).unwrap();
    for method in Method::all() {
        match method.fit(&domains, &logistic, &()) {
            Ok(adapted) => {
                let head = adapted.served(&domains, &logistic, &()).unwrap();
                assert!(head.probabilities(target).iter().all(|p| p.is_finite()), "{}", method.name());
            }
            Err(error) => assert!(error.to_string().contains("needs two rows"), "{}: {error}", method.name()),
        }
    }
}

#[test]
fn fewer_rows_than_columns_and_constant_columns_work_by_default() {
    let (source, labels) = rows(12, 1, 0.0);
    let (target, _) = rows(7, 2, 0.5);
    let widened = |x: &Array2<f32>| {
        let mut wide = Array2::from_elem((x.nrows(), 30), 0.25);
        wide.slice_mut(s![.., ..4]).assign(x);
        for i in 0..x.nrows() {
            wide[[i, 4 + i]] = 0.5;
        }
        wide
    };
    let (source, target) = (widened(&source), widened(&target));
    let domains = Domains::new(source.view(), &labels, target.view()).unwrap();
    for method in Method::all() {
        let adapted = method.fit(&domains, &logistic, &()).unwrap_or_else(|e| panic!("{}: {e}", method.name()));
        assert!(trained_on(&adapted, &domains).iter().all(|v| v.is_finite()), "{}", method.name());
        let head = adapted.served(&domains, &logistic, &()).unwrap();
        assert!(head.probabilities(target.view()).iter().all(|p| p.is_finite()), "{}", method.name());
    }
    let shrinkage = Shrinkage::None;
    for method in [Method::Coral(Coral { shrinkage }), Method::LinearTransport(LinearTransport { shrinkage })] {
        let error = method.fit(&domains, &logistic, &()).unwrap_err().to_string();
        assert!(error.contains("with shrinkage"), "{error}");
    }
}

#[test]
fn a_class_that_is_absent_in_the_target_does_no_harm() {
    let (source, labels) = rows(60, 1, 0.0);
    let (target, truth) = rows(60, 2, 0.0);
    let there: Vec<usize> = (0..60).filter(|&row| truth[row] == 0).collect();
    let target = target.select(ndarray::Axis(0), &there);
    let domains = Domains::new(source.view(), &labels, target.view()).unwrap();
    for method in Method::all() {
        let adapted = method.fit(&domains, &logistic, &()).unwrap_or_else(|e| panic!("{}: {e}", method.name()));
        let head = adapted.served(&domains, &logistic, &()).unwrap();
        assert!(head.probabilities(target.view()).iter().all(|p| p.is_finite()), "{}", method.name());
    }
}

#[test]
fn known_target_rows_are_learnt_from() {
    let (source, labels) = rows(40, 1, 0.0);
    let (target, truth) = rows(20, 2, 1.5);
    let known: Vec<(usize, usize)> = (0..6).map(|row| (row, truth[row])).collect();
    let domains = Domains::new(source.view(), &labels, target.view()).unwrap().with_known(&known).unwrap();
    for method in Method::all() {
        let adapted = method.fit(&domains, &logistic, &()).unwrap();
        let set = adapted.training_set(&domains, &()).unwrap();
        assert_eq!(set.labels.len(), set.x.nrows());
        assert_eq!(set.labels[set.labels.len() - 6..], truth[..6], "{}", method.name());
        assert!(set.weights.is_none_or(|weights| weights.len() == set.labels.len()));
    }
}
