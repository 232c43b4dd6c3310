//! How long work tells of itself without printing: the caller gives an observer.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};

/// Watches long work, and may stop it. All methods default to nothing, so `()` is silent.
pub trait Progress: Sync {
    /// A stage begins; `total` in units of `advance`, if known.
    fn begin(&self, _stage: &str, _total: Option<u64>) {}
    /// `done` more units are finished.
    fn advance(&self, _done: u64) {}
    /// What is worth knowing of the stage just now, such as its rate, and how much of it is done, from 0 to 1, where its
    /// `total` was not known when it began. Replaces what was said before.
    fn state(&self, _detail: &str, _done: Option<f64>) {}
    /// The stage is over.
    fn end(&self) {}
    /// A fact the user should see once ("auto chose the CPU because ...").
    fn note(&self, _message: &str) {}
    /// True once the user has asked to stop: return [`crate::Error::Interrupted`] soon.
    fn interrupted(&self) -> bool {
        false
    }
}

impl Progress for () {}

/// Passes on the user's wish to stop alone: for work that is a step of a stage that the caller tells of.
pub struct Unstaged<'a>(pub &'a dyn Progress);

impl Progress for Unstaged<'_> {
    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

/// Who does work that falls into blocks of rows.
#[derive(Clone, Copy)]
pub struct Workers<'a> {
    /// How many threads; the results do not depend on it.
    pub threads: NonZeroUsize,
    /// Is told of the rows that are done, and may stop the work.
    pub progress: &'a dyn Progress,
}

impl Workers<'static> {
    /// As many threads as the process may use, silent.
    pub fn all() -> Self {
        Self { threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN), progress: &() }
    }
}

impl Workers<'_> {
    /// What `visit` gives for each stretch of `block` rows, 1 or more, of all `rows`, in their order, whatever the number of threads.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(crate) fn by_blocks<T: Send>(
        self,
        rows: usize,
        block: usize,
        visit: impl Fn(Range<usize>) -> T + Sync,
    ) -> Result<Vec<T>> {
        let blocks = rows.div_ceil(block);
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= blocks || self.progress.interrupted() {
                    return done;
                }
                let range = at * block..rows.min((at + 1) * block);
                let advance = range.len() as u64;
                done.push((at, visit(range)));
                self.progress.advance(advance);
            }
        };
        let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.threads.get().min(blocks)).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            for helper in helpers {
                match helper.join() {
                    Ok(done) => all.extend(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        });
        if self.progress.interrupted() {
            return Err(Error::Interrupted);
        }
        all.sort_by_key(|&(at, _)| at);
        Ok(all.into_iter().map(|(_, value)| value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks to stop once some rows are done.
    struct Impatient(AtomicUsize);

    impl Progress for Impatient {
        fn advance(&self, done: u64) {
            self.0.fetch_add(done as usize, Ordering::Relaxed);
        }

        fn interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= 6
        }
    }

    #[test]
    fn stretches_come_back_in_order_until_the_work_is_stopped() {
        for threads in [1, 3] {
            let threads = NonZeroUsize::new(threads).unwrap();
            let (silent, impatient) = (Workers { threads, progress: &() }, Impatient(AtomicUsize::new(0)));
            assert_eq!(silent.by_blocks(7, 3, |range| range).unwrap(), [0..3, 3..6, 6..7]);
            assert!(silent.by_blocks(0, 3, |range| range).unwrap().is_empty());
            let stopped = Workers { threads, progress: &impatient }.by_blocks(100, 3, |range| range);
            assert!(matches!(stopped, Err(Error::Interrupted)));
            assert!(impatient.0.load(Ordering::Relaxed) < 100);
        }
    }
}
