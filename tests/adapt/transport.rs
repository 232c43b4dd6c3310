//! `make_transport.py`.

use engraft::adapt::{Adapted, JointTransport, Method, SinkhornTransport};
use serde::Deserialize;

use super::close::{Tolerance, assert_close};
use super::{Pair, fit, logistic, trained_on};

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    pair: Pair,
    lpl1: Vec<Moved>,
    jdot: Vec<Joint>,
}

#[derive(Deserialize)]
struct Moved {
    reg: f64,
    class_reg: f64,
    moved: Vec<f64>,
    shares: Vec<f64>,
}

#[derive(Deserialize)]
struct Joint {
    alpha: f64,
    reg: f64,
    /// The shares after each.
    rounds: Vec<Vec<f64>>,
}

fn cases() -> Vec<Case> {
    super::cases(include_str!("../golden/adapt/transport.json"), 2)
}

#[test]
fn rows_are_carried_where_pot_carries_them() {
    for case in cases() {
        let domains = case.pair.domains();
        for want in &case.lpl1 {
            let (reg, class_reg) = (want.reg, want.class_reg);
            let exact =
                SinkhornTransport { reg, class_reg, iterations: 20_000, tolerance: 1e-12, ..Default::default() };
            let adapted = fit(Method::SinkhornTransport(exact), &domains);
            assert_close(trained_on(&adapted, &domains), want.moved.iter().copied(), Tolerance::Within(1e-6));
            assert_close(adapted.labelled.unwrap(), want.shares.iter().copied(), Tolerance::Within(1e-6));
        }
    }
}

#[test]
fn labels_are_carried_where_skada_carries_them() {
    for case in cases() {
        let domains = case.pair.domains();
        for Joint { alpha, reg, rounds } in &case.jdot {
            for (round, want) in rounds.iter().enumerate() {
                let method = JointTransport {
                    alpha: *alpha,
                    reg: *reg,
                    rounds: round + 1,
                    change: 0.0,
                    least: 1e-6,
                    iterations: 20_000,
                    tolerance: 1e-12,
                };
                let adapted: Adapted = Method::JointTransport(method).fit(&domains, &logistic, &()).unwrap();
                // Later rounds hold what heads of two solvers say, ours in f32.
                let tolerance = if round == 0 { 1e-6 } else { 1e-4 };
                assert_close(adapted.labelled.unwrap(), want.iter().copied(), Tolerance::Within(tolerance));
            }
        }
    }
}

#[test]
fn too_little_regularisation_is_said_and_much_of_it_is_survived() {
    let case = cases().remove(0);
    let domains = case.pair.domains();
    for (reg, works) in [(1e-9, false), (1e-2, true), (1e3, true)] {
        let method = SinkhornTransport { reg, ..Default::default() };
        match Method::SinkhornTransport(method).fit(&domains, &logistic, &()) {
            Ok(adapted) => assert!(trained_on(&adapted, &domains).iter().all(|v| v.is_finite())),
            Err(error) => assert!(!works && error.to_string().contains("regularisation is too small"), "{error}"),
        }
    }
}
