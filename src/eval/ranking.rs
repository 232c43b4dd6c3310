//! Areas under curves, by ranks.
//!
//! ROC: the chance that a random positive row scores above a random negative one, a tie counting half (Mann & Whitney).
//! Average precision: `Σ (Rᵢ − Rᵢ₋₁)·Pᵢ` over the thresholds, without interpolation, as scikit-learn has it.

use ndarray::{ArrayView1, ArrayView2};

/// Rows in the order of one score, so that the areas under resampled rows need no new sorting and little but a sum.
#[derive(Debug, Clone)]
pub(super) struct Ranking {
    /// Rows by descending score. Of each step: the negatives above it, the negatives at its score, its positives.
    rows: Vec<u32>,
    /// One for each score that positives have.
    steps: Vec<Step>,
}

/// Ends, in `rows`, of the three parts of a step.
#[derive(Debug, Clone, Copy)]
struct Step {
    above: usize,
    tied: usize,
    positive: usize,
}

/// The areas under the two curves.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Areas {
    /// `None` without both kinds of row.
    pub(super) roc: Option<f64>,
    /// `None` without a positive row.
    pub(super) precision: Option<f64>,
}

impl Ranking {
    /// Ranks rows by `scores`, which have no NaN.
    pub(super) fn new<S: Copy + Into<f64>>(scores: ArrayView1<S>, is_positive: impl Fn(usize) -> bool) -> Self {
        let score = |row: usize| -> f64 { scores[row].into() };
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let (mut rows, mut steps) = (Vec::with_capacity(order.len()), Vec::new());
        // Not by bits: 0 and −0 tie.
        for group in order.chunk_by(|&a, &b| score(a) == score(b)) {
            let above = rows.len();
            rows.extend(group.iter().filter(|&&row| !is_positive(row)).map(|&row| row as u32));
            let tied = rows.len();
            rows.extend(group.iter().filter(|&&row| is_positive(row)).map(|&row| row as u32));
            if rows.len() > tied {
                steps.push(Step { above, tied, positive: rows.len() });
            }
        }
        Self { rows, steps }
    }

    /// The areas when row i counts `times[i]` times.
    pub(super) fn areas(&self, times: &[u32]) -> Areas {
        let total = |rows: &[u32]| {
            let mut sum = 0_u64;
            for &row in rows {
                sum += u64::from(times[row as usize]);
            }
            sum
        };
        let (mut positives, mut negatives, mut from) = (0_u64, 0_u64, 0);
        // Twice the lost pairs, to count halves in integers.
        let (mut losses, mut precision) = (0_u128, 0.0);
        for step in &self.steps {
            let above = negatives + total(&self.rows[from..step.above]);
            let tied = total(&self.rows[step.above..step.tied]);
            let own = total(&self.rows[step.tied..step.positive]);
            losses += u128::from(own) * u128::from(2 * above + tied);
            positives += own;
            negatives = above + tied;
            if own > 0 {
                precision += own as f64 * (positives as f64 / (positives + negatives) as f64);
            }
            from = step.positive;
        }
        negatives += total(&self.rows[from..]);
        let pairs = 2 * u128::from(positives) * u128::from(negatives);
        Areas {
            roc: (pairs > 0).then(|| (pairs - losses) as f64 / pairs as f64),
            precision: (positives > 0).then(|| precision / positives as f64),
        }
    }
}

/// The rankings that make up the areas: of class 1 for two classes, of each class against the rest for more.
pub(super) fn rankings(labels: &[usize], probabilities: ArrayView2<f32>) -> Vec<Ranking> {
    let classes = if probabilities.ncols() == 2 { 1..2 } else { 0..probabilities.ncols() };
    classes.map(|class| Ranking::new(probabilities.column(class), |row| labels[row] == class)).collect()
}

/// The mean of each area over the rankings that have it; `None` where none has.
pub(super) fn mean_areas(rankings: &[Ranking], times: &[u32]) -> Areas {
    let areas: Vec<Areas> = rankings.iter().map(|ranking| ranking.areas(times)).collect();
    Areas { roc: mean(areas.iter().filter_map(|a| a.roc)), precision: mean(areas.iter().filter_map(|a| a.precision)) }
}

/// `None` when there are no values.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}
