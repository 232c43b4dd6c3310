//! Area under the ROC curve, by ranks: the chance that a random positive row scores above a random negative one, a tie
//! counting half (Mann & Whitney).

use ndarray::{ArrayView1, ArrayView2};

/// Rows in the order of one score, so that the area under resampled rows needs no new sorting.
#[derive(Debug, Clone)]
pub(super) struct Ranking {
    /// Row and whether it is positive, by ascending score; groups of equal score end where `true` stands.
    rows: Vec<(usize, Side, Last)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Positive,
    Negative,
}

/// Whether the next row scores higher.
type Last = bool;

impl Ranking {
    fn new(scores: ArrayView1<f32>, is_positive: impl Fn(usize) -> bool) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        let side = |row| if is_positive(row) { Side::Positive } else { Side::Negative };
        let last = |place: usize, row: usize| order.get(place + 1).is_none_or(|&next| scores[next] != scores[row]);
        let rows = order.iter().enumerate().map(|(place, &row)| (row, side(row), last(place, row))).collect();
        Self { rows }
    }

    /// The area when row i counts `times[i]` times; `None` without both kinds of row.
    fn area(&self, times: &[u32]) -> Option<f64> {
        let (mut below, mut positives, mut wins) = (0_u64, 0_u64, 0_u128);
        let mut group = (0_u64, 0_u64);
        for &(row, side, last) in &self.rows {
            let times = u64::from(times[row]);
            match side {
                Side::Positive => group.0 += times,
                Side::Negative => group.1 += times,
            }
            if last {
                // Twice the wins, to count halves in integers.
                wins += u128::from(group.0) * u128::from(2 * below + group.1);
                positives += group.0;
                below += group.1;
                group = (0, 0);
            }
        }
        (positives > 0 && below > 0).then(|| wins as f64 / (2.0 * positives as f64 * below as f64))
    }
}

/// The rankings that make up the area: of class 1 for two classes, of each class against the rest for more.
pub(super) fn rankings(labels: &[usize], probabilities: ArrayView2<f32>) -> Vec<Ranking> {
    let classes = if probabilities.ncols() == 2 { 1..2 } else { 0..probabilities.ncols() };
    classes.map(|class| Ranking::new(probabilities.column(class), |row| labels[row] == class)).collect()
}

/// Two classes: the area under the ROC curve of class 1. More: the mean over classes of each against the rest, classes
/// without rows left out. `None` when all rows are of one class.
pub(super) fn mean_area(rankings: &[Ranking], times: &[u32]) -> Option<f64> {
    let areas: Vec<f64> = rankings.iter().filter_map(|ranking| ranking.area(times)).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}
