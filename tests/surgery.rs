//! Graphs that were cut, spliced and raised compute what they computed before, in ONNX Runtime.

#[path = "support/close.rs"]
mod close;
#[path = "support/graphs.rs"]
mod graphs;
mod support;

use std::path::Path;

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, Tensor, fold, registry};
use engraft::onnx::{
    Data, DataType, Model, Value, cut, cut_between, cut_sites, dealias, opset, outputs_of_nodes, raise, read_model,
    signature, splice, write_model,
};
use graphs::{Values, assert_cut, assert_same, point, port, runtime};

/// A backbone's file, its output, and what is fed to it.
struct Subject {
    name: &'static str,
    model: Model,
    output: String,
}

fn subjects() -> Vec<Subject> {
    let names = ["efficientnet-lite0", "efficientnet-lite2", "vit-s14", "all-minilm-l6-v2", "all-minilm-l6-v2-int8"];
    let subject = |name| {
        let backbone = registry::resolve(name, &Default::default(), &support::home(), &()).unwrap();
        Subject { name, model: read_model(&backbone.model).unwrap(), output: backbone.output.tensor }
    };
    names.map(subject).into_iter().collect()
}

/// What a model gives for one and the same input.
fn run(model: &Model, subject: &Subject, path: &Path) -> Vec<f32> {
    write_model(model, path).unwrap();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    let options = SessionOptions::new(Device::Only(Provider::Cpu), 2);
    let mut session = Session::open(runtime, path, &subject.output, &options).unwrap().0;
    let names: Vec<String> = session.inputs().iter().map(|input| input.name.clone()).collect();
    if let [image] = &names[..] {
        let size = if subject.name.ends_with("lite2") { 260 } else { 224 };
        let mut random = fastrand::Rng::with_seed(3);
        let pixels: Vec<f32> = (0..3 * size * size).map(|_| 2.0 * random.f32() - 1.0).collect();
        return session.run(&[(image, Tensor::F32(&[1, 3, size, size], &pixels))]).unwrap().1;
    }
    let ids = [101, 2023, 2003, 2019, 2742, 6251, 102, 0, 101, 2054, 1037, 8403, 2154, 2651, 999, 102];
    let values = |name: &String| -> Vec<i64> {
        match name.as_str() {
            "input_ids" => ids.to_vec(),
            "attention_mask" => ids.iter().map(|&id| i64::from(id != 0)).collect(),
            _ => vec![0; ids.len()],
        }
    };
    let fed: Vec<Vec<i64>> = names.iter().map(values).collect();
    let inputs: Vec<(&str, Tensor)> =
        names.iter().zip(&fed).map(|(name, values)| (name.as_str(), Tensor::I64(&[2, 8], values))).collect();
    session.run(&inputs).unwrap().1
}

/// The front up to a tensor and the back from it on, spliced, are the whole: at tensors drawn at random. What the back reads of
/// before the tensor it computes again from the shared inputs.
#[test]
fn front_and_back_are_the_whole_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let mut random = fastrand::Rng::with_seed(5);
    for subject in subjects() {
        let whole = cut(subject.model.clone(), &[point(&subject.output)], subject.name).unwrap();
        let expected = run(&whole, &subject, &path);
        assert_close(run(&subject.model, &subject, &path), expected.iter().copied(), Tolerance::Exact);
        let inner: Vec<String> =
            whole.graph.iter().flat_map(|g| &g.node).flat_map(|n| n.output.clone()).filter(|t| !t.is_empty()).collect();
        for _ in 0..6 {
            let tensor = &inner[random.usize(..inner.len())];
            if *tensor == subject.output {
                continue;
            }
            let front = cut(whole.clone(), &[point(tensor)], subject.name).unwrap();
            let back = cut_between(whole.clone(), &[port(tensor)], &[point(&subject.output)], subject.name).unwrap();
            let nodes = |model: &Model| model.graph.as_ref().unwrap().node.len();
            assert!(nodes(&front) + nodes(&back) >= nodes(&whole), "{tensor}");
            let joined = splice(front, back, &[(tensor, tensor)], subject.name).unwrap();
            let got = run(&joined, &subject, &path);
            println!("{} at {tensor}", subject.name);
            assert_close(got, expected.iter().copied(), Tolerance::Approximate);
        }
    }
}

#[test]
fn newer_operators_give_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for subject in subjects() {
        let expected = run(&subject.model, &subject, &path);
        for to in [18, 21] {
            let raised = raise(subject.model.clone(), to, subject.name).unwrap();
            assert_eq!(opset(&raised), to.max(opset(&subject.model)));
            assert_close(run(&raised, &subject, &path), expected.iter().copied(), Tolerance::Approximate);
        }
        let error = raise(subject.model.clone(), 99, subject.name).unwrap_err().to_string();
        assert!(error.contains("onnx.version_converter"), "{error}");
    }
}

/// The same input as [`run`] feeds, for models that are cut anywhere.
fn values(subject: &Subject) -> Values {
    let size = if subject.name.ends_with("lite2") { 260 } else { 224 };
    let mut random = fastrand::Rng::with_seed(3);
    let ids = [101_i64, 2023, 2003, 2019, 2742, 6251, 102, 0, 101, 2054, 1037, 8403, 2154, 2651, 999, 102];
    let mut value = |name: &str| {
        let integers = |values: Vec<i64>| Value {
            element: DataType::Int64,
            dims: vec![2, 8],
            data: Data::Numbers(values.into_iter().flat_map(i64::to_le_bytes).collect()),
        };
        match name {
            "input_ids" => integers(ids.to_vec()),
            "attention_mask" => integers(ids.iter().map(|&id| i64::from(id != 0)).collect()),
            "token_type_ids" => integers(vec![0; 16]),
            _ => Value {
                element: DataType::Float,
                dims: vec![1, 3, size, size],
                data: Data::Numbers(
                    (0..3 * size * size).flat_map(|_| (2.0 * random.f32() - 1.0).to_le_bytes()).collect(),
                ),
            },
        }
    };
    let names: Vec<String> = signature(&subject.model).inputs.into_iter().map(|port| port.name).collect();
    names.into_iter().map(|name| (name.clone(), Some(value(&name)))).collect()
}

/// Every tensor that is named as a place to cut is one: with its companions it is all that the part behind takes.
#[test]
fn backbones_can_be_cut_where_it_is_said() {
    let mut random = fastrand::Rng::with_seed(13);
    for subject in subjects() {
        let inputs = values(&subject);
        let want = graphs::run(&subject.model, &inputs).unwrap();
        let folded = fold(runtime(), subject.model.clone(), subject.name, 2).unwrap();
        assert_same(&graphs::run(&folded, &inputs).unwrap(), &want, Tolerance::Approximate);
        let mut sites = cut_sites(&folded).unwrap();
        println!("{}: {} places to cut", subject.name, sites.len());
        assert!(sites.len() >= 12, "{} has {}", subject.name, sites.len());
        random.shuffle(&mut sites);
        for site in &sites[..3] {
            println!("{} at {} with {:?}", subject.name, site.tensor, site.companions);
            assert!(assert_cut(&folded, site, &inputs, &want, Tolerance::Within(1e-4)));
        }
    }
}

#[test]
fn nodes_with_constants_of_their_own_compute_the_same() {
    for subject in subjects() {
        let inputs = values(&subject);
        let want = graphs::run(&subject.model, &inputs).unwrap();
        let all: std::collections::HashSet<&str> = outputs_of_nodes(&subject.model).collect();
        let own = dealias(subject.model.clone(), &all);
        assert_same(&graphs::run(&own, &inputs).unwrap(), &want, Tolerance::Exact);
    }
}
