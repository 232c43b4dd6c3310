//! `engraft doctor`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::results::table;
use super::{Context, Status};
use crate::backbone::{Assignment, Backbone, Gpu, Overrides, Provider, gpus, probe, registry};
use crate::error::{Error, Result};

/// Tell what is here, what each provider really does, and what is missing
///
/// Example: engraft doctor --json
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Run this backbone too on every provider that runs, and count which provider ran how many of its nodes
    #[arg(long, short, value_name = "NAME")]
    model: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    engraft: &'static str,
    os: &'static str,
    arch: &'static str,
    cpu_features: Vec<&'static str>,
    cores: usize,
    runtime: Option<RuntimeReport>,
    runtime_problem: Option<String>,
    providers: Vec<ProviderReport>,
    gpus: Vec<Gpu>,
    gpu_problem: Option<String>,
    home: String,
    models: Vec<ModelReport>,
    cache_bytes: CacheReport,
}

#[derive(Debug, Serialize)]
struct RuntimeReport {
    library: String,
    version: String,
    found: String,
}

#[derive(Debug, Serialize)]
struct ProviderReport {
    name: &'static str,
    compiled_in: bool,
    runs: bool,
    problem: Option<String>,
    /// Of a graph of one node.
    nodes: Option<BTreeMap<String, usize>>,
    /// Of the backbone that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelRun>,
}

/// Which providers ran a backbone's nodes, or why it did not run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum ModelRun {
    Nodes { nodes: BTreeMap<String, usize>, copies: usize },
    Problem(String),
}

#[derive(Debug, Serialize)]
struct ModelReport {
    name: String,
    present: bool,
}

#[derive(Debug, Serialize)]
struct CacheReport {
    runtime: u64,
    models: u64,
    variants: u64,
    engines: u64,
    data: u64,
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let backbone = self.model.as_deref().map(|name| here(name, context)).transpose()?;
        let report = examine(context, backbone.as_ref())?;
        context.result(&report, || report.text())?;
        Ok(Status::Done)
    }
}

/// A backbone that needs no download: doctor only looks.
fn here(name: &str, context: &Context) -> Result<Backbone> {
    if let Ok(manifest) = registry::find(name)
        && registry::local(&manifest, &context.home).is_none()
    {
        return Err(Error::Data(format!("{name} is not here: `engraft models pull {name}` fetches it")));
    }
    registry::resolve(name, &Overrides::default(), &context.home, &context.console)
}

fn examine(context: &Context, backbone: Option<&Backbone>) -> Result<Report> {
    let (mut runtime, mut problem, mut providers) = (None, None, Vec::new());
    match context.runtime() {
        Ok(loaded) => {
            runtime = Some(RuntimeReport {
                library: loaded.library.display().to_string(),
                version: loaded.version.clone(),
                found: loaded.place.to_string(),
            });
            for provider in Provider::ALL {
                let status = provider.status(loaded);
                let runs = status.problem.is_none();
                let model = backbone.filter(|_| runs).map(|backbone| match probe(loaded, backbone, provider) {
                    Ok(Assignment { nodes, copies }) => ModelRun::Nodes { nodes, copies },
                    Err(e) => ModelRun::Problem(e.to_string()),
                });
                providers.push(ProviderReport {
                    name: provider.name(),
                    compiled_in: status.compiled_in,
                    runs,
                    problem: status.problem,
                    nodes: status.ran.map(|ran| ran.nodes),
                    model,
                });
            }
        }
        Err(e) => problem = Some(e.to_string()),
    }
    let models = registry::known()?
        .iter()
        .map(|m| ModelReport { name: m.name.clone(), present: registry::local(m, &context.home).is_some() })
        .collect();
    let (gpus, gpu_problem) = match gpus() {
        Ok(gpus) => (gpus, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    Ok(Report {
        engraft: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        cpu_features: cpu_features(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        runtime,
        runtime_problem: problem,
        providers,
        gpus,
        gpu_problem,
        home: context.home.path().display().to_string(),
        models,
        cache_bytes: CacheReport {
            runtime: bytes_in(&context.home.runtime()),
            models: bytes_in(&context.home.path().join("models")),
            variants: bytes_in(&context.home.variants()),
            engines: bytes_in(&context.home.engines()),
            data: bytes_in(&context.home.data()),
        },
    })
}

/// The instruction sets that matter for inference, of those this processor has.
#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let known = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    known.iter().filter(|k| k.1).map(|k| k.0).collect()
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<&'static str> {
    let known = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    known.iter().filter(|k| k.1).map(|k| k.0).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

fn bytes_in(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten().filter(|e| e.file_type().is_file());
    files.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

impl Report {
    fn text(&self) -> String {
        let mut text = format!("engraft {} on {} {}\n", self.engraft, self.os, self.arch);
        text += &format!("cores this process may use: {} ({})\n", self.cores, self.cpu_features.join(", "));
        match (&self.runtime, &self.runtime_problem) {
            (Some(r), _) => text += &format!("ONNX Runtime {}: {} (found in {})\n", r.version, r.library, r.found),
            (None, Some(problem)) => text += &format!("{problem}\n"),
            (None, None) => {}
        }
        if !self.providers.is_empty() {
            let rows = self.providers.iter().map(|p| {
                let yes = |b: bool| if b { "yes" } else { "no" }.to_owned();
                vec![p.name.to_owned(), yes(p.compiled_in), yes(p.runs), p.problem.clone().unwrap_or_default()]
            });
            text += &format!("\n{}\n", table(&["provider", "compiled in", "runs", "what is missing"], rows));
        }
        for Gpu { index, name, driver, compute_capability, memory_mib } in &self.gpus {
            text += &format!(
                "\nGPU {index}: {name}, {memory_mib} MiB, compute capability {compute_capability}, driver {driver}\n"
            );
        }
        // On most machines there is none, and nothing to mend.
        let cuda = self.providers.iter().any(|p| p.name == "cuda" && p.compiled_in);
        if let Some(problem) = self.gpu_problem.as_ref().filter(|_| cuda) {
            text += &format!("\nno GPU is known: {problem}\n");
        }
        for p in &self.providers {
            let nodes =
                |nodes: &BTreeMap<String, usize>, copies| Assignment { nodes: nodes.clone(), copies }.to_string();
            match &p.model {
                Some(ModelRun::Nodes { nodes: n, copies }) => {
                    text += &format!("\non {} the model ran as {}\n", p.name, nodes(n, *copies))
                }
                Some(ModelRun::Problem(problem)) => {
                    text += &format!("\non {} the model does not run: {problem}\n", p.name)
                }
                None => {}
            }
        }
        let rows =
            self.models.iter().map(|m| vec![m.name.clone(), if m.present { "here" } else { "not pulled" }.to_owned()]);
        text += &format!("\n{}\n", table(&["model", ""], rows));
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let CacheReport { runtime, models, variants, engines, data } = self.cache_bytes;
        text += &format!(
            "\nkept in {}: runtime {}, models {}, variants of them {}, engines {}, data {}",
            self.home,
            mb(runtime),
            mb(models),
            mb(variants),
            mb(engines),
            mb(data)
        );
        text
    }
}
