//! efficientnet-lite0 on the CPU: its session alone, and the whole pipeline from JPEG files to vectors.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engraft::backbone::{Backbone, Device, Provider, Runtime, Session, SessionOptions, Tensor, registry};
use engraft::extract::{Extraction, Options, Sink};
use engraft::features::{Part, Provenance};
use engraft::source::{Modality, SourceOptions, open_all};

const IMAGES: usize = 64;
const BATCH: usize = 8;
const SIZE: usize = 224;
const CPU: Device = Device::Only(Provider::Cpu);

fn opened() -> (&'static Runtime, Backbone) {
    let home = support::fetched::home();
    let runtime = Runtime::load(None, &home).expect("ONNX Runtime");
    let manifest = registry::find("efficientnet-lite0").expect("a known model");
    (runtime, registry::pull(&manifest, &home, &()).expect("the model"))
}

/// One session on one thread, batches of 8, as each worker of the pipeline runs it.
fn session(c: &mut Criterion) {
    let (runtime, backbone) = opened();
    let options = SessionOptions::new(CPU, 1);
    let opened = Session::open(runtime, &backbone.model, &backbone.output.tensor, &options);
    let (mut session, _) = opened.expect("a session");
    let name = session.inputs()[0].name.clone();
    let shape = [BATCH, 3, SIZE, SIZE];
    let pixels: Vec<f32> = (0..BATCH * 3 * SIZE * SIZE).map(|i| (i % 255) as f32 / 128.0 - 1.0).collect();
    let mut group = c.benchmark_group("embed");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("session_alone_one_thread", |b| {
        b.iter(|| session.run(&[(&name, Tensor::F32(&shape, &pixels))]).expect("features"));
    });
}

/// Counts, and keeps nothing.
struct Counter(usize);

impl Sink for Counter {
    fn part(&mut self, part: Part, _: &Provenance) -> engraft::Result<()> {
        assert_eq!(part.rejects, []);
        self.0 += part.rows.ids.len();
        Ok(())
    }
}

/// All cores, the time to open the sessions included.
fn pipeline(c: &mut Criterion) {
    let (runtime, backbone) = opened();
    let home = support::fetched::home();
    let folder = tempfile::tempdir().expect("a folder");
    let jpeg = support::jpeg();
    for i in 0..IMAGES {
        std::fs::write(folder.path().join(format!("{i:02}.jpg")), &jpeg).expect("written");
    }
    let options = Options { device: CPU, batch_size: Some(BATCH), ..Options::default() };
    let open = || {
        let extraction = Extraction::new(runtime, &home, &backbone, options.clone()).expect("a backbone");
        let source = SourceOptions::new(Modality::Image);
        (extraction, open_all(&[folder.path().to_path_buf()], &source).expect("images"))
    };
    let mut group = c.benchmark_group("embed");
    group.sample_size(10).throughput(Throughput::Elements(IMAGES as u64));
    group.bench_function("pipeline_all_cores", |b| {
        b.iter_batched(
            open,
            |(extraction, entries)| {
                let mut sink = Counter(0);
                extraction.run(entries, &mut sink, &()).expect("embedded");
                assert_eq!(sink.0, IMAGES);
            },
            criterion::BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, session, pipeline);
criterion_main!(benches);
