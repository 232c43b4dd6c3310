//! One thread, one 640×480 photo: from the JPEG's bytes to a tensor, and resizing alone.

mod support;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use engraft::preprocess::{Exif, ImagePreprocessor, ImageSpec, Interpolation, Scratch, Step, Transparency};

const SIZE: u32 = 224;

fn preprocessor(steps: Vec<Step>, interpolation: Interpolation) -> ImagePreprocessor {
    let (mean, std) = ([127.0; 3], [128.0; 3]);
    let (exif, transparency) = (Exif::Apply, Transparency::White);
    ImagePreprocessor::new(ImageSpec { steps, interpolation, scale: 1.0, mean, std, exif, transparency })
        .expect("a specification")
}

fn decode_and_preprocess(c: &mut Criterion) {
    let jpeg = support::jpeg();
    let steps = vec![Step::CentralSquare { size: SIZE, margin: 32 }, Step::Resize([SIZE; 2])];
    let processor = preprocessor(steps, Interpolation::Bicubic);
    let mut scratch = Scratch::default();
    let mut out = vec![0.0; 3 * (SIZE * SIZE) as usize];
    c.bench_function("decode_and_preprocess", |b| {
        b.iter(|| processor.process(&jpeg, &mut scratch, &mut out).expect("a photo"));
    });
}

/// The whole photo to 224×224, with the normalisation that follows.
fn resize(c: &mut Criterion) {
    let photo = image::load_from_memory(&support::jpeg()).expect("a photo").into_rgb8();
    let size = [photo.height() as usize, photo.width() as usize];
    let mut out = vec![0.0; 3 * (SIZE * SIZE) as usize];
    let mut group = c.benchmark_group("resize");
    use Interpolation::{Bicubic, Bilinear, Box, Hamming, Lanczos, Nearest};
    for filter in [Nearest, Box, Bilinear, Hamming, Bicubic, Lanczos] {
        let processor = preprocessor(vec![Step::Resize([SIZE; 2])], filter);
        let mut scratch = Scratch::default();
        group.bench_function(BenchmarkId::from_parameter(format!("{filter:?}").to_lowercase()), |b| {
            b.iter(|| processor.process_rgb(size, &photo, &mut scratch, &mut out).expect("a photo"));
        });
    }
}

criterion_group!(benches, decode_and_preprocess, resize);
criterion_main!(benches);
