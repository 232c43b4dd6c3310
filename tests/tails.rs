//! Tails of real backbones: they are computed as ONNX Runtime computes them, and differentiated rightly.

#[path = "support/close.rs"]
mod close;
mod support;

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, SessionOptions, Tensor, registry};
use engraft::onnx::{Model, read_model, view};
use engraft::tune::{Also, Array, Program, Role, Tail, Trunk, Value, check_agreement, write_back};

struct Subject {
    name: &'static str,
    cut: &'static str,
    target: &'static str,
    /// Tensors that are trained, and what the tail reads of before.
    weights: usize,
    boundary: &'static [&'static str],
}

const SUBJECTS: [Subject; 3] = [
    Subject {
        name: "all-minilm-l6-v2",
        cut: "layer5",
        target: "last_hidden_state",
        weights: 16,
        boundary: &["layer5", "input_ids", "attention_mask"],
    },
    Subject {
        name: "efficientnet-lite0",
        cut: "block13/add",
        target: "features",
        weights: 14,
        boundary: &["block13/add"],
    },
    Subject {
        name: "vit-s14",
        cut: "/backbone/encoder/layer.10/Add_1_output_0",
        target: "cls",
        weights: 20,
        boundary: &["/backbone/encoder/layer.10/Add_1_output_0"],
    },
];

fn model(subject: &Subject) -> Model {
    let backbone = registry::resolve(subject.name, &Default::default(), &support::home(), &()).unwrap();
    read_model(&backbone.model).unwrap()
}

/// The boundary of a small batch, and the target as ONNX Runtime computes it from the same inputs.
fn computed(model: &Model, tail: &Tail) -> (Vec<Value<f32>>, Array<f32>) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    let options = SessionOptions::new(Device::Only(Provider::Cpu), 2);
    let mut trunk =
        Trunk::open(model, tail, Also::Target, &folder.path().join("trunk.onnx"), runtime, &options).unwrap();
    let inputs = engraft::onnx::signature(model).inputs;
    let passed = if let [image] = &inputs[..] {
        let mut random = fastrand::Rng::with_seed(3);
        let pixels: Vec<f32> = (0..2 * 3 * 224 * 224).map(|_| 2.0 * random.f32() - 1.0).collect();
        trunk.run(&[(&image.name, Tensor::F32(&[2, 3, 224, 224], &pixels))]).unwrap()
    } else {
        let ids = [101, 2023, 2003, 2019, 2742, 6251, 102, 0, 101, 2054, 1037, 8403, 2154, 2651, 999, 102];
        let mask = ids.map(|id| i64::from(id != 0));
        let values = |name: &str| match name {
            "input_ids" => ids,
            "attention_mask" => mask,
            _ => [0; 16],
        };
        let fed: Vec<[i64; 16]> = inputs.iter().map(|port| values(&port.name)).collect();
        let named: Vec<(&str, Tensor)> =
            inputs.iter().zip(&fed).map(|(port, ids)| (port.name.as_str(), Tensor::I64(&[2, 8], ids))).collect();
        trunk.run(&named).unwrap()
    };
    (passed.boundary, passed.target.unwrap())
}

fn names(tail: &Tail) -> Vec<&str> {
    tail.weights().iter().map(|weight| weight.name.as_str()).collect()
}

fn wide(values: &[Value<f32>]) -> Vec<Value<f64>> {
    let value = |value: &Value<f32>| match value {
        Value::Real(array) => {
            Array::new(array.dims().to_vec(), array.values().iter().map(|&v| v.into()).collect()).unwrap().into()
        }
        Value::Int(array) => Value::Int(array.clone()),
        Value::Bool(array) => Value::Bool(array.clone()),
    };
    values.iter().map(value).collect()
}

/// A sum of the output with weights drawn once.
fn drawn(dims: &[usize]) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(9);
    (0..dims.iter().product()).map(|_| random.f64() - 0.5).collect()
}

fn number(program: &Program<f64>, boundary: &[Value<f64>]) -> f64 {
    let outputs = program.run(boundary.to_vec()).unwrap();
    let Value::Real(output) = &outputs[0] else { panic!("floats") };
    output.values().iter().zip(drawn(output.dims())).map(|(y, w)| y * w).sum()
}

#[test]
fn tails_are_those_of_onnx_runtime_and_their_gradients_those_of_the_tail() {
    for subject in &SUBJECTS {
        let model = model(subject);
        let tail = Tail::find(view(&model), subject.cut, subject.target, subject.name).unwrap();
        println!("{}: {:?} {:#?}", subject.name, tail.boundary(), tail.weights());
        let mut boundary = tail.boundary().to_vec();
        boundary.sort();
        let mut expected = subject.boundary.to_vec();
        expected.sort_unstable();
        assert_eq!(boundary, expected, "{}", subject.name);
        assert_eq!(tail.weights().len(), subject.weights, "{}", subject.name);
        assert_eq!(tail.shared(), [""; 0], "{}", subject.name);

        let (boundary, target) = computed(&model, &tail);
        let program = tail.program::<f32>(&names(&tail)).unwrap();
        let apart = check_agreement(&program, boundary.clone(), &target).unwrap();
        println!("{}: {apart:e} from ONNX Runtime", subject.name);

        let weights = drawn(target.dims());
        let narrow = weights.iter().map(|&w| w as f32).collect();
        let trace = program.record(boundary.clone()).unwrap();
        let own = program.backward(trace, vec![Some(Array::new(target.dims().to_vec(), narrow).unwrap())]).unwrap();

        let mut precise = tail.program::<f64>(&names(&tail)).unwrap();
        let boundary = wide(&boundary);
        let trace = precise.record(boundary.clone()).unwrap();
        let exact = precise.backward(trace, vec![Some(Array::new(target.dims().to_vec(), weights).unwrap())]).unwrap();
        for (i, (own, exact)) in own.iter().zip(&exact).enumerate() {
            let greatest = exact.values().iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            let scaled = |g: f64| g / greatest;
            println!("{}: greatest {greatest:e}", tail.weights()[i].name);
            // A gradient that is zero but for rounding has no scale of its own: the bias of keys, which softmax does not see.
            if greatest > 1e-9 {
                let own = own.values().iter().map(|&g| scaled(g.into()));
                assert_close(own, exact.values().iter().map(|&g| scaled(g)), Tolerance::Within(1e-5));
            }
            // Along a direction, drawn for each tensor: a whole tensor in two runs.
            let mut random = fastrand::Rng::with_seed(i as u64);
            let direction: Vec<f64> = exact.values().iter().map(|_| random.f64() - 0.5).collect();
            let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
            let mut moved = |by: f64| {
                let leaf = precise.leaves_mut()[i].values_mut().unwrap().values_mut();
                leaf.iter_mut().zip(&direction).for_each(|(v, d)| *v += by * d / length);
                number(&precise, &boundary)
            };
            let (step, up) = (1e-5, moved(1e-5));
            let down = moved(-2.0 * step);
            moved(step);
            let slope = exact.values().iter().zip(&direction).map(|(g, d)| g * d / length).sum::<f64>();
            assert_close([slope], [(up - down) / (2.0 * step)], Tolerance::Within(1e-5));
        }
    }
}

/// What tests/golden/tune/make_gradients.py gives a tail for one of its inputs.
fn written_down(name: &str, cut: &str, golden: &serde_json::Value) -> Value<f32> {
    let numbers = |value: &serde_json::Value| value.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
    let tokens = |values| Value::Int(Array::new(vec![2, 8], values).unwrap());
    match name {
        _ if name == cut => {
            let dims: Vec<i64> = numbers(&golden["tails"]["shape"]);
            let dims: Vec<usize> = dims.into_iter().map(|d| d as usize).collect();
            let scale = golden["tails"]["scale"].as_f64().unwrap();
            let values = (0..dims.iter().product()).map(|i: usize| (scale * (0.37 * i as f64).sin()) as f32).collect();
            Array::new(dims, values).unwrap().into()
        }
        "attention_mask" => tokens(numbers(&golden["mask"])),
        _ => tokens(vec![7; 16]),
    }
}

#[test]
fn gradients_are_those_of_torch() {
    let golden = std::fs::read(support::golden("tune/gradients.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    for subject in &SUBJECTS {
        let mut golden = golden.clone();
        golden["tails"] = golden["tails"][subject.name].take();
        let known = &golden["tails"]["gradients"];
        let number = |value: &serde_json::Value| value.as_f64().unwrap();
        let model = model(subject);
        let tail = Tail::find(view(&model), subject.cut, subject.target, subject.name).unwrap();
        let program = tail.program::<f32>(&names(&tail)).unwrap();
        let boundary = tail.boundary().iter().map(|name| written_down(name, subject.cut, &golden)).collect();
        let trace = program.record(boundary).unwrap();
        let dims = trace.outputs()[0].dims().to_vec();
        let cosines = |n: usize| (0..n).map(|i| (i as f64).cos());
        let by_output = Array::new(dims.clone(), cosines(dims.iter().product()).map(|c| c as f32).collect()).unwrap();
        let gradients = program.backward(trace, vec![Some(by_output)]).unwrap();
        let all = known.as_object().unwrap().values().map(|of| number(&of["greatest"])).fold(0.0, f64::max);
        for (weight, gradient) in tail.weights().iter().zip(&gradients) {
            let own: Vec<f64> = gradient.values().iter().map(|&g| g.into()).collect();
            let torch = &known[&weight.name];
            assert_eq!(torch["size"], own.len(), "{}: {}", subject.name, weight.name);
            // What is zero but for rounding has no scale of its own: the bias of keys, which softmax does not see.
            let scale = |key: &str| Some(number(&torch[key])).filter(|scale| *scale > 1e-6 * all).unwrap_or(all);
            let (greatest, length) = (scale("greatest"), scale("length"));
            let summed = [
                own.iter().fold(0.0_f64, |m, g| m.max(g.abs())) / greatest,
                own.iter().map(|g| g * g).sum::<f64>().sqrt() / length,
                own.iter().zip(cosines(own.len())).map(|(g, c)| g * c).sum::<f64>() / length,
            ];
            let want = [("greatest", greatest), ("length", length), ("with_cosines", length)];
            let want = want.map(|(key, scale)| number(&torch[key]) / scale);
            let apart = summed.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            println!("{}: {}: {apart:.1e} of the greatest {greatest:.1e}", subject.name, weight.name);
            assert_close(summed, want, Tolerance::Within(1e-5));
            let drawn = torch["values"].as_array().unwrap();
            let place = |value: &serde_json::Value| value[0].as_u64().unwrap() as usize;
            let got = drawn.iter().map(|value| own[place(value)] / greatest);
            assert_close(got, drawn.iter().map(|value| number(&value[1]) / greatest), Tolerance::Within(1e-5));
        }
    }
}

#[test]
fn what_was_trained_stands_in_the_model_and_nothing_else_changed() {
    let subject = &SUBJECTS[0];
    let before = model(subject);
    let tail = Tail::find(view(&before), subject.cut, subject.target, subject.name).unwrap();
    let mut program = tail.program::<f32>(&names(&tail)).unwrap();
    for leaf in program.leaves_mut() {
        leaf.values_mut().unwrap().values_mut().iter_mut().for_each(|v| *v *= 1.01);
    }
    let mut after = before.clone();
    write_back(&mut after, &program, &[], subject.name).unwrap();
    let (boundary, target) = computed(&after, &tail);
    check_agreement(&program, boundary.clone(), &target).unwrap();
    let (same, other) = computed(&before, &tail);
    assert_eq!(boundary, same);
    assert!(check_agreement(&program, same, &other).unwrap_err().to_string().contains("e-"));
    program.leaves_mut()[0].values_mut().unwrap().values_mut()[0] = f32::NAN;
    assert!(write_back(&mut after, &program, &[], subject.name).unwrap_err().to_string().contains("no numbers"));
}

#[test]
fn cuts_that_lead_nowhere_are_refused() {
    let subject = &SUBJECTS[1];
    let model = model(subject);
    let reason = |cut, target| Tail::find(view(&model), cut, target, "m").unwrap_err().to_string();
    assert!(reason("nowhere", "features").contains("no tensor nowhere"));
    assert!(reason("features", "block13/add").contains("does not depend on features"));
    assert!(reason("head/weight", "features").contains("head/weight"));
}

/// Its matrices are computed from integers when it is loaded: there is no float of theirs that could be written back.
#[test]
fn of_weights_that_are_stored_as_integers_no_matrix_is_trained() {
    let int8 = registry::resolve("all-minilm-l6-v2-int8", &Default::default(), &support::home(), &()).unwrap();
    let view = view(&read_model(&int8.model).unwrap());
    let mut norms = view.nodes.iter().rev().filter(|node| node.op == "LayerNormalization");
    let (cut, target) = (norms.nth(2).unwrap().outputs[0].clone(), view.outputs[0].clone());
    let tail = Tail::find(view, &cut, &target, "int8").unwrap();
    assert_eq!(tail.weights().len(), 10);
    assert!(tail.weights().iter().all(|weight| weight.role != Role::Weight), "{:?}", tail.weights());
}
