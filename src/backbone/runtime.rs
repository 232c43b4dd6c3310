//! Finds and loads the ONNX Runtime shared library, once a process.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::cuda;
use super::home::Home;
use crate::error::{Error, Result};

/// The oldest minor version of ONNX Runtime 1.x whose C API offers what `ort` was built for (its `api-24` feature).
const OLDEST_MINOR: u32 = 24;

/// The loaded library. It stays loaded until the process ends.
#[derive(Debug)]
pub struct Runtime {
    /// Shared by every session of the process.
    pub(super) environment: ort::environment::Environment,
    /// The library file.
    pub library: PathBuf,
    /// Its version, such as `1.32.0`.
    pub version: String,
    /// Which of the places it was found in.
    pub place: Place,
    /// Folders with NVIDIA's libraries that the system's loader does not look into.
    pub(super) nvidia: Vec<PathBuf>,
}

/// Where the library is looked for, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `--ort-lib`.
    Option,
    /// The `ORT_DYLIB_PATH` environment variable.
    Variable,
    /// engraft's own folder, filled by `engraft setup`.
    Home,
    /// The folder of the engraft binary.
    BesideBinary,
    /// An installed Python package `onnxruntime` or `onnxruntime-gpu`.
    PythonPackage,
    /// The system's library folders.
    System,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Place::Option => "--ort-lib",
            Place::Variable => "ORT_DYLIB_PATH",
            Place::Home => "engraft's own folder",
            Place::BesideBinary => "beside the engraft binary",
            Place::PythonPackage => "the Python package onnxruntime",
            Place::System => "the system's library folders",
        })
    }
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

impl Runtime {
    /// The process's ONNX Runtime, found and loaded at the first call. Later calls return the same one.
    ///
    /// `option` is the user's own choice of library; it and `ORT_DYLIB_PATH` are never passed over in silence.
    ///
    /// # Errors
    /// [`Error::Runtime`] with every place that was tried, when no library of version 1.24 or newer loads.
    pub fn load(option: Option<&Path>, home: &Home) -> Result<&'static Runtime> {
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime);
        }
        let mut runtime = find(option, home)?;
        runtime.nvidia = cuda::folders(home, &runtime.library);
        Ok(RUNTIME.get_or_init(|| runtime))
    }
}

fn find(option: Option<&Path>, home: &Home) -> Result<Runtime> {
    let variable = std::env::var_os("ORT_DYLIB_PATH").filter(|v| !v.is_empty()).map(PathBuf::from);
    for (place, path) in [(Place::Option, option.map(Path::to_path_buf)), (Place::Variable, variable)] {
        if let Some(path) = path {
            // The loader would look for a bare name in the system's folders.
            let here = Path::new(".").join(&path);
            let path = if path.components().count() == 1 && here.exists() { here } else { path };
            return open(&path, place)
                .map_err(|reason| Error::Runtime(format!("{place} names {}: {reason}", path.display())));
        }
    }
    let beside = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf));
    let places: [(Place, &dyn Fn() -> Vec<PathBuf>); 4] = [
        (Place::Home, &|| in_home(home)),
        (Place::BesideBinary, &|| beside.as_deref().map(libraries_in).unwrap_or_default()),
        (Place::PythonPackage, &|| python_package().as_deref().map(libraries_in).unwrap_or_default()),
        (Place::System, &|| vec![PathBuf::from(SYSTEM_NAME)]),
    ];
    let mut tried = String::new();
    for (place, candidates) in places {
        let candidates = candidates();
        if candidates.is_empty() {
            tried += &format!("\n  {place}: none there");
        }
        for path in candidates {
            match open(&path, place) {
                Ok(runtime) => return Ok(runtime),
                Err(reason) => tried += &format!("\n  {place}: {}: {reason}", path.display()),
            }
        }
    }
    Err(Error::Runtime(format!(
        "ONNX Runtime was not found. Run `engraft setup` to fetch it, or name the library with --ort-lib or ORT_DYLIB_PATH. Tried:{tried}"
    )))
}

#[cfg(target_os = "windows")]
const SYSTEM_NAME: &str = "onnxruntime.dll";
#[cfg(target_os = "macos")]
const SYSTEM_NAME: &str = "libonnxruntime.dylib";
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const SYSTEM_NAME: &str = "libonnxruntime.so";

/// The libraries that `setup` put into the home folder. A GPU build goes first: it was asked for by name.
fn in_home(home: &Home) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = entries(&home.runtime());
    folders.retain(|p| p.is_dir() && !name_of(p).starts_with('.'));
    folders.sort_by_key(|p| (!name_of(p).starts_with("gpu-"), std::cmp::Reverse(name_of(p))));
    folders.iter().flat_map(|p| libraries_in(p)).collect()
}

/// Files that are named like the core library: `libonnxruntime.so`, `libonnxruntime.so.1.32.0`, ...
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = entries(folder);
    found.retain(|p| {
        let name = name_of(p);
        let rest = name.strip_prefix("libonnxruntime").or_else(|| name.strip_prefix("onnxruntime"));
        rest.is_some_and(|r| r.starts_with(".so") || r.ends_with(".dylib") && !r.starts_with('_') || r == ".dll")
    });
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `onnxruntime/capi` of the Python on the PATH, found without importing the package.
fn python_package() -> Option<PathBuf> {
    let code = "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '')";
    // Not in the user's folder, where a folder `onnxruntime` would be taken for the package.
    let empty = tempfile::tempdir().ok()?;
    let output = Command::new("python3")
        .current_dir(empty.path())
        .args(["-c", code])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    (!path.trim().is_empty()).then(|| Path::new(path.trim()).join("capi"))
}

/// Loads one library. The version is asked for first: `ort` panics on some libraries that are not what they seem.
fn open(path: &Path, place: Place) -> Result<Runtime, String> {
    let version = version_of(path)?;
    let minor = version.strip_prefix("1.").and_then(|v| v.split('.').next()).and_then(|v| v.parse::<u32>().ok());
    if minor.is_none_or(|m| m < OLDEST_MINOR) {
        return Err(format!("it is version {version}, too old: engraft needs 1.{OLDEST_MINOR} or newer"));
    }
    let environment = ort::init_from(path)
        .map_err(|e| e.to_string())?
        .with_name("engraft")
        .with_telemetry(false)
        // ONNX Runtime would write its warnings to stderr; what matters comes back as an error.
        .with_logger(Arc::new(|_, _, _, _, _| {}))
        .build()
        .map_err(|e| e.to_string())?;
    Ok(Runtime { environment, library: path.to_path_buf(), version, place, nvidia: Vec::new() })
}

fn version_of(path: &Path) -> Result<String, String> {
    // SAFETY: loading a library runs its initialisers. The user, the system or `engraft setup` put it there.
    let library = unsafe { libloading::Library::new(path) }.map_err(|e| e.to_string())?;
    // SAFETY: the symbol has this type in every ONNX Runtime since 1.0; a library without it is refused.
    let base: libloading::Symbol<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase> =
        unsafe { library.get(b"OrtGetApiBase") }
            .map_err(|_| "it is not ONNX Runtime (no OrtGetApiBase in it)".to_owned())?;
    // SAFETY: as above; a null pointer is checked for, and the string is static and copied.
    unsafe {
        let base = base().as_ref().ok_or("its OrtGetApiBase returns nothing")?;
        let text = (base.GetVersionString)();
        if text.is_null() {
            return Err("it does not tell its version".to_owned());
        }
        Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
    }
}
