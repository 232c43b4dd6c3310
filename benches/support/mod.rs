//! What the benches share: a real photo. Where things are fetched and kept is the tests' business.
#![allow(dead_code)]

use std::process::{Command, Stdio};
use std::time::Instant;

#[path = "../../tests/support/mod.rs"]
pub mod fetched;

/// The left picture of scikit-image's stereo pair of a motorcycle.
pub fn png() -> Vec<u8> {
    const NAME: &str = "skimage/data/motorcycle_left.png";
    const SHA256: &str = "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179";
    let folder = fetched::package_files("scikit-image", "0.26.0", &[(NAME, SHA256)], "bench-photo");
    std::fs::read(folder.join("motorcycle_left.png")).expect("the photo")
}

/// The same as a JPEG of 640×480 pixels and quality 90.
pub fn jpeg() -> Vec<u8> {
    let photo = image::load_from_memory(&png()).expect("a PNG");
    let photo = photo.resize_to_fill(640, 480, image::imageops::FilterType::Lanczos3).into_rgb8();
    let rgb = libjpeg_turbo_rs::PixelFormat::Rgb;
    let subsampling = libjpeg_turbo_rs::Subsampling::S420;
    libjpeg_turbo_rs::compress(&photo, 640, 480, rgb, 90, subsampling).expect("a JPEG")
}

/// Wall seconds and the peak of the resident memory in MiB.
pub fn watched(command: &mut Command) -> (f64, f64) {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("engraft");
    let process = child.id().to_string();
    let mut most = 0.0_f64;
    loop {
        most = most.max(peak(&process).unwrap_or(0.0));
        if let Some(exit) = child.try_wait().expect("a child") {
            assert!(exit.success(), "{exit}");
            return (started.elapsed().as_secs_f64(), most);
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The peak of the resident memory of a process, or of `self`, in MiB.
pub fn peak(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

/// The middle one, or the upper of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
