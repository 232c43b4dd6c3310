//! `engraft doctor`.

use std::path::Path;

use serde::Serialize;

use super::results::table;
use super::{Context, Status};
use crate::backbone::{Provider, registry};
use crate::error::Result;

/// Tell what is here, what each provider really does, and what is missing
///
/// Example: engraft doctor --json
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {}

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
    data: u64,
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let report = examine(context)?;
        context.result(&report, || report.text())?;
        Ok(Status::Done)
    }
}

fn examine(context: &Context) -> Result<Report> {
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
                providers.push(ProviderReport {
                    name: provider.name(),
                    compiled_in: status.compiled_in,
                    runs: status.problem.is_none(),
                    problem: status.problem,
                });
            }
        }
        Err(e) => problem = Some(e.to_string()),
    }
    let models = registry::known()?
        .iter()
        .map(|m| ModelReport { name: m.name.clone(), present: registry::local(m, &context.home).is_some() })
        .collect();
    Ok(Report {
        engraft: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        cpu_features: cpu_features(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        runtime,
        runtime_problem: problem,
        providers,
        home: context.home.path().display().to_string(),
        models,
        cache_bytes: CacheReport {
            runtime: bytes_in(&context.home.runtime()),
            models: bytes_in(&context.home.path().join("models")),
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
        let rows =
            self.models.iter().map(|m| vec![m.name.clone(), if m.present { "here" } else { "not pulled" }.to_owned()]);
        text += &format!("\n{}\n", table(&["model", ""], rows));
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let CacheReport { runtime, models, data } = self.cache_bytes;
        text += &format!("\nkept in {}: runtime {}, models {}, data {}", self.home, mb(runtime), mb(models), mb(data));
        text
    }
}
