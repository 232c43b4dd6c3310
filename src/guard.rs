//! Calls into other people's decoders, which may panic on hostile input.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDS: Cell<usize> = const { Cell::new(0) };
}

/// One call of [`catch`] on this thread.
struct Guard;

impl Guard {
    fn new() -> Self {
        GUARDS.set(GUARDS.get() + 1);
        Self
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDS.set(GUARDS.get() - 1);
    }
}

/// Runs `work`. What it changed before it panicked is left as it is: give up what it may have left half done.
///
/// # Errors
/// The message of its panic.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let guard = Guard::new();
    let outcome = catch_unwind(AssertUnwindSafe(work));
    drop(guard);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
    })
}

/// Whether a panic on this thread will be caught and told as an error. A panic hook that is asked about one then has
/// nothing to say.
pub fn is_guarded() -> bool {
    GUARDS.get() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_the_guard_ends() {
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(catch(|| -> u8 { panic!("plain") }), Err("plain".to_owned()));
        assert_eq!(catch(|| -> u8 { panic!("with {}", 1) }), Err("with 1".to_owned()));
        assert_eq!(catch(|| catch(|| -> u8 { panic!("inner") }).is_err() && is_guarded()), Ok(true));
        assert!(!is_guarded());
        assert_eq!(
            catch(|| std::thread::spawn(is_guarded).join().unwrap()),
            Ok(false),
            "other threads are not guarded"
        );
    }
}
