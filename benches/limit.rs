//! `embed` against the limit of the machine: 1/limit = 1/(decoding and preprocessing alone) + 1/(the sessions alone), each
//! at its best setting on the same cores.
//!
//!     cargo bench --bench limit -- FOLDER_OF_JPEGS [ROUNDS]
//!
//! The contestants take turns, so that a noisy neighbour disturbs all alike. Prints a table of medians.

mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use engraft::backbone::{Backbone, Device, Home, Provider, Runtime, Session, SessionOptions, Tensor, registry};
use engraft::extract::{Extraction, Options, Sink};
use engraft::features::{Part, Provenance};
use engraft::preprocess::{ImagePreprocessor, Preprocessing, Scratch};
use engraft::source::{Modality, SourceOptions, open_all};
use support::median;

const CPU: Device = Device::Only(Provider::Cpu);

struct Bench {
    runtime: &'static Runtime,
    home: Home,
    backbone: Backbone,
    processor: ImagePreprocessor,
    folder: PathBuf,
    paths: Vec<PathBuf>,
    cores: usize,
}

impl Bench {
    fn new(folder: &Path) -> Self {
        let home = support::fetched::home();
        let runtime = Runtime::load(None, &home).expect("ONNX Runtime");
        let manifest = registry::find("efficientnet-lite0").expect("a known model");
        let backbone = registry::pull(&manifest, &home, &()).expect("the model");
        let Preprocessing::Image(spec) = backbone.preprocessing.clone() else { panic!("it takes images") };
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
        paths.sort();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let processor = ImagePreprocessor::new(spec).expect("a processor");
        Self { runtime, home, backbone, processor, folder: folder.to_path_buf(), paths, cores }
    }

    /// Images a second through reading, decoding and preprocessing, a thread a core.
    fn decode(&self) -> f64 {
        let next = AtomicUsize::new(0);
        let [height, width] = self.processor.output_size();
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.cores {
                scope.spawn(|| {
                    let (mut scratch, mut pixels) = (Scratch::default(), vec![0.0; 3 * height * width]);
                    while let Some(path) = self.paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let bytes = std::fs::read(path).expect("a file");
                        self.processor.process(&bytes, &mut scratch, &mut pixels).expect("an image");
                    }
                });
            }
        });
        self.paths.len() as f64 / started.elapsed().as_secs_f64()
    }

    /// Images a second through sessions that already have their pixels.
    fn sessions(&self, sessions: usize, threads: usize, batch: usize) -> f64 {
        let [height, width] = self.processor.output_size();
        let pixels: Vec<f32> = (0..batch * 3 * height * width).map(|i| (i % 255) as f32 / 128.0 - 1.0).collect();
        let (model, output) = (&self.backbone.model, &self.backbone.output.tensor);
        let open =
            || Session::open(self.runtime, model, output, &SessionOptions::new(CPU, threads)).expect("a session").0;
        let mut opened: Vec<Session> = (0..sessions).map(|_| open()).collect();
        let shape = [batch, 3, height, width];
        let run = |session: &mut Session| {
            let name = session.inputs()[0].name.clone();
            session.run_with(&[(&name, Tensor::F32(&shape, &pixels))], |_, _| Ok(())).expect("features");
        };
        opened.iter_mut().for_each(run);
        // A fifth of the images tell as much.
        let batches = self.paths.len() / 5 / batch;
        let next = AtomicUsize::new(0);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for session in &mut opened {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < batches {
                        run(session);
                    }
                });
            }
        });
        (batches * batch) as f64 / started.elapsed().as_secs_f64()
    }

    /// Images a second from the folder to vectors, the opening of the sessions included.
    fn embed(&self) -> f64 {
        struct Counter(usize);
        impl Sink for Counter {
            fn part(&mut self, part: Part, _: &Provenance) -> engraft::Result<()> {
                assert_eq!(part.rejects, []);
                self.0 += part.rows.ids.len();
                Ok(())
            }
        }
        let options = SourceOptions::new(Modality::Image);
        let source = open_all(std::slice::from_ref(&self.folder), &options).expect("images");
        let extraction =
            Extraction::new(self.runtime, &self.home, &self.backbone, Options { device: CPU, ..Options::default() })
                .expect("files");
        let mut counter = Counter(0);
        let summary = extraction.run(source, &mut counter, &()).expect("embedded");
        assert_eq!(counter.0, self.paths.len());
        summary.rows_per_second.expect("something ran")
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [folder, rest @ ..] = arguments.as_slice() else {
        eprintln!("limit: give a folder of JPEGs: cargo bench --bench limit -- FOLDER [ROUNDS]");
        return;
    };
    let rounds = rest.first().map_or(5, |n| n.parse().expect("a number of rounds"));
    let bench = Bench::new(Path::new(folder));
    let cores = bench.cores;
    let ways: Vec<(usize, usize, usize)> =
        [4, 8, 16, 32].into_iter().flat_map(|b| [(cores, 1, b), (1, cores, b)]).collect();
    let (mut decode, mut embed) = (Vec::new(), Vec::new());
    let mut sessions = vec![Vec::new(); ways.len()];
    for round in 1..=rounds {
        decode.push(bench.decode());
        for (way, (n, threads, batch)) in sessions.iter_mut().zip(&ways) {
            way.push(bench.sessions(*n, *threads, *batch));
        }
        embed.push(bench.embed());
        eprintln!("round {round}: decode {:.0}/s, embed {:.0}/s", decode[round - 1], embed[round - 1]);
    }
    println!("\n{} JPEGs, {cores} cores, medians of {rounds} rounds\n", bench.paths.len());
    println!("| | images/s |\n| --- | --- |\n| reading, decoding and preprocessing alone | {:.1} |", median(&decode));
    for (values, (n, threads, batch)) in sessions.iter().zip(&ways) {
        println!("| {n} session(s) of {threads} thread(s), batches of {batch} | {:.1} |", median(values));
    }
    let best = sessions.iter().map(|values| median(values)).fold(0.0, f64::max);
    let limit = 1.0 / (1.0 / median(&decode) + 1.0 / best);
    println!("| the limit of both | {limit:.1} |\n| embed | {:.1} |", median(&embed));
    println!("| embed / limit | {:.3} |", median(&embed) / limit);
}
