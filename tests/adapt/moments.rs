//! `make_moments.py`.

use std::collections::BTreeMap;

use engraft::adapt::{Coral, LinearTransport, Method, Serving, Shrinkage, Training};
use serde::Deserialize;

use super::close::{Tolerance, assert_close};
use super::{Pair, cases, fit, trained_on};

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    pair: Pair,
    standardize: Option<Vec<f64>>,
    coral: BTreeMap<String, Vec<f64>>,
    linear: BTreeMap<String, Vec<f64>>,
}

#[test]
fn moments_are_the_peers() {
    for case in cases::<Case>(include_str!("../golden/adapt/moments.json"), 3) {
        let domains = case.pair.domains();
        let check = |method: Method, want: &[f64]| {
            let adapted = fit(method, &domains);
            assert!(matches!(adapted.training, Training::Mapped(_)) && adapted.serving == Serving::AsIs);
            assert_close(trained_on(&adapted, &domains), want.iter().copied(), Tolerance::Within(1e-6));
        };
        if let Some(want) = &case.standardize {
            check(Method::Standardize, want);
        }
        for (name, want) in &case.coral {
            let shrinkage = match name.as_str() {
                "ledoit_wolf" => Shrinkage::LedoitWolf,
                "share" => Shrinkage::Share(0.1),
                _ => Shrinkage::None,
            };
            check(Method::Coral(Coral { shrinkage }), want);
        }
        for (ridge, want) in &case.linear {
            let shrinkage = Shrinkage::Ridge(ridge.parse().unwrap());
            check(Method::LinearTransport(LinearTransport { shrinkage }), want);
        }
    }
}
