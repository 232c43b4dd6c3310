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

    /// NVIDIA's CUDA 13 and cuDNN 9 too, as far as the system lacks them: up to 1.1 GB, under NVIDIA's licences
    #[arg(long, requires = "gpu")]
    cuda_libs: bool,
}

#[derive(Serialize)]
struct Outcome {
    library: String,
    version: String,
    already: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cuda_libs: Vec<String>,
}

impl Setup {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let flavour = if self.gpu { Flavour::Gpu } else { Flavour::Cpu };
        let installed = backbone::setup(&context.home, flavour, &context.console)?;
        let library = installed.library.display().to_string();
        let folders = if self.cuda_libs { backbone::setup_cuda(&context.home, &context.console)? } else { Vec::new() };
        let cuda_libs = folders.iter().map(|folder| folder.display().to_string()).collect();
        let outcome = Outcome { library, version: installed.version, already: installed.already, cuda_libs };
        context.result(&outcome, || {
            let verb = if outcome.already { "is here already" } else { "is ready" };
            let mut text = format!("ONNX Runtime {} {verb}: {}", outcome.version, outcome.library);
            outcome.cuda_libs.iter().for_each(|folder| text += &format!("\nNVIDIA's libraries: {folder}"));
            text
        })?;
        Ok(Status::Done)
    }
}
