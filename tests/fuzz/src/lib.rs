//! What the targets share: files in memory, and panics that engraft itself catches.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use engraft::source::{Entry, Reject, Sample, SourceOptions, open_all};

/// A folder of this process, in memory where the system has such a place.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        let folder = base.join(format!("engraft-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    })
}

/// Writes a file into the folder; makes the folders of its name.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(&path, bytes).expect("written");
    path
}

/// libFuzzer ends the process on every panic. Those that engraft catches are no findings.
pub fn allow_guarded_panics() {
    let aborting = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !engraft::guard::is_guarded() {
            aborting(panic);
        }
    }));
}

/// Lists an input to its end. No id occurs twice.
pub fn list(path: &Path, options: &SourceOptions) {
    let Ok(source) = open_all(&[path.to_path_buf()], options) else { return };
    let mut seen = HashSet::new();
    for listed in source.list {
        let Ok(listed) = listed else { return };
        let (Entry::Sample(Sample { id, .. }) | Entry::Reject(Reject { id, .. })) = listed.entry;
        assert!(seen.insert(id.clone()), "{id} occurs twice");
    }
}
