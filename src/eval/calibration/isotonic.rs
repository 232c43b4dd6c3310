//! Isotonic regression.

use serde::{Deserialize, Serialize};

/// An increasing function by its corners: linear between them, constant beyond.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Isotonic {
    /// (decision, probability), ascending in both.
    corners: Vec<(f64, f64)>,
}

/// Neighbouring decisions that share a value.
struct Block {
    first: f64,
    last: f64,
    sum: f64,
    count: f64,
}

impl Isotonic {
    /// The increasing function nearest to the targets in the sum of squares, by pooling adjacent violators; rows with the
    /// same decision count as one with their mean.
    pub(super) fn fit(z: &[f64], positive: &[bool]) -> Self {
        let mut rows: Vec<(f64, f64)> = z.iter().zip(positive).map(|(&z, &p)| (z, f64::from(u8::from(p)))).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut blocks: Vec<Block> = Vec::new();
        for tied in rows.chunk_by(|a, b| a.0 == b.0) {
            let z = tied[0].0;
            let mut block =
                Block { first: z, last: z, sum: tied.iter().map(|row| row.1).sum(), count: tied.len() as f64 };
            while let Some(before) = blocks.pop_if(|before| before.sum * block.count >= block.sum * before.count) {
                block = Block {
                    first: before.first,
                    last: block.last,
                    sum: before.sum + block.sum,
                    count: before.count + block.count,
                };
            }
            blocks.push(block);
        }
        let mut corners = Vec::with_capacity(2 * blocks.len());
        for block in &blocks {
            let value = block.sum / block.count;
            corners.push((block.first, value));
            if block.last > block.first {
                corners.push((block.last, value));
            }
        }
        Self { corners }
    }

    pub(super) fn apply(&self, z: f64) -> f64 {
        let after = self.corners.partition_point(|corner| corner.0 <= z);
        match (after.checked_sub(1).and_then(|before| self.corners.get(before)), self.corners.get(after)) {
            (Some(low), Some(high)) => low.1 + (high.1 - low.1) * ((z - low.0) / (high.0 - low.0)),
            (Some(end), None) | (None, Some(end)) => end.1,
            (None, None) => 0.0,
        }
    }
}
