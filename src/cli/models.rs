//! `engraft models`.

use clap::Subcommand;
use serde::Serialize;

use super::results::table;
use super::{Context, Status};
use crate::backbone::{Manifest, registry};
use crate::error::{Error, Result};
use crate::extract::verify;

/// List, show, fetch and verify the known backbones
///
/// Example: engraft models pull efficientnet-lite0
#[derive(Debug, clap::Args)]
pub(super) struct Models {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the known backbones
    List,
    /// Show everything about one: file, dimension, licence, preprocessing
    Show {
        /// Its name
        name: String,
    },
    /// Fetch one and turn it into an ONNX file; does nothing when it is there
    Pull {
        /// Its name
        name: String,
    },
    /// Run the reference inputs and compare with the reference outputs
    Verify {
        /// Its name [default: every backbone that has been pulled]
        name: Option<String>,
    },
}

#[derive(Serialize)]
struct Row {
    name: String,
    dimension: usize,
    licence: String,
    pulled: bool,
    description: String,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    description: String,
    path: Option<String>,
    dimension: usize,
    sha256: String,
    licence: String,
    manifest: Manifest,
}

impl Shown {
    fn new(manifest: Manifest, context: &Context) -> Self {
        Self {
            name: manifest.name.clone(),
            description: manifest.description.clone(),
            path: registry::local(&manifest, &context.home).map(|p| p.display().to_string()),
            dimension: manifest.dimension,
            sha256: manifest.sha256.clone(),
            licence: manifest.licence.clone(),
            manifest,
        }
    }
}

impl Models {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        match self.action {
            Action::List => list(context),
            Action::Show { name } => show(context, registry::find(&name)?),
            Action::Pull { name } => {
                let manifest = registry::find(&name)?;
                let backbone = registry::pull(&manifest, &context.home, &context.console)?;
                let shown = Shown::new(manifest, context);
                context.result(&shown, || format!("{} is here: {}", backbone.name, backbone.model.display()))?;
                Ok(Status::Done)
            }
            Action::Verify { name } => verify_models(context, name.as_deref()),
        }
    }
}

fn list(context: &Context) -> Result<Status> {
    let rows: Vec<Row> = registry::known()?
        .into_iter()
        .map(|m| Row {
            pulled: registry::local(&m, &context.home).is_some(),
            name: m.name,
            dimension: m.dimension,
            licence: m.licence,
            description: m.description,
        })
        .collect();
    context.result(&rows, || {
        let cells = rows.iter().map(|r| {
            let pulled = if r.pulled { "yes" } else { "no" }.to_owned();
            vec![r.name.clone(), r.dimension.to_string(), r.licence.clone(), pulled, r.description.clone()]
        });
        table(&["name", "dimension", "licence", "pulled", ""], cells)
    })?;
    Ok(Status::Done)
}

fn show(context: &Context, manifest: Manifest) -> Result<Status> {
    let text = registry::text(&manifest.name)?;
    let shown = Shown::new(manifest, context);
    context.result(&shown, || {
        let path = shown.path.clone().unwrap_or_else(|| format!("not here yet: engraft models pull {}", shown.name));
        format!("path = {path:?}\n{}", text.trim_end())
    })?;
    Ok(Status::Done)
}

fn verify_models(context: &Context, name: Option<&str>) -> Result<Status> {
    let manifests = match name {
        Some(name) => vec![registry::find(name)?],
        None => registry::known()?.into_iter().filter(|m| registry::local(m, &context.home).is_some()).collect(),
    };
    if manifests.is_empty() {
        return Err(Error::Usage("no backbone has been pulled: engraft models pull NAME".into()));
    }
    let runtime = context.runtime()?;
    let mut verified = Vec::new();
    for manifest in &manifests {
        let backbone = registry::pull(manifest, &context.home, &context.console)?;
        verified.push(verify(runtime, &backbone, &registry::reference(&manifest.name)?, context.device)?);
    }
    context.result(&verified, || {
        let rows = verified.iter().map(|v| {
            let verdict = if v.passed { "ok" } else { "FAILED" }.to_owned();
            vec![
                v.name.clone(),
                verdict,
                format!("{:.8}", v.least_cosine),
                format!("{}", v.min_cosine),
                v.author.clone(),
            ]
        });
        table(&["model", "", "least cosine", "needed", "reference"], rows)
    })?;
    match verified.iter().find(|v| !v.passed) {
        None => Ok(Status::Done),
        Some(v) => Err(Error::model(&v.name, "its outputs are not those of the reference")),
    }
}
