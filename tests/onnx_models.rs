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
    Data, DataType, Dimension, Model, Value, cut_sites, dealias, outputs_of_nodes, read_model, signature, write_model,
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
        let mut evaluator = engraft::backbone::Evaluator::open(runtime(), &case.path, 2).ok()?;
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

/// Runs `check` on every case that ONNX Runtime loads; returns how many there were. What fails is told with its name.
fn each(check: impl Fn(&Case, Model, Values, Values)) -> usize {
    let mut ran = 0;
    let mut failed = Vec::new();
    for case in cases() {
        let model = read_model(&case.path).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let Some((inputs, values)) = expected(&case, &model) else { continue };
        ran += 1;
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&case, model, inputs, values)));
        if checked.is_err() {
            failed.push(case.name);
        }
    }
    assert!(failed.is_empty(), "{} of {ran}: {failed:?}", failed.len());
    ran
}

#[test]
fn what_is_read_and_written_computes_the_same_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let ran = each(|_, model, inputs, values| {
        write_model(&model, &path).unwrap();
        let again = read_model(&path).unwrap();
        assert!(again == model);
        assert_same(&run(&again, &inputs).unwrap(), &values, Tolerance::Exact);
    });
    println!("{ran} models were read, written and run");
    assert!(ran >= 1000, "only {ran} models ran");
}

#[test]
fn folded_models_with_constants_of_their_own_compute_the_same() {
    let folded = std::cell::Cell::new(0);
    let ran = each(|case, model, inputs, values| {
        if LARGE.contains(&case.name.as_str()) {
            return;
        }
        let nodes = |model: &Model| model.graph.iter().flat_map(|graph| &graph.node).count();
        let less = fold(runtime(), model.clone(), &case.name, 2).unwrap();
        if nodes(&less) < nodes(&model) {
            folded.set(folded.get() + 1);
            assert_same(&run(&less, &inputs).unwrap(), &values, Tolerance::Exact);
        }
        let all: HashSet<&str> = outputs_of_nodes(&less).collect();
        let own = dealias(less.clone(), &all);
        if own != less {
            assert_same(&run(&own, &inputs).unwrap(), &values, Tolerance::Exact);
        }
    });
    println!("{} of {ran} models had something to fold", folded.get());
    assert!(folded.get() >= 100, "only {} of {ran} models had something to fold", folded.get());
}

#[test]
fn front_and_back_are_the_whole_at_cuts_drawn_at_random() {
    let cuts = std::cell::Cell::new(0);
    let random = std::cell::RefCell::new(fastrand::Rng::with_seed(11));
    let ran = each(|case, model, inputs, values| {
        if LARGE.contains(&case.name.as_str()) {
            return;
        }
        let mut sites = cut_sites(&model);
        random.borrow_mut().shuffle(&mut sites);
        for site in sites.iter().take(2) {
            assert_cut(&model, site, &inputs, &values, Tolerance::Approximate);
            cuts.set(cuts.get() + 1);
        }
    });
    println!("{} cuts of {ran} models", cuts.get());
    assert!(cuts.get() >= 500, "only {} cuts of {ran} models", cuts.get());
}
