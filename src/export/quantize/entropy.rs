//! The range whose codes tell the most of a distribution.

use std::ops::Range;

/// Codes of a range.
const CODES: usize = 256;
/// How far an end moves at a time, in bins.
const STEP: usize = 16;

/// The stretch of bins, `zero` in it, for which the counts, with what is outside at its ends, are nearest to the same rounded to
/// [`CODES`] levels: the least Kullback-Leibler divergence. First the upper end is found, then the lower one.
pub(super) fn entropy(counts: &[f64], zero: usize) -> Range<usize> {
    let zero = zero.min(counts.len().saturating_sub(1));
    // 0 has a code of its own in every range: what is exact would otherwise count as blurred, and of a ReLU it is most.
    let mut counts = counts.to_vec();
    counts.iter_mut().skip(zero).take(1).for_each(|count| *count = 0.0);
    let best = |ranges: &mut dyn Iterator<Item = Range<usize>>| {
        let scored = ranges.map(|range| (divergence(&counts, range.clone()), range));
        scored.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, range)| range)
    };
    let whole = 0..counts.len();
    let ends = (zero + 1..=counts.len()).rev().step_by(STEP).map(|end| 0..end);
    let upper = best(&mut ends.filter(|range| range.len() >= CODES)).unwrap_or(whole);
    let starts = (0..=zero).step_by(STEP).map(|start| start..upper.end);
    best(&mut starts.filter(|range| range.len() >= CODES)).unwrap_or(upper)
}

/// KL(P‖Q): P are the counts of the range with what is outside added to its ends, Q those of inside, the same in all bins of a code that are
/// not empty.
fn divergence(counts: &[f64], range: Range<usize>) -> f64 {
    let inside = counts.get(range.clone()).unwrap_or_default();
    let mut p = inside.to_vec();
    if let [first, .., last] = p.as_mut_slice() {
        *first += counts.iter().take(range.start).sum::<f64>();
        *last += counts.iter().skip(range.end).sum::<f64>();
    }
    let (all, kept) = (p.iter().sum::<f64>(), inside.iter().sum::<f64>());
    if all == 0.0 || kept == 0.0 {
        return f64::INFINITY;
    }
    let mut sum = 0.0;
    for code in 0..CODES {
        let bins = code * p.len() / CODES..(code + 1) * p.len() / CODES;
        let full = inside[bins.clone()].iter().filter(|count| **count > 0.0).count();
        let mean = inside[bins.clone()].iter().sum::<f64>() / full.max(1) as f64;
        for (&p, &count) in p[bins.clone()].iter().zip(&inside[bins]) {
            // A bin that holds only what was outside is not among the levels: as little as one value stands for it.
            let q = if count > 0.0 { mean } else { 1e-3 };
            if p > 0.0 {
                sum += p / all * ((p / all) / (q / kept)).ln();
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_far_out_are_cut_off_and_a_flat_distribution_is_not() {
        let flat = vec![10.0; 2048];
        assert_eq!(entropy(&flat, 0), 0..2048);
        assert_eq!(divergence(&flat, 0..2048), 0.0);
        // A bell around bin 1024 of width 100, and one value at each end.
        let bell = |i: usize| (1e5 * (-0.5 * ((i as f64 - 1024.0) / 100.0).powi(2)).exp()).floor();
        let mut counts: Vec<f64> = (0..2048).map(bell).collect();
        (counts[0], counts[2047]) = (1.0, 1.0);
        let found = entropy(&counts, 1024);
        assert!(found.start > 400 && found.end < 1650 && found.start < 800 && found.end > 1250, "{found:?}");
        assert!(divergence(&counts, found) < divergence(&counts, 0..2048));
        // Nine tenths of zeros make no difference to the rest.
        let mut relu = vec![10.0; 2048];
        relu[0] = 9.0 * 20_480.0;
        assert_eq!(entropy(&relu, 0), 0..2048);
    }
}
