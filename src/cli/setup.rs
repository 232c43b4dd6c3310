//! `engraft setup`.

use serde::Serialize;

use super::{Context, Status};
use crate::backbone::{self, Flavour};
use crate::error::Result;

/// Fetch ONNX Runtime for this machine, with pip
///
/// Nothing is installed into Python or the system: the library is kept in engraft's own folder
/// (ENGRAFT_HOME, by default ~/.local/share/engraft). Does nothing when it is there.
///
/// Example: engraft setup
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Setup {
    /// The build with CUDA and TensorRT; needs CUDA 13 and cuDNN 9 on the machine
    #[arg(long)]
    gpu: bool,
}

#[derive(Serialize)]
struct Outcome {
    library: String,
    version: String,
    already: bool,
}

impl Setup {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let flavour = if self.gpu { Flavour::Gpu } else { Flavour::Cpu };
        let installed = backbone::setup(&context.home, flavour, &context.console)?;
        let library = installed.library.display().to_string();
        let outcome = Outcome { library, version: installed.version, already: installed.already };
        context.result(&outcome, || {
            let verb = if outcome.already { "is here already" } else { "is ready" };
            format!("ONNX Runtime {} {verb}: {}", outcome.version, outcome.library)
        })?;
        Ok(Status::Done)
    }
}
