//! NVIDIA's shared libraries: where they may lie beside the system's folders, and loading them before ONNX Runtime asks.

use std::path::{Path, PathBuf};
use std::sync::Once;

use ort::ep::cuda::{CUDA_DYLIBS, CUDNN_DYLIBS};

use super::home::Home;

/// TensorRT's, dependencies first.
const TENSORRT_DYLIBS: [&str; 3] = ["libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10"];

/// The libraries that the CUDA provider needs, dependencies first.
pub(super) fn needed() -> impl Iterator<Item = &'static str> {
    CUDA_DYLIBS.iter().chain(CUDNN_DYLIBS).copied()
}

/// Whether the system's loader finds this library by itself.
pub(super) fn system_has(library: &str) -> bool {
    // SAFETY: loading a library runs its initialisers; these are NVIDIA's, installed by the system's administrator.
    unsafe { libloading::Library::new(library) }.is_ok()
}

/// Folders with NVIDIA's libraries: those that `setup --gpu --cuda-libs` filled, and the packages `nvidia-*` and
/// `tensorrt-*` of the Python environment that `onnxruntime` (the library file) belongs to.
pub(super) fn folders(home: &Home, onnxruntime: &Path) -> Vec<PathBuf> {
    let mut found = subfolders(&home.cuda());
    // site-packages/onnxruntime/capi/libonnxruntime.so: the packages lie two folders above the library's own.
    if let Some(packages) =
        onnxruntime.ancestors().nth(3).filter(|_| onnxruntime.parent().is_some_and(|p| p.ends_with("onnxruntime/capi")))
    {
        found.extend(subfolders(&packages.join("nvidia")).into_iter().map(|package| package.join("lib")));
        found.push(packages.join("tensorrt_libs"));
    }
    found
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.is_dir() && !is_hidden(path)).collect();
    found.sort();
    found
}

/// What is still being unpacked.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Loads what lies in these folders, once a process; a library that is loaded is found by its name from then on. What
/// does not load is passed over: the provider then names what it misses.
pub(super) fn preload(folders: &[PathBuf]) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for path in present(folders) {
            let _ = ort::util::preload_dylib(path);
        }
    });
}

/// The first file of each needed name, in the order of loading.
fn present(folders: &[PathBuf]) -> Vec<PathBuf> {
    let first = |name: &str| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    needed().chain(TENSORRT_DYLIBS).filter_map(first).collect()
}

/// The version that TensorRT tells of itself, such as 101300; `None` where it is not installed.
pub(super) fn tensorrt_version() -> Option<String> {
    // SAFETY: as in `system_has`.
    let library = unsafe { libloading::Library::new(TENSORRT_DYLIBS[0]) }.ok()?;
    // SAFETY: the symbol has this type since TensorRT 1.
    let version = unsafe { library.get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion") }.ok()?;
    // SAFETY: it takes nothing and returns a number.
    Some(unsafe { version() }.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    #[test]
    fn libraries_are_found_in_the_home_and_in_python_and_come_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home"));
        let packages = folder.path().join("lib/python3.11/site-packages");
        let own = home.cuda().join("nvidia-cublas-13.1.0.3");
        touch(&own.join(CUDA_DYLIBS[1]));
        touch(&home.cuda().join(".engraft-x.partial").join(CUDA_DYLIBS[0]));
        let theirs = packages.join("nvidia/cu13/lib");
        touch(&theirs.join(CUDA_DYLIBS[1]));
        touch(&theirs.join(CUDA_DYLIBS[0]));
        touch(&packages.join("tensorrt_libs").join(TENSORRT_DYLIBS[0]));
        let library = packages.join("onnxruntime/capi/libonnxruntime.so.1.31.1");
        let found = present(&folders(&home, &library));
        let expected = [
            theirs.join(CUDA_DYLIBS[0]),
            own.join(CUDA_DYLIBS[1]),
            packages.join("tensorrt_libs").join(TENSORRT_DYLIBS[0]),
        ];
        assert_eq!(found, expected);
        assert_eq!(folders(&home, Path::new("libonnxruntime.so")), [own]);
    }
}
