//! How much there is to read, found out beside the reading.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::input::Input;
use super::metadata::metadata;
use super::{Extent, Modality, folder, matches};

/// Held by the reader of a source: when it is dropped, measuring ends.
#[derive(Debug)]
pub(super) struct Measured {
    _wanted: Arc<()>,
}

/// What there is to read of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Files(u64),
    /// Of tables and archives, as they are on disk.
    Bytes(u64),
}

/// Extends `extent` by what the inputs hold, in a thread of its own: counting the files of a folder may take minutes. Where
/// some are counted in files and some in bytes, or one is standard input, the total stays unknown.
pub(super) fn measure(inputs: &[PathBuf], modality: Modality, extent: &Arc<Extent>) -> Measured {
    let wanted = Arc::new(());
    let (inputs, extent, handle) = (inputs.to_vec(), extent.clone(), Arc::downgrade(&wanted));
    std::thread::spawn(move || {
        let amounts = inputs.iter().map(|path| amount(path, &Input::of(path, modality).ok()?, &handle));
        if let Some(Amount::Files(total) | Amount::Bytes(total)) = sum(amounts) {
            extent.extend(total);
        }
    });
    Measured { _wanted: wanted }
}

fn sum(mut amounts: impl Iterator<Item = Option<Amount>>) -> Option<Amount> {
    let first = amounts.next()??;
    amounts.try_fold(first, |sum, more| match (sum, more?) {
        (Amount::Files(a), Amount::Files(b)) => Some(Amount::Files(a.saturating_add(b))),
        (Amount::Bytes(a), Amount::Bytes(b)) => Some(Amount::Bytes(a.saturating_add(b))),
        _ => None,
    })
}

fn amount(path: &Path, input: &Input, wanted: &Weak<()>) -> Option<Amount> {
    let size = |path: &Path| Some(Amount::Bytes(std::fs::metadata(path).ok()?.len()));
    match input {
        Input::Stdin => None,
        Input::Folder => match metadata(path).ok()? {
            Some(table) => size(&table),
            None => folder::count(path, || wanted.strong_count() > 0).map(Amount::Files),
        },
        Input::Image => Some(Amount::Files(1)),
        Input::Table(_) => size(path),
        Input::Archives(files) => sum(files.iter().map(|path| size(path))),
        Input::Glob(pattern) => {
            let files = matches::paths(pattern).ok()?.filter_map(Result::ok).filter(|path| !path.is_dir());
            let known = files.filter_map(|path| Input::of_file(&path).map(|input| (path, input)));
            let known = known.take_while(|_| wanted.strong_count() > 0);
            sum(known.map(|(path, input)| amount(&path, &input, wanted)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_like_amounts_have_a_sum() {
        use Amount::{Bytes, Files};
        assert_eq!(sum([Some(Files(1)), Some(Files(2))].into_iter()), Some(Files(3)));
        assert_eq!(sum([Some(Bytes(u64::MAX)), Some(Bytes(2))].into_iter()), Some(Bytes(u64::MAX)));
        for unknown in [vec![Some(Files(1)), Some(Bytes(2))], vec![Some(Files(1)), None], vec![None], vec![]] {
            assert_eq!(sum(unknown.into_iter()), None);
        }
    }
}
