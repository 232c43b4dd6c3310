//! How large a batch is: as asked for, or as measured while the first ones run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often each candidate is timed.
const ROUNDS: usize = 6;
/// A smaller batch is preferred to one that is faster by less than this: it takes less memory and waits less.
const MARGIN: f64 = 0.03;

/// The size of batches, in a unit of the caller's: rows or tokens. With several candidates each is tried in turn on the
/// batches that come anyway, so measuring costs next to nothing; then the fastest stays.
#[derive(Debug)]
pub(super) struct Sizes {
    unit: &'static str,
    search: Mutex<Search>,
}

#[derive(Debug)]
struct Search {
    candidates: Vec<Candidate>,
    turn: usize,
    chosen: Option<usize>,
    /// What the device's memory holds, once that is known.
    most: usize,
}

#[derive(Debug)]
struct Candidate {
    size: usize,
    /// The first run of a shape allocates, and does not count.
    warm: bool,
    /// Seconds a unit.
    costs: Vec<f64>,
}

impl Sizes {
    /// `unit` is the singular, for messages. One candidate is a fixed size.
    pub(super) fn new(unit: &'static str, candidates: &[usize]) -> Self {
        let candidates: Vec<Candidate> =
            candidates.iter().map(|&size| Candidate { size: size.max(1), warm: false, costs: Vec::new() }).collect();
        let chosen = match &candidates[..] {
            [] => Some(1),
            [only] => Some(only.size),
            _ => None,
        };
        Self { unit, search: Mutex::new(Search { candidates, turn: 0, chosen, most: usize::MAX }) }
    }

    /// The size of the next batch.
    pub(super) fn next(&self) -> usize {
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        let most = search.most;
        let size = match search.chosen {
            Some(size) => size,
            None => {
                let turn = search.turn % search.candidates.len().max(1);
                search.turn += 1;
                search.candidates.get(turn).map_or(1, |candidate| candidate.size)
            }
        };
        size.min(most)
    }

    /// The size that stays, once it is known.
    pub(super) fn settled(&self) -> Option<usize> {
        let search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        search.chosen.map(|size| size.min(search.most))
    }

    /// What the device's memory holds, as far as that is known.
    pub(super) fn most(&self) -> usize {
        self.search.lock().unwrap_or_else(PoisonError::into_inner).most
    }

    /// A batch that was to be of `size` took this long for `units`. Returns what to say when this settles the matter.
    pub(super) fn record(&self, size: usize, units: usize, elapsed: Duration) -> Option<String> {
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        if search.chosen.is_some() {
            return None;
        }
        let candidate = search.candidates.iter_mut().find(|candidate| candidate.size == size)?;
        // The last batch of a stretch may be nearly empty.
        if units * 4 < size * 3 {
            return None;
        }
        match std::mem::replace(&mut candidate.warm, true) {
            false => return None,
            true => candidate.costs.push(elapsed.as_secs_f64() / units as f64),
        }
        if search.candidates.iter().any(|candidate| candidate.costs.len() < ROUNDS) {
            return None;
        }
        let medians: Vec<(usize, f64)> = search.candidates.iter().map(|c| (c.size, median(&c.costs))).collect();
        let best = medians.iter().map(|m| m.1).fold(f64::INFINITY, f64::min);
        let chosen = medians.iter().find(|m| m.1 <= best * (1.0 + MARGIN)).map_or(1, |m| m.0);
        search.chosen = Some(chosen);
        let shown: Vec<String> = medians.iter().map(|(size, cost)| format!("{size}: {:.3}", cost * 1e3)).collect();
        Some(format!("batches of {chosen} {}s ({} ms each)", self.unit, shown.join(", ")))
    }

    /// The device's memory does not hold batches of this size: from now on they are at most half as large. Returns what to
    /// say.
    pub(super) fn halve(&self, size: usize) -> String {
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        search.most = search.most.min((size / 2).max(1));
        format!("out of memory with {size} {unit}s in a batch: going on with {}", search.most, unit = self.unit)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds a unit for each size, as a machine would have it.
    fn settle(costs: &[(usize, f64)]) -> (usize, usize) {
        let sizes = Sizes::new("image", &costs.iter().map(|c| c.0).collect::<Vec<_>>());
        for batch in 0.. {
            let size = sizes.next();
            let cost = costs.iter().find(|c| c.0 == size).unwrap().1;
            // The first run of each is slow.
            let cost = if batch < costs.len() { 50.0 * cost } else { cost };
            if let Some(note) = sizes.record(size, size, Duration::from_secs_f64(cost * size as f64)) {
                assert!(note.starts_with(&format!("batches of {} images (", sizes.settled().unwrap())), "{note}");
                return (sizes.next(), batch);
            }
        }
        unreachable!()
    }

    #[test]
    fn the_fastest_size_stays_and_among_equals_the_smallest() {
        assert_eq!(settle(&[(4, 2.0), (8, 1.0), (16, 1.5)]).0, 8);
        assert_eq!(settle(&[(4, 1.02), (8, 1.0), (16, 1.0)]).0, 4);
        let (chosen, batches) = settle(&[(4, 3.0), (8, 2.0), (16, 1.0)]);
        assert_eq!((chosen, batches), (16, 3 * (ROUNDS + 1) - 1));
    }

    #[test]
    fn short_batches_tell_nothing_and_a_fixed_size_is_fixed() {
        let sizes = Sizes::new("image", &[4, 8]);
        (0..100).for_each(|_| assert_eq!(sizes.record(8, 5, Duration::from_millis(1)), None));
        assert_eq!(sizes.settled(), None);
        let fixed = Sizes::new("image", &[32]);
        assert_eq!((fixed.next(), fixed.settled()), (32, Some(32)));
        assert_eq!(fixed.record(32, 32, Duration::from_millis(1)), None);
    }

    #[test]
    fn memory_bounds_what_is_chosen_and_tried() {
        let sizes = Sizes::new("image", &[32]);
        assert!(sizes.halve(32).contains("going on with 16"));
        sizes.halve(16);
        sizes.halve(1);
        assert_eq!(sizes.next(), 1);
    }
}
