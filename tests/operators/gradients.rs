//! Back, in f64, against central finite differences.

use engraft::onnx::view;
use engraft::tune::{Array, Value};

use super::cases::cases;
use super::close::{Tolerance, assert_close};
use super::model::{fed, model, program, values};

/// How far a value is moved for a difference: errors of the third order and of rounding are both far below 1e-6.
const STEP: f64 = 1e-5;

/// A number that depends on all float outputs: their sum with weights drawn once.
fn number(outputs: &[Value<f64>]) -> (f64, Vec<Option<Array<f64>>>) {
    let mut random = fastrand::Rng::with_seed(9);
    let mut total = 0.0;
    let mut weights = Vec::new();
    for output in outputs {
        let Value::Real(output) = output else {
            weights.push(None);
            continue;
        };
        let drawn: Vec<f64> = output.values().iter().map(|_| random.f64() - 0.4).collect();
        total += output.values().iter().zip(&drawn).map(|(y, w)| y * w).sum::<f64>();
        weights.push(Some(Array::new(output.dims().to_vec(), drawn).unwrap()));
    }
    (total, weights)
}

#[test]
fn back_is_what_finite_differences_say() {
    let mut compared = 0;
    for case in cases() {
        let view = view(&model(&case));
        let program = program::<f64>(&case, &view);
        let fed = fed(&case);
        let trace = program.record(values(&fed)).unwrap();
        let (_, weights) = number(trace.outputs());
        let gradients = program.backward(trace, weights).unwrap_or_else(|e| panic!("{}: {e}", case.title()));
        for (i, gradient) in gradients.iter().enumerate() {
            if case.flat || case.frozen.contains(&i) {
                continue;
            }
            assert_eq!(gradient.dims(), fed[i].1, "{}", case.title());
            let moved = |place: usize, by: f64| {
                let mut moved = fed.clone();
                moved[i].2[place] += by;
                number(&program.run(values(&moved)).unwrap()).0
            };
            let slope = |place| (moved(place, STEP) - moved(place, -STEP)) / (2.0 * STEP);
            println!("{}, input {i}", case.title());
            assert_close(gradient.values().iter().copied(), (0..fed[i].2.len()).map(slope), Tolerance::Within(1e-6));
            compared += gradient.values().len();
        }
    }
    assert!(compared > 5000, "only {compared} slopes were compared");
}
