//! The measures of a shift on domains whose shift is known.

use engraft::adapt::{Domains, Shift, ShiftOptions};
use ndarray::Array2;

use super::close::{Tolerance, assert_close};
use super::logistic;

/// Two classes that differ by 3 in the first of five features, noise of deviation 1 in all, everything moved by `by` in the last.
fn rows(shares: [usize; 2], seed: u64, by: f32) -> (Array2<f32>, Vec<usize>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let labels: Vec<usize> = (0..2).flat_map(|class| std::iter::repeat_n(class, shares[class])).collect();
    let x = Array2::from_shape_fn((labels.len(), 5), |(i, j)| {
        // The sum of twelve uniform numbers has the variance 1.
        let noise = (0..12).map(|_| rng.f32() - 0.5).sum::<f32>();
        noise + if j == 0 { 3.0 * labels[i] as f32 } else { 0.0 } + if j == 4 { by } else { 0.0 }
    });
    (x, labels)
}

fn measured(source: &(Array2<f32>, Vec<usize>), target: &Array2<f32>) -> Shift {
    let domains = Domains::new(source.0.view(), &source.1, target.view()).unwrap();
    Shift::measure(&domains, &logistic, ShiftOptions { permutations: 99, ..Default::default() }, &()).unwrap()
}

#[test]
fn equal_domains_are_not_told_apart() {
    let (source, (target, _)) = (rows([150, 150], 1, 0.0), rows([150, 150], 2, 0.0));
    let shift = measured(&source, &target);
    let [low, high] = shift.separability.accuracy_interval;
    assert!(low < 0.5 && high > 0.45 && shift.separability.n == 600, "{shift:?}");
    assert!(shift.discrepancy.p_value > 0.05 && !shift.identical, "{shift:?}");
    assert!(shift.label_shift.unwrap() < 0.06, "{shift:?}");
    assert!(measured(&source, &source.0).identical);
}

#[test]
fn moved_domains_are_told_apart_by_how_far_they_moved() {
    let (source, (target, _)) = (rows([150, 150], 1, 0.0), rows([240, 60], 2, 2.0));
    let shift = measured(&source, &target);
    // Two normal distributions at a distance of 2 are told apart with Φ(1) = 0.841.
    let [low, high] = shift.separability.accuracy_interval;
    assert!(low > 0.5 && high > 0.841 && low < 0.9, "{shift:?}");
    assert_eq!(shift.discrepancy.p_value, 0.01);
    assert_close(shift.priors.unwrap(), [0.8, 0.2], Tolerance::Within(0.06));
    assert_close([shift.label_shift.unwrap()], [0.3], Tolerance::Within(0.06));
    for class in shift.classes {
        // By 2 of a length of √5.
        assert_close([class.distance.unwrap()], [2.0 / 5.0_f64.sqrt()], Tolerance::Within(0.2));
    }
}
