//! Other views of an image: mirrored, and cut out at random.

/// The least share of the area that is kept.
const LEAST_AREA: f64 = 0.5;
/// The greatest change of the sides' ratio, and one over it.
const RATIO: f64 = 4.0 / 3.0;

/// A part of an image, in pixels, and whether it is mirrored.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Crop {
    top: f64,
    left: f64,
    height: f64,
    width: f64,
    mirrored: bool,
}

/// Makes of a preprocessed image – `height`×`width` values for each channel – another view of the same size: of half to all of its area, with
/// the ratio of its sides changed by 3/4 to 4/3, and every second one mirrored, by bilinear interpolation. These are torchvision's
/// `RandomResizedCrop` and `RandomHorizontalFlip`, milder in the area, and applied after resizing.
pub fn random_view(pixels: &mut [f32], [height, width]: [usize; 2], rng: &mut fastrand::Rng) {
    let crop = Crop::random([height, width], rng);
    for channel in pixels.chunks_exact_mut((height * width).max(1)) {
        let whole = channel.to_vec();
        crop.resample(&whole, channel, [height, width]);
    }
}

impl Crop {
    fn random([height, width]: [usize; 2], rng: &mut fastrand::Rng) -> Self {
        let mut between = |low: f64, high: f64| low + (high - low) * rng.f64();
        let area = between(LEAST_AREA, 1.0);
        let ratio = between(-RATIO.ln(), RATIO.ln()).exp();
        // What is too long for one side is given to the other.
        let mut share = [(area / ratio).sqrt(), (area * ratio).sqrt()];
        if let Some(long) = share.iter().position(|&share| share > 1.0) {
            share = [area, area];
            share[long] = 1.0;
        }
        let [height, width] = [height as f64, width as f64];
        let size = [share[0] * height, share[1] * width];
        let (top, left) = (between(0.0, height - size[0]), between(0.0, width - size[1]));
        Self { top, left, height: size[0], width: size[1], mirrored: rng.bool() }
    }

    fn resample(self, from: &[f32], to: &mut [f32], [height, width]: [usize; 2]) {
        let columns: Vec<Between> = (0..width)
            .map(|x| Between::of(self.left, self.width, if self.mirrored { width - 1 - x } else { x }, width))
            .collect();
        for (y, row) in to.chunks_exact_mut(width.max(1)).enumerate() {
            let rows = Between::of(self.top, self.height, y, height);
            let (above, below) = (&from[rows.first * width..], &from[rows.second * width..]);
            for (value, x) in row.iter_mut().zip(&columns) {
                let along = |row: &[f32]| row[x.first] + x.share * (row[x.second] - row[x.first]);
                *value = along(above) + rows.share * (along(below) - along(above));
            }
        }
    }
}

/// Two neighbours, and the share of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

impl Between {
    /// Where the middle of pixel `at` of `count` is, when `length` from `start` on is stretched over all of them.
    fn of(start: f64, length: f64, at: usize, count: usize) -> Self {
        let last = count.saturating_sub(1);
        let place = (start + (at as f64 + 0.5) * length / count as f64 - 0.5).clamp(0.0, last as f64);
        let first = place as usize;
        Self { first, second: (first + 1).min(last), share: (place - first as f64) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_whole_stays_and_is_mirrored() {
        let image: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let whole = Crop { top: 0.0, left: 0.0, height: 2.0, width: 3.0, mirrored: false };
        let view = |crop: Crop| {
            let mut to = vec![0.0; 6];
            crop.resample(&image, &mut to, [2, 3]);
            to
        };
        assert_close(view(whole), image.clone(), Tolerance::Close);
        assert_close(view(Crop { mirrored: true, ..whole }), [2.0, 1.0, 0.0, 5.0, 4.0, 3.0_f32], Tolerance::Close);
        // The left half, stretched: pixel x is at x/2 − 1/4, of what lies between the middles of two pixels.
        let left = view(Crop { width: 1.5, ..whole });
        assert_close(left, [0.0, 0.25, 0.75, 3.0, 3.25, 3.75_f32], Tolerance::Within(1e-6));
    }

    #[test]
    fn views_are_parts_of_the_size_that_is_told() {
        let mut rng = fastrand::Rng::with_seed(3);
        let crops: Vec<Crop> = (0..2000).map(|_| Crop::random([100, 80], &mut rng)).collect();
        for crop in &crops {
            assert!(crop.top >= 0.0 && crop.top + crop.height <= 100.0 + 1e-9, "{crop:?}");
            assert!(crop.left >= 0.0 && crop.left + crop.width <= 80.0 + 1e-9, "{crop:?}");
            let area = crop.height * crop.width / 8000.0;
            assert!((LEAST_AREA - 1e-9..=1.0 + 1e-9).contains(&area), "{area}");
        }
        let mirrored = crops.iter().filter(|crop| crop.mirrored).count();
        assert!((900..1100).contains(&mirrored), "{mirrored}");
        let mut pixels = vec![0.5; 3 * 100 * 80];
        random_view(&mut pixels, [100, 80], &mut rng);
        assert_close(pixels, vec![0.5; 3 * 100 * 80], Tolerance::Within(1e-6));
    }
}
