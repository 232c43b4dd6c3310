//! Execution providers: what ONNX Runtime runs a graph with.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{self, ArenaExtendStrategy, ExecutionProvider, ExecutionProviderDispatch};
use ort::session::Session;

use super::assignment::Assignment;
use super::options::{RunPrecision, SessionOptions};
use super::runtime::Runtime;
use super::{cuda as libraries, engines};
use crate::error::{Error, Result};
use crate::onnx;

/// What the user asks to run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// CUDA where it works, else the CPU; says which and why.
    #[default]
    Auto,
    /// Exactly this provider, or an error.
    Only(Provider),
}

/// The execution providers that engraft knows, with the device index where one applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Always there.
    Cpu,
    /// NVIDIA CUDA.
    Cuda(u32),
    /// NVIDIA TensorRT.
    TensorRt(u32),
    /// Intel OpenVINO.
    OpenVino,
    /// Apple CoreML.
    CoreMl,
    /// Windows DirectML.
    DirectMl,
    /// XNNPACK, for small ARM and x86 processors.
    Xnnpack,
}

impl Provider {
    /// Each one, on its first device.
    pub const ALL: [Provider; 7] = [
        Provider::Cpu,
        Provider::Cuda(0),
        Provider::TensorRt(0),
        Provider::OpenVino,
        Provider::CoreMl,
        Provider::DirectMl,
        Provider::Xnnpack,
    ];

    /// The name used in `--device`, in provenance and in `doctor`.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Cuda(_) => "cuda",
            Provider::TensorRt(_) => "tensorrt",
            Provider::OpenVino => "openvino",
            Provider::CoreMl => "coreml",
            Provider::DirectMl => "directml",
            Provider::Xnnpack => "xnnpack",
        }
    }

    fn compiled_in(self) -> bool {
        match self {
            Provider::Cpu => Ok(true),
            Provider::Cuda(_) => ep::CUDA::is_available(),
            Provider::TensorRt(_) => ep::TensorRT::is_available(),
            Provider::OpenVino => ep::OpenVINO::is_available(),
            Provider::CoreMl => ep::CoreML::is_available(),
            Provider::DirectMl => ep::DirectML::is_available(),
            Provider::Xnnpack => ep::XNNPACK::is_available(),
        }
        .unwrap_or(false)
    }

    /// What to register for a session on `model`: an error instead of ONNX Runtime's silent fall-back to the CPU.
    pub(super) fn dispatches(
        self,
        runtime: &Runtime,
        model: &Path,
        options: &SessionOptions,
    ) -> Result<Vec<ExecutionProviderDispatch>> {
        if matches!(self, Provider::Cuda(_) | Provider::TensorRt(_)) {
            libraries::preload(&runtime.nvidia);
        }
        let dispatches = match self {
            Provider::Cpu => Vec::new(),
            Provider::Cuda(device) => vec![cuda(device, options.precision)],
            // What TensorRT cannot run, CUDA runs before the CPU does.
            Provider::TensorRt(device) => {
                vec![tensorrt(device, runtime, model, options)?, cuda(device, options.precision)]
            }
            Provider::OpenVino => vec![ep::OpenVINO::default().build()],
            Provider::CoreMl => vec![ep::CoreML::default().build()],
            Provider::DirectMl => vec![ep::DirectML::default().build()],
            Provider::Xnnpack => vec![ep::XNNPACK::default().build()],
        };
        Ok(dispatches.into_iter().map(ExecutionProviderDispatch::error_on_failure).collect())
    }

    /// Whether this provider really runs here: a one-node graph is run through it.
    pub fn status(self, runtime: &Runtime) -> ProviderStatus {
        let compiled_in = self.compiled_in();
        let outcome = match (compiled_in, self) {
            (true, _) => self.try_it(runtime).map_err(|e| self.explained(&e)),
            (false, Provider::Cuda(_) | Provider::TensorRt(_)) => Err(format!(
                "not compiled into this ONNX Runtime {}; `engraft setup --gpu` fetches a build that has it",
                runtime.version
            )),
            (false, _) => Err(format!("not compiled into this ONNX Runtime {}", runtime.version)),
        };
        let (ran, problem) = match outcome {
            Ok(assignment) => (Some(assignment), None),
            Err(problem) => (None, Some(problem)),
        };
        ProviderStatus { provider: self, compiled_in, ran, problem }
    }

    fn try_it(self, runtime: &Runtime) -> Result<Assignment, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let options = SessionOptions::new(Device::Only(self), 1);
        let dispatches = self.dispatches(runtime, Path::new(""), &options).map_err(|e| e.to_string())?;
        let profile = (|| {
            let mut session = Session::builder(&runtime.environment)?
                .with_execution_providers(dispatches)?
                .with_profiling(folder.path().join("profile"))?
                .commit_from_memory(&onnx::build::doubling_model())?;
            let input = ort::value::TensorRef::from_array_view(([1_usize], &[1.0_f32][..]))?;
            session.run(vec![("x", input)])?;
            session.end_profiling()
        })()
        .map_err(|e: ort::Error| cause(e.message()))?;
        let ran = Assignment::read(Path::new(&profile)).map_err(|e| e.to_string())?;
        match ran.of(self) {
            0 => Err(format!("a graph of one node did not run on it, but on {ran}")),
            _ => Ok(ran),
        }
    }

    /// A cause with the way out, where there is one.
    fn explained(self, cause: &str) -> String {
        let missing = |names: &[&str]| names.iter().any(|name| cause.starts_with(name));
        let way_out = match self {
            Provider::Cuda(_) | Provider::TensorRt(_) if missing(&["libcuda.so"]) => "install NVIDIA's driver",
            Provider::Cuda(_) | Provider::TensorRt(_) if missing(&["libcu", "libnvrtc"]) => {
                "install CUDA 13 and cuDNN 9, or let `engraft setup --gpu --cuda-libs` fetch them"
            }
            Provider::Cuda(_) | Provider::TensorRt(_) if cause.contains("driver version is insufficient") => {
                "CUDA 13 needs NVIDIA's driver 580 or newer"
            }
            Provider::TensorRt(_) if missing(&["libnvinfer", "libnvonnxparser"]) => "install TensorRT 10",
            _ => return cause.to_owned(),
        };
        format!("{cause}; {way_out}")
    }
}

fn cuda(device: u32, precision: RunPrecision) -> ExecutionProviderDispatch {
    ep::CUDA::default()
        .with_device_id(index(device))
        // Batches differ in size: doubling with each extension would take the card from whoever shares it.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        // A search by trial would run anew for each shape, the last and the halved batches' too.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
        .with_conv_max_workspace(true)
        .with_tf32(precision == RunPrecision::F16)
        .build()
}

fn tensorrt(
    device: u32,
    runtime: &Runtime,
    model: &Path,
    options: &SessionOptions,
) -> Result<ExecutionProviderDispatch> {
    let mut provider = ep::TensorRT::default()
        .with_device_id(index(device))
        .with_fp16(options.precision == RunPrecision::F16)
        .with_layer_norm_fp32_fallback(true);
    if !options.shapes.is_empty() {
        let [min, usual, max] = engines::profiles(&options.shapes);
        provider = provider.with_profile_min_shapes(min).with_profile_opt_shapes(usual).with_profile_max_shapes(max);
    }
    let tensorrt = options.engines.is_some().then(libraries::tensorrt_version).flatten();
    if let Some(folder) = engines::folder(model, device, &runtime.version, tensorrt, options)? {
        let folder = folder.display();
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(&folder)
            .with_timing_cache(true)
            .with_timing_cache_path(&folder);
    }
    Ok(provider.build())
}

/// A device index never reaches i32's end: `FromStr` limits it.
fn index(device: u32) -> i32 {
    i32::try_from(device).unwrap_or(i32::MAX)
}

/// What of ONNX Runtime's message is for the user: it begins with places in its own source, and CUDA's part ends with more.
fn cause(message: &str) -> String {
    let line = message.lines().next().unwrap_or("ONNX Runtime gave no reason");
    if let Some((_, failure)) = line.split_once("CUDA failure ") {
        return format!("CUDA failure {}", failure.split(" ;").next().unwrap_or(failure));
    }
    let end =
        ["with error: ", " : FAIL : "].iter().find_map(|mark| line.rsplit_once(mark)).map_or(line, |(_, end)| end);
    end.trim().to_owned()
}

/// What `doctor` tells of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Which.
    pub provider: Provider,
    /// Whether the library was built with it.
    pub compiled_in: bool,
    /// Where the nodes of a tiny graph ran, when it runs.
    pub ran: Option<Assignment>,
    /// What is missing, in the loader's own words (it names the shared library); `None` when it runs.
    pub problem: Option<String>,
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, index.parse::<u16>().ok().map(u32::from)),
            None => (text, Some(0)),
        };
        let provider = match (name, index) {
            ("auto", Some(0)) => return Ok(Device::Auto),
            ("cuda", Some(n)) => Provider::Cuda(n),
            ("tensorrt", Some(n)) => Provider::TensorRt(n),
            ("cpu", Some(0)) => Provider::Cpu,
            ("openvino", Some(0)) => Provider::OpenVino,
            ("coreml", Some(0)) => Provider::CoreMl,
            ("directml", Some(0)) => Provider::DirectMl,
            ("xnnpack", Some(0)) => Provider::Xnnpack,
            _ => {
                return Err(Error::Usage(format!(
                    "unknown device {text:?}: give auto, cpu, cuda[:N], tensorrt[:N], openvino, coreml, directml or xnnpack"
                )));
            }
        };
        Ok(Device::Only(provider))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Device::Auto => f.write_str("auto"),
            Device::Only(p @ (Provider::Cuda(n) | Provider::TensorRt(n))) if *n > 0 => write!(f, "{}:{n}", p.name()),
            Device::Only(p) => f.write_str(p.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named_without_ado() {
        let message = "/src/provider_bridge_ort.cc:2043 onnxruntime::Provider& Get() [ONNXRuntimeError] : 1 : FAIL : Failed to \
                       load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared \
                       object file: No such file or directory\n";
        assert_eq!(cause(message), "libcublasLt.so.13: cannot open shared object file: No such file or directory");
        let message = "provider_options_utils.h:187 Parse Failed to parse provider option \"device_id\": CUDA failure 35: CUDA \
                       driver version is insufficient for CUDA runtime version ; GPU=-1 ; hostname=vm ; \
                       file=cuda_execution_provider_info.cc ; line=70 ; expr=cudaGetDeviceCount(&num_devices);";
        let short = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version";
        assert_eq!(cause(message), short);
        assert_eq!(Provider::Cuda(0).explained(short), format!("{short}; CUDA 13 needs NVIDIA's driver 580 or newer"));
        assert_eq!(cause("no such device"), "no such device");
    }

    #[test]
    fn a_missing_library_comes_with_the_way_out() {
        let missing = |library: &str| format!("{library}: cannot open shared object file: No such file or directory");
        let cuda = |library: &str| Provider::Cuda(0).explained(&missing(library));
        assert!(
            cuda("libcublasLt.so.13")
                .ends_with("; install CUDA 13 and cuDNN 9, or let `engraft setup --gpu --cuda-libs` fetch them")
        );
        assert!(cuda("libcudnn.so.9").contains("--cuda-libs"));
        assert!(cuda("libcuda.so.1").ends_with("; install NVIDIA's driver"));
        assert!(Provider::TensorRt(0).explained(&missing("libnvinfer.so.10")).ends_with("; install TensorRT 10"));
        assert_eq!(
            Provider::Cuda(0).explained("no CUDA-capable device is detected"),
            "no CUDA-capable device is detected"
        );
    }

    #[test]
    fn devices_are_named_as_on_the_command_line() {
        for name in
            ["auto", "cpu", "cuda", "cuda:3", "tensorrt", "tensorrt:1", "openvino", "coreml", "directml", "xnnpack"]
        {
            assert_eq!(name.parse::<Device>().unwrap().to_string(), name);
        }
        for name in ["", "gpu", "cuda:", "cuda:-1", "cuda:99999999999", "cpu:1"] {
            assert!(matches!(name.parse::<Device>(), Err(Error::Usage(_))), "{name}");
        }
    }
}
