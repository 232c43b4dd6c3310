//! What the benches share: a real photo. Where things are fetched and kept is the tests' business.
#![allow(dead_code)]

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
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(640, 480);
    encoder.set_quality(90.0);
    let mut started = encoder.start_compress(Vec::new()).expect("a JPEG");
    started.write_scanlines(&photo).expect("a JPEG");
    started.finish().expect("a JPEG")
}
