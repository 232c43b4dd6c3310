//! Execution providers: what ONNX Runtime runs a graph with.

use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::session::Session;

use super::runtime::Runtime;
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

    fn dispatch(self) -> ExecutionProviderDispatch {
        // A device index never reaches i32's end: `FromStr` limits it.
        let index = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        match self {
            Provider::Cpu => ep::CPU::default().build(),
            Provider::Cuda(n) => ep::CUDA::default().with_device_id(index(n)).build(),
            Provider::TensorRt(n) => ep::TensorRT::default().with_device_id(index(n)).build(),
            Provider::OpenVino => ep::OpenVINO::default().build(),
            Provider::CoreMl => ep::CoreML::default().build(),
            Provider::DirectMl => ep::DirectML::default().build(),
            Provider::Xnnpack => ep::XNNPACK::default().build(),
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

    /// What to register for a session: an error instead of ONNX Runtime's silent fall-back to the CPU.
    pub(super) fn dispatches(self) -> Vec<ExecutionProviderDispatch> {
        match self {
            Provider::Cpu => Vec::new(),
            // What TensorRT cannot run, CUDA runs before the CPU does.
            Provider::TensorRt(n) => {
                vec![self.dispatch().error_on_failure(), Provider::Cuda(n).dispatch().error_on_failure()]
            }
            _ => vec![self.dispatch().error_on_failure()],
        }
    }

    /// Whether this provider really runs here: a one-node graph is run through it.
    pub fn status(self, runtime: &Runtime) -> ProviderStatus {
        let compiled_in = self.compiled_in();
        let problem = match (compiled_in, self) {
            (true, _) => self.try_it(runtime).err().map(|e| cause(e.message())),
            (false, Provider::Cuda(_) | Provider::TensorRt(_)) => Some(format!(
                "not compiled into this ONNX Runtime {}; `engraft setup --gpu` fetches a build that has it",
                runtime.version
            )),
            (false, _) => Some(format!("not compiled into this ONNX Runtime {}", runtime.version)),
        };
        ProviderStatus { provider: self, compiled_in, problem }
    }

    fn try_it(self, runtime: &Runtime) -> ort::Result<()> {
        let mut session = Session::builder(&runtime.environment)?
            .with_execution_providers(self.dispatches())?
            .commit_from_memory(&onnx::build::doubling_model())?;
        let input = ort::value::TensorRef::from_array_view(([1_usize], &[1.0_f32][..]))?;
        session.run(vec![("x", input)])?;
        Ok(())
    }
}

/// The end of ONNX Runtime's message, which begins with places in its own source: what the loader could not find.
fn cause(message: &str) -> String {
    let line = message.lines().next().unwrap_or("ONNX Runtime gave no reason");
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
        assert_eq!(cause("no such device"), "no such device");
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
