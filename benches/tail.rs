//! What a step of tuning costs beside PyTorch: forwards and backwards through the tails of two backbones.
//!
//!     cargo bench --bench tail -- PYTHON
//!
//! PYTHON has torch 2.15.0 and onnx 1.23.2. Batches of 16: one layer of MiniLM over 128 tokens, and what efficientnet-lite0 has behind
//! block13/add. Each round is a process of its own with two threads, and both take turns; medians of seven rounds of ten steps.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use engraft::backbone::registry;
use engraft::onnx::{read_model, view};
use engraft::tune::{Array, Tail, Value};
use serde::{Deserialize, Serialize};
use support::fetched::home;
use support::{median, peak};

const BATCH: usize = 16;
const TOKENS: usize = 128;
const STEPS: u32 = 10;
const ROUNDS: usize = 7;

struct Subject {
    name: &'static str,
    cut: &'static str,
    target: &'static str,
    /// Of the tensor at the cut.
    dims: &'static [usize],
}

const SUBJECTS: [Subject; 2] = [
    Subject { name: "all-minilm-l6-v2", cut: "layer5", target: "last_hidden_state", dims: &[BATCH, TOKENS, 384] },
    Subject { name: "efficientnet-lite0", cut: "block13/add", target: "features", dims: &[BATCH, 192, 7, 7] },
];

/// Of a step: wall and processor seconds; and the peak of the process's memory in MiB.
#[derive(Debug, Serialize, Deserialize)]
struct Cost {
    wall: f64,
    cpu: f64,
    peak: f64,
}

/// Seconds that all threads of this process spent, from Linux's ticks of a hundredth.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(") ").next().expect("a name").split(' ');
    fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
}

fn cost(subject: &Subject) -> Cost {
    let backbone = registry::resolve(subject.name, &Default::default(), &home(), &()).expect("a backbone");
    let model = read_model(&backbone.model).expect("a model");
    let tail = Tail::find(view(&model), subject.cut, subject.target, subject.name).expect("a tail");
    drop(model);
    let names: Vec<&str> = tail.weights().iter().map(|weight| weight.name.as_str()).collect();
    let program = tail.program::<f32>(&names).expect("a program");
    let ones = |_: &str| Value::Int(Array::new(vec![BATCH, TOKENS], vec![1; BATCH * TOKENS]).expect("tokens"));
    let wave = |dims: &[usize], step: f64| {
        let values = (0..dims.iter().product()).map(|i: usize| (step * i as f64).sin() as f32).collect();
        Array::new(dims.to_vec(), values).expect("values")
    };
    let given = |name: &String| if name == subject.cut { wave(subject.dims, 0.37).into() } else { ones(name) };
    let boundary: Vec<Value<f32>> = tail.boundary().iter().map(given).collect();
    let output = program.run(boundary.clone()).expect("forwards");
    let seed = wave(output[0].real().expect("floats").dims(), 1.0);
    let step = || {
        let trace = program.record(boundary.clone()).expect("forwards");
        std::hint::black_box(program.backward(trace, vec![Some(seed.clone())]).expect("backwards"));
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    pool.install(|| {
        (0..2).for_each(|_| step());
        let (started, before) = (Instant::now(), processor_seconds());
        (0..STEPS).for_each(|_| step());
        let each = |seconds: f64| seconds / f64::from(STEPS);
        Cost {
            wall: each(started.elapsed().as_secs_f64()),
            cpu: each(processor_seconds() - before),
            peak: peak("self").expect("Linux"),
        }
    })
}

fn told(command: &mut Command) -> Cost {
    let output = command.output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(python) = arguments.first() else { return eprintln!("give a Python that has torch") };
    if let Some(subject) = SUBJECTS.iter().find(|subject| subject.name == python) {
        return println!("{}", serde_json::to_string(&cost(subject)).expect("JSON"));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/tails.py");
    println!("| a step | wall, ms | CPU, ms | peak, MiB | torch, wall | CPU | peak | × wall | × CPU |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for subject in &SUBJECTS {
        let model = registry::resolve(subject.name, &Default::default(), &home(), &()).expect("a backbone").model;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(told(Command::new(std::env::current_exe().expect("a path")).arg(subject.name)));
            theirs.push(told(Command::new(python).arg(&script).arg(&model).arg(STEPS.to_string())));
        }
        let of = |costs: &[Cost]| {
            let medians = [|cost: &Cost| cost.wall, |cost: &Cost| cost.cpu, |cost: &Cost| cost.peak];
            medians.map(|value| median(&costs.iter().map(value).collect::<Vec<f64>>()))
        };
        let ([wall, cpu, peak], [their_wall, their_cpu, their_peak]) = (of(&ours), of(&theirs));
        println!(
            "| {} | {:.0} | {:.0} | {peak:.0} | {:.0} | {:.0} | {their_peak:.0} | {:.2} | {:.2} |",
            subject.name,
            wall * 1e3,
            cpu * 1e3,
            their_wall * 1e3,
            their_cpu * 1e3,
            their_wall / wall,
            their_cpu / cpu
        );
    }
}
