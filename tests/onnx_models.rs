//! Surgery on the test models of the onnx package: what ONNX Runtime loads it loads again, and the model computes what it did.

#[path = "support/close.rs"]
mod close;
#[path = "support/graphs.rs"]
mod graphs;
mod support;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use close::Tolerance;
use engraft::backbone::fold;
use engraft::onnx::proto::TensorProto;
use engraft::onnx::{
    Data, DataType, Dimension, Model, Value, cut_sites, dealias, encoded, outputs_of_nodes, read_model, signature,
    write_model,
};
use graphs::{Values, assert_cut, assert_same, run, runtime};
use prost::Message;
use support::{PEERS, python, python_packages};

/// Of the package's models without weights these would have hundreds of megabytes of them.
const LARGE: [&str; 4] = ["light_bvlc_alexnet", "light_vgg19", "light_zfnet512", "light_resnet50"];

struct Case {
    name: String,
    path: PathBuf,
    inputs: Vec<Value>,
}

impl Case {
    /// By the names that the model gives its inputs.
    fn named(&self, model: &Model) -> Values {
        let ports = signature(model).inputs;
        ports.iter().map(|port| port.name.clone()).zip(self.inputs.iter().cloned().map(Some)).collect()
    }
}

/// The package's models with their inputs, by name: operators, converted modules, whole networks.
fn cases() -> Vec<Case> {
    let package = python_packages(&PEERS).join("onnx/backend/test/data");
    let operators = support::cache().join("onnx-operators");
    let lock = support::home().lock("onnx-operators", &()).unwrap();
    if !operators.is_dir() {
        let staged = engraft::file::AtomicFolder::create(&operators).unwrap();
        python(&PEERS, include_str!("golden/onnx/write_node_tests.py"), &[staged.staging()]);
        staged.commit().unwrap();
    }
    drop(lock);
    let mut cases = Vec::new();
    for folder in
        [&operators, &package.join("simple"), &package.join("pytorch-converted"), &package.join("pytorch-operator")]
    {
        for path in support::sorted(folder).into_iter().filter(|path| path.join("model.onnx").is_file()) {
            let inputs = support::sorted(&path.join("test_data_set_0"));
            let mut inputs: Vec<PathBuf> = inputs.into_iter().filter(|p| name(p).starts_with("input_")).collect();
            inputs.sort_by_key(|path| (name(path).len(), name(path)));
            let read = |path: &PathBuf| Value::of(&TensorProto::decode(&*std::fs::read(path).ok()?).ok()?).ok();
            // Inputs that are sequences are no tensors.
            let Some(inputs) = inputs.iter().map(read).collect() else { continue };
            cases.push(Case { name: name(&path), path: path.join("model.onnx"), inputs });
        }
    }
    for path in
        support::sorted(&package.join("light")).into_iter().filter(|p| p.extension().is_some_and(|e| e == "onnx"))
    {
        let inputs = signature(&read_model(&path).unwrap()).inputs;
        let inputs = inputs.iter().map(|port| drawn(port.shape.as_deref().unwrap())).collect();
        cases.push(Case { name: path.file_stem().unwrap().to_string_lossy().into_owned(), path, inputs });
    }
    cases
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Floats between −1 and 1.
fn drawn(shape: &[Dimension]) -> Value {
    let size = |dim: &Dimension| if let Dimension::Fixed(n) = dim { *n as usize } else { 1 };
    let dims: Vec<usize> = shape.iter().map(size).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let bytes = (0..dims.iter().product()).flat_map(|_| (2.0 * random.f32() - 1.0).to_le_bytes()).collect();
    Value { element: DataType::Float, dims, data: Data::Numbers(bytes) }
}

/// What ONNX Runtime gives for a case; none where it does not load the model, or gives something else the next time.
fn expected(case: &Case, model: &Model) -> Option<(Values, Values)> {
    let inputs = case.named(model);
    let own = |inputs: &Values| {
        let mut evaluator = engraft::backbone::Evaluator::open(runtime(), &case.path, 1).ok()?;
        let fed: Vec<(&str, &Value)> =
            inputs.iter().filter_map(|(name, v)| Some((name.as_str(), v.as_ref()?))).collect();
        evaluator.run(&fed).ok()
    };
    let values = own(&inputs)?;
    let random =
        model.graph.iter().flat_map(|g| &g.node).any(|node| {
            ["Random", "Bernoulli", "Multinomial", "Dropout"].iter().any(|word| node.op_type().contains(word))
        });
    (!random).then_some((inputs, values))
}

/// What is done to a model, and how often it was something.
struct Check {
    name: &'static str,
    run: fn(&Case, &Model, &Values, &Values, &mut fastrand::Rng) -> usize,
    least: usize,
}

/// Read and written it is the same, to the byte and in what it computes; every tenth goes through a file.
fn round_trip(case: &Case, model: &Model, inputs: &Values, want: &Values, random: &mut fastrand::Rng) -> usize {
    assert_same(&run(model, inputs).unwrap(), want, Tolerance::Exact);
    if random.u8(..10) == 0 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        write_model(model, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), encoded(model).unwrap(), "{}", case.name);
        assert_eq!(encoded(&read_model(&path).unwrap()), encoded(model), "{}", case.name);
    }
    1
}

/// Folded, and with constants of its own for every node, it computes the same.
fn folded(case: &Case, model: &Model, inputs: &Values, want: &Values, _: &mut fastrand::Rng) -> usize {
    let nodes = |model: &Model| outputs_of_nodes(model).count();
    let less = fold(runtime(), model.clone(), &case.name, 1).unwrap();
    let all: HashSet<&str> = outputs_of_nodes(&less).collect();
    let own = dealias(less.clone(), &all);
    if encoded(&own) != encoded(model) {
        assert_same(&run(&own, inputs).unwrap(), want, Tolerance::Exact);
    }
    usize::from(nodes(&less) < nodes(model))
}

/// Cut at two places at most that are said to be some, the parts are the whole.
fn cut_at_random(_: &Case, model: &Model, inputs: &Values, want: &Values, random: &mut fastrand::Rng) -> usize {
    let mut sites = cut_sites(model).unwrap();
    random.shuffle(&mut sites);
    let drawn = sites.iter().take(2);
    drawn.filter(|site| assert_cut(model, site, inputs, want, Tolerance::Approximate)).count()
}

const CHECKS: [Check; 3] = [
    Check { name: "read and written", run: round_trip, least: 1837 },
    Check { name: "folded", run: folded, least: 338 },
    Check { name: "cut", run: cut_at_random, least: 577 },
];

#[test]
fn what_is_done_to_a_model_does_not_change_what_it_computes() {
    let cases = cases();
    let half = cases.len().div_ceil(2);
    let found = std::thread::scope(|scope| {
        let parts: Vec<_> = cases.chunks(half).map(|part| scope.spawn(move || check_all(part))).collect();
        parts.into_iter().map(|part| part.join().unwrap()).collect::<Vec<_>>()
    });
    let failed: Vec<&String> = found.iter().flat_map(|(_, failed)| failed).collect();
    assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
    for (i, check) in CHECKS.iter().enumerate() {
        let done: usize = found.iter().map(|(counts, _)| counts[i]).sum();
        println!("{}: {done} times, {} models", check.name, cases.len());
        assert!(done >= check.least, "{}: {done} times, and {} are known", check.name, check.least);
    }
}

/// How often each check had something to do, and what failed.
fn check_all(cases: &[Case]) -> ([usize; CHECKS.len()], Vec<String>) {
    let mut random = fastrand::Rng::with_seed(11);
    let (mut counts, mut failed) = ([0; CHECKS.len()], Vec::new());
    for case in cases {
        let model = read_model(&case.path).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let Some((inputs, want)) = expected(case, &model) else { continue };
        let least = if LARGE.contains(&case.name.as_str()) { 1 } else { CHECKS.len() };
        for (i, check) in CHECKS.iter().enumerate().take(least) {
            let run = || (check.run)(case, &model, &inputs, &want, &mut random);
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
                Ok(done) => counts[i] += done,
                Err(_) => failed.push(format!("{} ({})", case.name, check.name)),
            }
        }
    }
    (counts, failed)
}
