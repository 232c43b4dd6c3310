//! Which part of a tensor's values is given codes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::entropy::entropy;
use super::search::Run;
use super::shrinker::trunk;
use crate::error::{Error, Result};
use crate::onnx::{Model, observe_counts, observe_ranges};

/// Bins of the histograms: eight for each code.
const BINS: usize = 2048;
/// The share of a tensor's values that [`Calibration::Percentile`] cuts off at each end.
const TAIL: f64 = 5e-5;

/// How the range of a tensor is found on samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibration {
    /// All that was seen.
    #[default]
    MinMax,
    /// All but one value in 20,000 at each end: single values that are far out make the steps coarse for all others.
    Percentile,
    /// The range whose codes tell the most of the values' distribution: the least Kullback-Leibler divergence (Migacz, 8-bit inference
    /// with TensorRT, 2017).
    Entropy,
}

/// The ranges of inner tensors of `model` while it runs on the samples of `run`.
///
/// # Errors
/// Those of the run; [`Error::Model`] when a tensor has a value that is not finite.
pub fn calibrate(
    model: &Model,
    tensors: &[String],
    how: Calibration,
    run: &mut dyn Run,
    name: &str,
) -> Result<HashMap<String, [f32; 2]>> {
    let names: Vec<&str> = tensors.iter().map(String::as_str).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let trunk = trunk(model.clone(), name)?;
    let mut ranges = vec![[f32::INFINITY, f32::NEG_INFINITY]; names.len()];
    run.observe(&observe_ranges(trunk.clone(), &names, name)?, &mut |row| {
        for (range, seen) in ranges.iter_mut().zip(row.as_chunks::<2>().0) {
            // Those of the standard library pass over a NaN.
            let either = [range[0], range[1], seen[0], seen[1]];
            *range = match either.iter().any(|bound| bound.is_nan()) {
                true => [f32::NAN; 2],
                false => [range[0].min(seen[0]), range[1].max(seen[1])],
            };
        }
    })?;
    if let Some((bad, _)) = names.iter().zip(&ranges).find(|(_, range)| !range.iter().all(|bound| bound.is_finite())) {
        return Err(Error::model(name, format!("its tensor {bad} has values that are not finite, on your samples")));
    }
    if how != Calibration::MinMax {
        let seen: Vec<(&str, [f32; 2])> = names.iter().copied().zip(ranges.iter().copied()).collect();
        let mut counts = vec![0.0_f64; BINS * names.len()];
        run.observe(&observe_counts(trunk, &seen, BINS, name)?, &mut |row| {
            counts.iter_mut().zip(row).for_each(|(count, share)| *count += f64::from(*share));
        })?;
        for (range, counts) in ranges.iter_mut().zip(counts.chunks_exact(BINS)) {
            let bins = match how {
                Calibration::Percentile => percentile(counts),
                _ => entropy(counts, zero(*range)),
            };
            let [low, high] = *range;
            let at = |bin: usize| low + (high - low) * (bin as f32 / BINS as f32);
            *range = [at(bins.start), at(bins.end)];
        }
    }
    Ok(tensors.iter().cloned().zip(ranges).collect())
}

/// The bin that 0 is in, or the nearest.
fn zero([low, high]: [f32; 2]) -> usize {
    ((-low / (high - low)).clamp(0.0, 1.0) * BINS as f32) as usize
}

/// The bins that hold all but [`TAIL`] of the values at each end.
fn percentile(counts: &[f64]) -> std::ops::Range<usize> {
    let most = TAIL * counts.iter().sum::<f64>();
    let cut = |bins: &mut dyn Iterator<Item = &f64>| {
        let mut sum = 0.0;
        bins.take_while(|count| {
            sum += **count;
            sum <= most
        })
        .count()
    };
    let start = cut(&mut counts.iter());
    let end = (counts.len() - cut(&mut counts.iter().rev())).max(1);
    start.min(end - 1)..end
}

#[cfg(test)]
mod tests {
    use super::super::search::Part;
    use super::*;
    use crate::head::Scored;
    use crate::onnx::build::Dim;
    use crate::onnx::{DataType, GraphBuilder};

    /// Shows these rows, whatever the model.
    struct Shows(Vec<[f32; 2]>);

    impl Run for Shows {
        fn score(&mut self, _: &Model, _: Part) -> Result<Scored> {
            Err(Error::Interrupted)
        }

        fn observe(&mut self, _: &Model, each: &mut dyn FnMut(&[f32])) -> Result<()> {
            self.0.iter().for_each(|row| each(row));
            Ok(())
        }
    }

    #[test]
    fn a_value_that_is_not_finite_is_not_forgotten() {
        let dims = [Dim::Named("n"), Dim::Fixed(2)];
        let mut graph = GraphBuilder::new("m");
        graph.input("x", DataType::Float, &dims);
        graph.node("Relu", &["x"], "embedding", vec![]);
        graph.output("embedding", DataType::Float, &dims);
        let (model, tensors) = (graph.finish(), ["x".to_owned()]);
        let of = |rows: &[[f32; 2]]| calibrate(&model, &tensors, Calibration::MinMax, &mut Shows(rows.to_vec()), "m");
        assert_eq!(of(&[[-1.0, 2.0], [-3.0, 1.0]]).unwrap()["x"], [-3.0, 2.0]);
        for bad in [[f32::NAN, 1.0], [0.0, f32::NAN], [f32::NEG_INFINITY, 1.0]] {
            let error = of(&[[-1.0, 2.0], bad, [-3.0, 1.0]]).unwrap_err().to_string();
            assert!(error.contains("its tensor x has values that are not finite"), "{error}");
        }
    }

    #[test]
    fn so_many_values_are_cut_off_at_each_end() {
        let mut counts = vec![0.0; 100];
        counts[20..80].fill(1e4);
        (counts[0], counts[99], counts[10]) = (20.0, 31.0, 5.0);
        // 600,056 values: 30 may go at each end.
        assert_eq!(percentile(&counts), 20..100);
        counts[99] = 30.0;
        assert_eq!(percentile(&counts), 20..80);
        assert_eq!(percentile(&[1.0]), 0..1);
        assert_eq!(percentile(&[0.0, 0.0]), 0..1);
    }
}
