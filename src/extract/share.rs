//! How many of the workers run sessions: as asked for, or as measured in the first seconds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long each candidate is watched, after a while in which the last batches of the one before end.
const WATCH: Duration = Duration::from_millis(1000);
const SETTLE: Duration = Duration::from_millis(300);
/// Fewer sessions are preferred to a number that is faster by less than this.
const MARGIN: f64 = 0.03;
/// With fewer workers than this there is nothing to try: half of them would idle.
const LEAST: usize = 4;

/// How many workers may run sessions at a time; the others prepare. Shared with the workers.
#[derive(Debug)]
pub(super) struct Active(AtomicUsize);

impl Active {
    pub(super) fn new(workers: usize) -> Self {
        Self(AtomicUsize::new(workers))
    }

    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Tries all, three quarters and half of the workers one after the other, and keeps the fastest. On processors whose cores
/// share their arithmetic units or memory, more sessions are not always faster.
#[derive(Debug)]
pub(super) struct Search {
    candidates: Vec<usize>,
    /// Rows a second of those that were watched.
    rates: Vec<f64>,
    /// When the current candidate began, and the rows at the time it had settled.
    since: Option<Instant>,
    from: Option<(Instant, u64)>,
}

impl Search {
    /// None where there is nothing to try.
    pub(super) fn new(workers: usize) -> Option<Self> {
        let candidates = vec![workers, workers - workers / 4, workers / 2];
        (workers >= LEAST).then_some(Self { candidates, rates: Vec::new(), since: None, from: None })
    }

    /// `rows` have been run until `now`. Sets how many may run; returns what to say once that is settled.
    pub(super) fn observe(&mut self, active: &Active, rows: u64, now: Instant) -> Option<String> {
        let least = 16 * self.candidates.first().copied().unwrap_or(1) as u64;
        if self.rates.is_empty() && self.from.is_none() && rows < least {
            // Sessions are still being opened, or there is nothing to run yet.
            self.since = Some(now);
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let (began, before) = match self.from {
            Some(from) => from,
            None if now - since < SETTLE => return None,
            None => *self.from.insert((now, rows)),
        };
        if now - began < WATCH {
            return None;
        }
        self.rates.push((rows - before) as f64 / (now - began).as_secs_f64());
        (self.since, self.from) = (None, None);
        if let Some(&next) = self.candidates.get(self.rates.len()) {
            active.0.store(next, Ordering::Relaxed);
            return None;
        }
        let best = self.rates.iter().copied().fold(0.0, f64::max);
        let tried = self.candidates.iter().zip(&self.rates);
        let chosen = tried.clone().filter(|(_, rate)| **rate >= best * (1.0 - MARGIN)).map(|(n, _)| *n).min();
        let all = self.candidates.first().copied().unwrap_or(1);
        // A window in which nothing came tells nothing.
        let chosen = chosen.filter(|_| self.rates.iter().all(|rate| *rate > 0.0)).unwrap_or(all);
        active.0.store(chosen, Ordering::Relaxed);
        let shown: Vec<String> = tried.map(|(n, rate)| format!("{n}: {rate:.0}/s")).collect();
        Some(format!("{chosen} sessions side by side ({})", shown.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows a second by the number of active workers.
    fn settle(workers: usize, rate: impl Fn(usize) -> f64) -> Option<(usize, String)> {
        let (mut search, active) = (Search::new(workers)?, Active::new(workers));
        let (began, mut rows) = (Instant::now(), 0.0);
        for tick in 0..1000 {
            let now = began + Duration::from_millis(10 * tick);
            rows += rate(active.get()) / 100.0;
            if let Some(note) = search.observe(&active, rows as u64, now) {
                assert!(tick < 600, "it takes seconds");
                return Some((active.get(), note));
            }
        }
        panic!("it never settles")
    }

    #[test]
    fn the_fastest_number_stays_and_among_equals_the_least() {
        let (n, note) = settle(8, |n| 100.0 * n as f64).unwrap();
        assert_eq!(n, 8);
        assert!(note.starts_with("8 sessions side by side (8: "), "{note}");
        assert_eq!(settle(8, |n| 100.0 * n.min(4) as f64).unwrap().0, 4);
        assert_eq!(settle(16, |n| if n == 12 { 500.0 } else { 400.0 }).unwrap().0, 12);
        assert!(settle(3, |_| 1.0).is_none());
    }
}
