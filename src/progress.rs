//! How long work tells of itself without printing: the caller gives an observer.

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
