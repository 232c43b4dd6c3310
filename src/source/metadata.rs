//! An image folder's own table, as Hugging Face's `imagefolder` has it.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::folder::{is_image, is_unreadable_image};
use super::seen::Seen;
use super::table::Table;
use super::walk::{Step, Walk};
use super::{Content, Entries, Entry, Extent, Reject, Sample, SourceOptions, Stage};
use crate::error::{Error, Result};

/// The names of an image folder's own table.
const NAMES: [&str; 3] = ["metadata.csv", "metadata.jsonl", "metadata.parquet"];

/// The table of an image folder.
///
/// # Errors
/// When there are several.
pub(super) fn metadata(folder: &Path) -> Result<Option<PathBuf>> {
    let mut found = NAMES.iter().map(|name| folder.join(name)).filter(|path| path.is_file());
    match (found.next(), found.next()) {
        (Some(one), Some(other)) => {
            let other = other.file_name().unwrap_or_default().display();
            Err(Error::Data(format!("{} and {other} both describe the images there: keep one", one.display())))
        }
        (found, _) => Ok(found),
    }
}

/// The rows of the table at `path`. One whose image lies outside of the table's folder is a reject. The images there that no
/// row names count as left out of `whole`; `read` is how far the table has been read.
///
/// # Errors
/// As `Table::open`.
pub(super) fn rows(path: &Path, options: &SourceOptions, read: &Arc<Extent>, whole: &Arc<Extent>) -> Result<Entries> {
    let mut options = options.clone();
    let table = &mut options.table;
    let images = table.path_column.get_or_insert_with(|| "file_name".to_owned()).clone();
    table.id_column.get_or_insert(images);
    let Some(kind) = Table::from_path(path) else {
        return Err(Error::malformed(path, "it is no table"));
    };
    let rows = kind.open(path, &options, read).map_err(|e| match e {
        Error::Usage(reason) => Error::Usage(format!(
            "{reason} (a {} names the images of its folder in `file_name`, or in the column that --path-column gives)",
            path.file_name().unwrap_or_default().display()
        )),
        other => other,
    })?;
    let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut listed = Listed { rows, folder, seen: Seen::default(), within: false, ended: false, whole: whole.clone() };
    Ok(Box::new(std::iter::from_fn(move || listed.entry())))
}

/// Rows and the images that they name.
struct Listed {
    rows: Entries,
    folder: PathBuf,
    seen: Seen,
    /// Whether images came within the table: then those beside it are not meant.
    within: bool,
    ended: bool,
    whole: Arc<Extent>,
}

impl Listed {
    fn entry(&mut self) -> Option<Result<Entry>> {
        let entry = match self.rows.next() {
            Some(Ok(entry)) => entry,
            Some(Err(e)) => {
                self.ended = true;
                return Some(Err(e));
            }
            None => {
                if !std::mem::replace(&mut self.ended, true) && !self.within {
                    let unlisted = self.unlisted();
                    self.whole.leave_out(unlisted);
                }
                return None;
            }
        };
        Some(Ok(match entry {
            Entry::Sample(Sample { id, content: Content::File(path), label, kept }) => {
                match inside(&self.folder, &path) {
                    Some(name) => {
                        self.seen.is_new(&name);
                        Entry::Sample(Sample { id, content: Content::File(path), label, kept })
                    }
                    None => {
                        let reason = "the path leads out of the table's folder".to_owned();
                        Entry::Reject(Reject { id, stage: Stage::Read, reason })
                    }
                }
            }
            entry => {
                self.within |= matches!(&entry, Entry::Sample(_));
                entry
            }
        }))
    }

    /// How many images in the folder no row named.
    fn unlisted(&mut self) -> u64 {
        let Ok(walk) = Walk::new(&self.folder, 0) else { return 0 };
        let images = walk.filter_map(|step| match step {
            Step::File(path, _) if is_image(&path) || is_unreadable_image(&path) => inside(&self.folder, &path),
            _ => None,
        });
        let seen = &mut self.seen;
        images.filter(|name| seen.is_new(name)).count() as u64
    }
}

/// The path relative to the folder, spelt in one way; `None` where it leads out of the folder.
fn inside(folder: &Path, path: &Path) -> Option<String> {
    let mut names = Vec::new();
    let within = match path.strip_prefix(folder) {
        Ok(within) => Cow::Borrowed(within),
        // A table may name its images by absolute paths, and its folder be given by a relative one.
        Err(_) => {
            let [whole, path] = [std::path::absolute(folder).ok()?, std::path::absolute(path).ok()?];
            Cow::Owned(path.strip_prefix(whole).ok()?.to_path_buf())
        }
    };
    for part in within.components() {
        match part {
            Component::Normal(name) => names.push(super::folder::printable(name.as_encoded_bytes())),
            Component::CurDir => {}
            Component::ParentDir => _ = names.pop()?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_spelt_in_one_way_and_stay_inside() {
        let of = |path: &str| inside(Path::new("f"), &Path::new("f").join(path));
        assert_eq!(of("a/./b.png").as_deref(), Some("a/b.png"));
        assert_eq!(of("a/../b.png").as_deref(), Some("b.png"));
        for out in ["../b.png", "a/../../b.png", "../f/b.png", "/etc/b.png"] {
            assert_eq!(of(out), None, "{out}");
        }
    }
}
