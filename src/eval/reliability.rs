//! Whether confidences can be believed (Guo et al., ICML 2017): rows in bins of their top probability.

use ndarray::ArrayView2;
use serde::Serialize;

use super::confusion::ratio;
use super::row_counts;

/// Bins of equal width over 0..=1.
const BINS: u8 = 15;

/// Rows whose top probability lies in `(lower, upper]`; 0 lies in the first bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReliabilityBin {
    /// Lower end, excluded.
    pub lower: f64,
    /// Upper end, included.
    pub upper: f64,
    /// Number of rows; each judgement of a row that was judged several times counts as that part of it.
    #[serde(serialize_with = "row_counts::one")]
    pub count: f64,
    /// Mean top probability; `None` (in JSON `null`) without rows.
    pub confidence: Option<f64>,
    /// Share of rows whose likeliest class is the label; `None` (in JSON `null`) without rows.
    pub accuracy: Option<f64>,
}

/// Each row's bin, top probability and whether it is right.
#[derive(Debug, Clone)]
pub(super) struct Reliability {
    rows: Vec<(usize, f64, bool)>,
}

impl Reliability {
    pub(super) fn new(labels: &[usize], predicted: &[usize], probabilities: ArrayView2<f32>) -> Self {
        // In f32, as the probabilities are: 0.2 is to lie on an edge, not above it.
        let edges: Vec<f32> = (1..BINS).map(|i| (f64::from(i) / f64::from(BINS)) as f32).collect();
        let row = |((row, &class), &label): ((usize, &usize), &usize)| {
            let top = probabilities[[row, class]];
            (edges.partition_point(|&edge| edge < top), f64::from(top), class == label)
        };
        Self { rows: predicted.iter().enumerate().zip(labels).map(row).collect() }
    }

    /// Of each bin: rows, sum of top probabilities and right rows, when row i counts `times[i]` times.
    fn sums(&self, times: &[u32]) -> [(u64, f64, u64); BINS as usize] {
        let mut sums = [(0, 0.0, 0); BINS as usize];
        for (&(bin, top, right), &times) in self.rows.iter().zip(times) {
            let (count, confidence, correct) = &mut sums[bin];
            *count += u64::from(times);
            *confidence += top * f64::from(times);
            *correct += u64::from(times) * u64::from(right);
        }
        sums
    }

    /// The expected calibration error when row i counts `times[i]` times.
    pub(super) fn ece(&self, times: &[u32]) -> f64 {
        let sums = self.sums(times);
        let n: u64 = sums.iter().map(|(count, _, _)| count).sum();
        sums.iter().map(|(_, confidence, correct)| (*correct as f64 - confidence).abs()).sum::<f64>() / n as f64
    }

    /// The bins, in ascending order, of rows that are each here `repeats` times.
    pub(super) fn bins(&self, repeats: usize) -> Vec<ReliabilityBin> {
        let bin = |(i, (count, confidence, correct)): (u8, (u64, f64, u64))| ReliabilityBin {
            lower: f64::from(i) / f64::from(BINS),
            upper: f64::from(i + 1) / f64::from(BINS),
            count: count as f64 / repeats as f64,
            confidence: (count > 0).then(|| confidence / count as f64),
            accuracy: (count > 0).then(|| ratio(correct, count)),
        };
        (0..BINS).zip(self.sums(&vec![1; self.rows.len()])).map(bin).collect()
    }
}
