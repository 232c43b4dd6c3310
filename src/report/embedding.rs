//! Embeddings on a plane: by principal components, and by t-SNE started from them.

use bhtsne::Neighbor;
use ndarray::{Array2, ArrayView2, Axis, s};

use crate::eigen::eigen;
use crate::error::{Error, Result};
use crate::guard;

/// Rows that a map shows at most; of more, a sample.
pub const MOST_POINTS: usize = 3000;
/// Dimensions that t-SNE sees, as scikit-learn's documentation advises.
const REDUCED: usize = 50;
/// Points below which t-SNE has no neighbourhoods to keep.
const FEWEST: usize = 10;

/// Where rows lie on a plane.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingMap {
    /// The rows shown, in ascending order.
    pub rows: Vec<usize>,
    /// How many rows there were.
    pub of: usize,
    /// m×2: the first two principal components.
    pub pca: Array2<f64>,
    /// The share of the variance that these two components hold, 0..=1.
    pub explained: f64,
    /// m×2: Barnes-Hut t-SNE (van der Maaten 2014) of the first 50 components; none for fewer than ten points
    /// or where all are equal.
    pub tsne: Option<Array2<f64>>,
}

impl EmbeddingMap {
    /// The map of n×d features; of more than [`MOST_POINTS`] rows, a sample that `seed` draws. The same seed and features
    /// give the same map, whatever the number of threads.
    ///
    /// # Errors
    /// [`Error::Data`] without rows, with a NaN or infinite value, or where no decomposition is found.
    pub fn new(features: ArrayView2<f32>, seed: u64) -> Result<Self> {
        let of = features.nrows();
        if features.is_empty() {
            return Err(Error::Data("there are no features to draw a map of".into()));
        }
        if let Some(row) = features.outer_iter().position(|row| !row.iter().all(|x| x.is_finite())) {
            return Err(Error::Data(format!("the features of row {row} have a NaN or infinite value")));
        }
        let mut rows = fastrand::Rng::with_seed(seed).choose_multiple(0..of, MOST_POINTS.min(of));
        rows.sort_unstable();
        let sample = features.select(Axis(0), &rows).mapv(f64::from);
        // One thread: sums in another order would be other maps.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|e| Error::Data(format!("cannot start a thread: {e}")))?;
        pool.install(|| {
            let (scores, explained) = principal_components(sample)?;
            let spread_out = rows.len() >= FEWEST && explained > 0.0;
            // A map that the crate cannot draw is left out; the page has the other.
            let tsne = if spread_out { guard::catch(|| tsne(&scores)).ok() } else { None };
            let two = |i, j| if j < scores.ncols() { scores[[i, j]] } else { 0.0 };
            let pca = Array2::from_shape_fn((rows.len(), 2), |(i, j)| two(i, j));
            Ok(Self { rows, of, pca, explained, tsne })
        })
    }
}

/// The rows' first coordinates along the principal axes, at most 50, and the share of the variance that two of them hold.
/// Of each axis the largest coordinate is positive, for its sign is arbitrary.
fn principal_components(mut rows: Array2<f64>) -> Result<(Array2<f64>, f64)> {
    let mean = rows.mean_axis(Axis(0)).unwrap_or_default();
    rows -= &mean;
    let (n, d) = rows.dim();
    // The smaller of the two products has all the components.
    let product = if d <= n { rows.t().dot(&rows) } else { rows.dot(&rows.t()) };
    let (values, vectors) = eigen(&product)?;
    let size = d.min(n);
    let value = |k: usize| values[size - 1 - k].max(0.0);
    let kept = REDUCED.min(size);
    // The greatest first.
    let axes = vectors.slice(s![.., ..;-1]);
    let axes = axes.slice(s![.., ..kept]);
    let mut out = if d <= n {
        rows.dot(&axes)
    } else {
        Array2::from_shape_fn((n, kept), |(i, k)| axes[[i, k]] * value(k).sqrt())
    };
    for mut column in out.columns_mut() {
        let largest = column.iter().fold(0.0_f64, |best, &x| if x.abs() > best.abs() { x } else { best });
        if largest < 0.0 {
            column.mapv_inplace(|x| -x);
        }
    }
    let total: f64 = (0..size).map(value).sum();
    let two: f64 = (0..size.min(2)).map(value).sum();
    Ok((out, if total > 0.0 { two / total } else { 0.0 }))
}

fn tsne(scores: &Array2<f64>) -> Array2<f64> {
    let n = scores.nrows();
    let rows: Vec<Vec<f32>> = scores.outer_iter().map(|row| row.iter().map(|&x| x as f32).collect()).collect();
    // The scale that scikit-learn starts from; columns of no variance stay zero.
    let spread = (scores.column(0).mapv(|x| x * x).sum() / n as f64).sqrt().max(f64::MIN_POSITIVE);
    let mut rng = fastrand::Rng::with_seed(0);
    let start: Vec<f32> = (0..n)
        .flat_map(|i| (0..2).map(move |k| (i, k)))
        .map(|(i, k)| {
            let at = scores.get((i, k)).map_or(0.0, |x| 1e-4 * x / spread);
            // Equal rows must not start at one point: the tree would have no cell for them.
            (at + 1e-6 * (rng.f64() - 0.5)) as f32
        })
        .collect();
    let perplexity = 30.0_f32.min((n - 1) as f32 / 3.0 - 1e-3);
    let mut model: bhtsne::tSNE<f32, Vec<f32>> = bhtsne::tSNE::new(&rows);
    // bhtsne's gradient lacks the factor 4 of scikit-learn's and its gains end at 2: at its own rate and momentum it stops far from
    // where it could be (1,797 digits: divergence 1.26, scikit-learn's 0.71, by these 0.76).
    model.learning_rate(n as f32 / 2.0).final_momentum(0.9);
    model.perplexity(perplexity).initial_embedding(start).barnes_hut_with_neighbors(0.5, &neighbors(&rows, perplexity));
    let at = model.embedding();
    Array2::from_shape_fn((n, 2), |(i, k)| at.get(2 * i + k).map_or(0.0, |&x| f64::from(x)))
}

/// Each row's nearest others, of equally near ones those of lower index: bhtsne's own search confuses equal rows.
fn neighbors(rows: &[Vec<f32>], perplexity: f32) -> Vec<Vec<Neighbor<f32>>> {
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt();
    let kept = ((3.0 * perplexity) as usize).clamp(1, rows.len() - 1);
    let nearest = |(i, row): (usize, &Vec<f32>)| {
        let others = rows.iter().enumerate().filter(|&(j, _)| j != i);
        let mut all: Vec<Neighbor<f32>> =
            others.map(|(index, other)| Neighbor { index, distance: distance(row, other) }).collect();
        all.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.index.cmp(&b.index)));
        all.truncate(kept);
        all
    };
    rows.iter().enumerate().map(nearest).collect()
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs(n: usize, d: usize) -> Array2<f32> {
        let mut rng = fastrand::Rng::with_seed(3);
        Array2::from_shape_fn((n, d), |(i, j)| rng.f32() + if j == i % 3 { 20.0 } else { 0.0 })
    }

    #[test]
    fn a_line_is_one_component() {
        for (n, d) in [(9, 3), (3, 9)] {
            let line = Array2::from_shape_fn((n, d), |(i, j)| (i * (j + 1)) as f32);
            let map = EmbeddingMap::new(line.view(), 0).unwrap();
            assert!((map.explained - 1.0).abs() < 1e-9, "{}", map.explained);
            assert!(map.pca.column(1).iter().all(|x| x.abs() < 1e-5), "{:?}", map.pca);
            let step = (1..=d).map(|j| (j * j) as f64).sum::<f64>().sqrt();
            let got = (map.pca[[1, 0]] - map.pca[[0, 0]]).abs();
            assert!((got - step).abs() < 1e-9, "{got} {step}");
        }
    }

    #[test]
    fn maps_are_the_same_on_one_thread_and_many_and_keep_groups_together() {
        let features = blobs(150, 8);
        let map = EmbeddingMap::new(features.view(), 1).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        assert_eq!(pool.install(|| EmbeddingMap::new(features.view(), 1).unwrap()), map);
        let at = map.tsne.unwrap();
        let distance = |a: usize, b: usize| (at[[a, 0]] - at[[b, 0]]).hypot(at[[a, 1]] - at[[b, 1]]);
        for i in 0..150 {
            let nearest = (0..150).filter(|&j| j != i).min_by(|&a, &b| distance(i, a).total_cmp(&distance(i, b)));
            assert_eq!(nearest.unwrap() % 3, i % 3);
        }
    }

    #[test]
    fn few_equal_or_unusable_rows() {
        assert!(EmbeddingMap::new(Array2::<f32>::zeros((0, 4)).view(), 0).is_err());
        let one = EmbeddingMap::new(Array2::<f32>::zeros((1, 4)).view(), 0).unwrap();
        assert!(one.tsne.is_none() && one.pca.iter().all(|x| *x == 0.0));
        let equal = EmbeddingMap::new(Array2::<f32>::ones((30, 4)).view(), 0).unwrap();
        assert!(equal.tsne.is_none() && equal.pca.iter().all(|x| *x == 0.0));
        let twice = Array2::from_shape_fn((40, 4), |(i, j)| ((i / 2) * (j + 1) % 7) as f32);
        let twice = EmbeddingMap::new(twice.view(), 0).unwrap();
        assert!(twice.tsne.unwrap().iter().all(|x| x.is_finite()));
        let mut bad = Array2::<f32>::ones((2, 2));
        bad[[1, 0]] = f32::NAN;
        assert!(EmbeddingMap::new(bad.view(), 0).unwrap_err().to_string().contains("row 1"));
        let many = EmbeddingMap::new(blobs(20, 2).view(), 0).unwrap();
        assert_eq!((many.rows.len(), many.of), (20, 20));
    }
}
