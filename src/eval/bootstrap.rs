//! Intervals by resampling rows.

use super::interval::{Interval, central, resample};

/// The central 95 % of `N` metrics over `resamples` draws of `n` rows with replacement. `metrics` gets how often each row
/// was drawn; a metric that a draw does not have (`None`) is left out of that draw. Draws are measured on all cores, with
/// the same result as on one.
pub(super) fn bootstrap<const N: usize>(
    n: usize,
    resamples: usize,
    seed: u64,
    metrics: impl Fn(&[u32]) -> [Option<f64>; N] + Sync,
) -> [Option<Interval>; N] {
    let mut rng = fastrand::Rng::with_seed(seed);
    let seeds: Vec<fastrand::Rng> = (0..resamples).map(|_| rng.fork()).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let measure = |draws: &[fastrand::Rng]| {
        let mut times = vec![0; n];
        draws
            .iter()
            .map(|draw| {
                resample(&mut draw.clone(), &mut times);
                metrics(&times)
            })
            .collect::<Vec<_>>()
    };
    let measured: Vec<[Option<f64>; N]> = std::thread::scope(|scope| {
        let size = seeds.len().div_ceil(threads).max(1);
        let workers: Vec<_> = seeds.chunks(size).map(|draws| scope.spawn(|| measure(draws))).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)))
            .collect()
    });
    std::array::from_fn(|i| central(measured.iter().filter_map(|values| values[i]).collect()))
}
