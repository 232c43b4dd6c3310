//! `make_subspace.py`.

use std::collections::BTreeMap;

use engraft::adapt::{Dimension, Domains, Linear, Method, SubspaceAlignment, TransferComponents};
use ndarray::{Axis, concatenate};
use serde::Deserialize;

use super::close::{Tolerance, assert_close};
use super::{Pair, cases, fit, logistic, trained_on};

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    pair: Pair,
    dimension: usize,
    alignment: Vec<f64>,
    components: BTreeMap<String, Vec<f64>>,
}

/// The products of all mapped rows are the wanted ones, relative to the greatest.
fn check(method: Method, domains: &Domains, want: &[f64]) {
    let adapted = fit(method, domains);
    let source = trained_on(&adapted, domains);
    let target = adapted.serving.features(domains.target(), &()).unwrap();
    let all = concatenate![Axis(0), source, target].mapv(f64::from);
    let greatest = want.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let want: Vec<f64> = want.iter().map(|v| v / greatest).collect();
    assert_close(all.dot(&all.t()) / greatest, want, Tolerance::Within(1e-6));
}

#[test]
fn mapped_rows_are_the_peers_up_to_signs() {
    for case in cases::<Case>(include_str!("../golden/adapt/subspace.json"), 2) {
        let domains = case.pair.domains();
        let dimension = Dimension::Given(case.dimension);
        check(Method::SubspaceAlignment(SubspaceAlignment { dimension }), &domains, &case.alignment);
        for (mu, want) in &case.components {
            let mu = mu.parse().unwrap();
            check(Method::TransferComponents(TransferComponents { dimension, mu }), &domains, want);
        }
        let too_many = SubspaceAlignment { dimension: Dimension::Given(21) };
        assert!(Method::SubspaceAlignment(too_many).fit(&domains, &logistic, &()).is_err());
    }
}

#[test]
fn the_served_head_says_what_the_fitted_one_says_of_mapped_rows() {
    let case = &cases::<Case>(include_str!("../golden/adapt/subspace.json"), 2)[0];
    let domains = case.pair.domains();
    for method in [
        Method::SubspaceAlignment(SubspaceAlignment::default()),
        Method::TransferComponents(TransferComponents::default()),
    ] {
        let adapted = method.fit(&domains, &logistic, &()).unwrap();
        let fitted: Linear = logistic(adapted.training_set(&domains, &()).unwrap().lesson()).unwrap();
        let features = adapted.serving.features(domains.target(), &()).unwrap();
        let served = adapted.serving.around(&fitted).logits(domains.target());
        assert_close(served, fitted.logits(features.view()), Tolerance::Within(1e-5));
    }
}
