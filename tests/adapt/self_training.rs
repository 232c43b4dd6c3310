//! `make_self_training.py`.

use engraft::adapt::{Domains, LabelSpreading, Method, PseudoLabels, Training};
use serde::Deserialize;

use super::close::{Tolerance, assert_close};
use super::{Pair, fit, logistic};

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    pair: Pair,
    pseudo: Vec<PseudoCase>,
    spreading: Vec<SpreadingCase>,
}

#[derive(Deserialize)]
struct PseudoCase {
    threshold: f64,
    rounds: usize,
    /// −1 where there is none.
    labels: Vec<i64>,
    probabilities: Vec<f64>,
}

#[derive(Deserialize)]
struct SpreadingCase {
    neighbours: usize,
    alpha: f64,
    iterations: usize,
    tolerance: f64,
    probabilities: Vec<f64>,
}

fn cases() -> Vec<Case> {
    super::cases(include_str!("../golden/adapt/self_training.json"), 2)
}

#[test]
fn pseudo_labels_are_scikit_learns() {
    for case in cases() {
        let domains = case.pair.domains();
        for want in &case.pseudo {
            let method = PseudoLabels { threshold: want.threshold, share: 1.0, rounds: want.rounds };
            let adapted = Method::PseudoLabels(method).fit(&domains, &logistic, &()).unwrap();
            let Training::Rows { labels, .. } = &adapted.training else { panic!("{adapted:?}") };
            let given: Vec<usize> = want.labels.iter().filter_map(|&label| usize::try_from(label).ok()).collect();
            assert_eq!(labels[domains.labels().len()..], given);
            let head = adapted.served(&domains, &logistic, &()).unwrap();
            let said = head.probabilities(domains.target());
            // The heads are fitted by other solvers.
            assert_close(said, want.probabilities.iter().copied(), Tolerance::Within(1e-4));
        }
    }
}

#[test]
fn a_share_keeps_an_easy_class_from_drowning_the_others() {
    let case = cases().remove(0);
    let domains = case.pair.domains();
    let given = |share: f64| {
        let method = PseudoLabels { threshold: 0.0, share, rounds: 1 };
        let adapted = Method::PseudoLabels(method).fit(&domains, &logistic, &()).unwrap();
        let Training::Rows { labels, .. } = adapted.training else { unreachable!() };
        (0..4).map(|c| labels[domains.labels().len()..].iter().filter(|&&l| l == c).count()).collect::<Vec<_>>()
    };
    let (all, half) = (given(1.0), given(0.5));
    assert_eq!(all.iter().sum::<usize>(), domains.target().nrows());
    assert_eq!(half, all.iter().map(|n| n.div_ceil(2)).collect::<Vec<_>>());
}

#[test]
fn spread_labels_are_scikit_learns() {
    for case in cases() {
        let domains: Domains = case.pair.domains();
        for want in &case.spreading {
            let SpreadingCase { neighbours, alpha, iterations, tolerance, .. } = *want;
            let method = LabelSpreading { neighbours, alpha, iterations, tolerance };
            let adapted = fit(Method::LabelSpreading(method), &domains);
            let got = adapted.labelled.unwrap();
            assert_close(got, want.probabilities.iter().copied(), Tolerance::Within(1e-6));
        }
    }
}
