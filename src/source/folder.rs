//! A folder of images: one sub-folder a class, or with a table of its own as Hugging Face's `imagefolder` has it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::metadata::{metadata, rows};
use super::walk::{MAX_SORTED, Sort, Step, Walk};
use super::{Content, Entries, Entry, Extent, Reject, Sample, SourceOptions, Stage};
use crate::error::{Error, Result};

/// The file name extensions, in any case, that are taken for images.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Image formats that cannot be read. Such a file is a reject: who embeds a folder expects each of its pictures.
const UNREADABLE: [&str; 12] = ["avif", "heic", "heif", "jxl", "jp2", "svg", "psd", "raw", "dng", "cr2", "nef", "arw"];

/// Whether the file's name ends like an image's.
pub(super) fn is_image(path: &Path) -> bool {
    ends_like(path, &EXTENSIONS)
}

/// Whether the file's name ends like that of an image that cannot be read.
pub(super) fn is_unreadable_image(path: &Path) -> bool {
    ends_like(path, &UNREADABLE)
}

/// Why such an image cannot be read.
pub(super) fn unreadable_image() -> String {
    format!("this image format cannot be read; convert it to one of {}", extensions())
}

fn ends_like(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// The extensions, for messages.
pub(super) fn extensions() -> String {
    EXTENSIONS.join(", ")
}

/// The images below `root`, folder by folder in the order of names; a folder of more than 65,536 entries in the file
/// system's order, so that listing takes no memory.
///
/// The id is the path relative to `root`, with `/`. The label is the folder directly under `root`, however deep below
/// it the file lies; a file directly in `root` has none. Hidden files and folders (`.name`) are skipped, files that do
/// not end like an image are ignored, symbolic links are followed. An image of a format that is not supported, a folder that cannot
/// be read or lies more than 256 folders deep, a loop of links, a broken link and a name that is not Unicode are rejects.
///
/// Where `root` or a folder directly in it holds a `metadata.csv`, `metadata.jsonl` or `metadata.parquet`, that table's rows
/// are taken in place of what lies there: its column `file_name` names the images, relative to it, and is the id, with the
/// folder before it. As in Hugging Face's `datasets`, images that it does not name are left out, and only its `label` is one. How
/// many are left out, `extent` tells in the end. A path that leads out of the table's folder is a reject.
///
/// # Errors
/// When `root` cannot be read or holds no image.
pub(super) fn folder(root: &Path, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    if let Some(table) = metadata(root)? {
        return rows(&table, options, extent, extent);
    }
    let mut images = Images {
        root: root.to_path_buf(),
        walk: Walk::new(root, MAX_SORTED).map_err(Error::io("read", root))?,
        table: None,
        options: options.clone(),
        extent: extent.clone(),
        others: 0,
    };
    // The first is fetched now, so that a wrong folder is known before anything else is set up.
    let Some(first) = images.next() else {
        let (others, root, known) = (images.others, root.display(), extensions());
        return Err(Error::Data(format!("no images among the {others} files in {root} (looked for {known})")));
    };
    Ok(Box::new(std::iter::once(Ok(first?)).chain(images)))
}

/// How many entries [`folder`] has; `None` where a table in it decides that, or once `wanted` says no.
pub(super) fn count(root: &Path, wanted: impl Fn() -> bool) -> Option<u64> {
    let mut walk = Walk::new(root, 0).ok()?;
    let mut count = 0;
    while let Some(step) = walk.next() {
        if !wanted() {
            return None;
        }
        match step {
            Step::Folder(path) if walk.depth() == 1 && !matches!(metadata(&path), Ok(None)) => return None,
            Step::Folder(_) => {}
            Step::File(path, _) => count += u64::from(is_image(&path) || is_unreadable_image(&path)),
            Step::Problem(..) => count += 1,
        }
    }
    Some(count)
}

/// Whether a table of its own describes `root` or a folder directly in it.
///
/// # Errors
/// When `root` cannot be read, or several tables describe a folder.
pub(super) fn has_metadata(root: &Path) -> Result<bool> {
    let within = std::fs::read_dir(root).map_err(Error::io("read", root))?;
    let folders = within.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io("read", root)));
    for folder in std::iter::once(Ok(root.to_path_buf())).chain(folders) {
        if metadata(&folder?)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Walks a folder.
struct Images {
    root: PathBuf,
    walk: Walk,
    /// The rows of a sub-folder's table, and its name.
    table: Option<(String, Entries)>,
    options: SourceOptions,
    extent: Arc<Extent>,
    /// How many files were ignored.
    others: u64,
}

impl Images {
    fn entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some((folder, rows)) = &mut self.table {
                match rows.next().transpose()? {
                    Some(entry) => return Ok(Some(entry.within(folder))),
                    None => self.table = None,
                }
            }
            let Some(step) = self.walk.next() else { return Ok(None) };
            let entry = match step {
                Step::Folder(path) => {
                    if self.walk.depth() == 1
                        && let Some(table) = metadata(&path)?
                    {
                        self.walk.skip_folder();
                        // Bytes of a table are no files of a folder.
                        let rows = rows(&table, &self.options, &Arc::default(), &self.extent)?;
                        self.table = Some((relative(&self.root, &path), rows));
                    }
                    continue;
                }
                Step::File(path, Sort::Regular) if is_image(&path) => self.image(path),
                Step::File(path, Sort::Special) if is_image(&path) => {
                    self.reject(&path, "not a regular file".to_owned())
                }
                Step::File(path, _) if is_unreadable_image(&path) => self.reject(&path, unreadable_image()),
                Step::File(..) => {
                    self.others += 1;
                    continue;
                }
                Step::Problem(path, reason) => self.reject(&path, reason),
            };
            self.extent.advance(1);
            return Ok(Some(entry));
        }
    }

    fn image(&self, path: PathBuf) -> Entry {
        let relative = path.strip_prefix(&self.root).unwrap_or(&path);
        let names: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
        let Some(names) = names else {
            return self.reject(&path, "the name is not valid Unicode".to_owned());
        };
        let label = match names.as_slice() {
            [class, _, ..] => Some((*class).to_owned()),
            _ => None,
        };
        let id = names.join("/");
        Entry::Sample(Sample { id, content: Content::File(path), label, kept: vec![None; self.options.keep.len()] })
    }

    fn reject(&self, path: &Path, reason: String) -> Entry {
        Entry::Reject(Reject { id: relative(&self.root, path), stage: Stage::Read, reason })
    }
}

impl Iterator for Images {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        self.entry().transpose()
    }
}

/// One image as input. Its id is its file name; it has no label.
///
/// # Errors
/// When there is no such file.
pub(super) fn image(path: &Path, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    std::fs::metadata(path).map_err(Error::io("read", path))?;
    let id = printable(path.file_name().unwrap_or(path.as_os_str()).as_encoded_bytes());
    let content = Content::File(path.to_path_buf());
    let sample = Sample { id, content, label: None, kept: vec![None; options.keep.len()] };
    let extent = extent.clone();
    Ok(Box::new(std::iter::once_with(move || {
        extent.advance(1);
        Ok(Entry::Sample(sample))
    })))
}

fn relative(root: &Path, path: &Path) -> String {
    let names = path.strip_prefix(root).unwrap_or(path).iter();
    names.map(|name| printable(name.as_encoded_bytes())).collect::<Vec<_>>().join("/")
}

/// A name as text; bytes that are not Unicode become `\xNN`, so that different names stay different.
pub(super) fn printable(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::walk::is_hidden;
    use crate::source::{Modality, Separator, TableOptions};

    fn options() -> SourceOptions {
        let (table, separator) = (TableOptions::default(), Separator::default());
        SourceOptions { modality: Modality::Image, table, keep: Vec::new(), separator }
    }

    fn folder(root: &Path) -> Result<Entries> {
        super::folder(root, &options(), &Arc::default())
    }

    fn image(path: &Path) -> Result<Entries> {
        super::image(path, &options(), &Arc::default())
    }

    fn touch(root: &Path, names: &[&str]) {
        for name in names {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
    }

    fn ids_and_labels(root: &Path) -> Vec<(String, Option<String>)> {
        let entries = folder(root).unwrap().map(|entry| match entry.unwrap() {
            Entry::Sample(sample) => (sample.id, sample.label),
            Entry::Reject(reject) => (reject.id, Some(format!("reject: {}", reject.reason))),
        });
        entries.collect()
    }

    #[test]
    fn classes_are_the_first_folders_and_order_is_stable() {
        let root = tempfile::tempdir().unwrap();
        let names =
            ["b/2.PNG", "b/1.jpeg", "a/deep/er/x.webp", "top.tiff", "a/notes.txt", "a/.hidden.png", ".git/y.png"];
        touch(root.path(), &names);
        let some = |s: &str| Some(s.to_owned());
        let want = [
            ("a/deep/er/x.webp".to_owned(), some("a")),
            ("b/1.jpeg".to_owned(), some("b")),
            ("b/2.PNG".to_owned(), some("b")),
            ("top.tiff".to_owned(), None),
        ];
        assert_eq!(ids_and_labels(root.path()), want);
        // tempfile's folders start with a dot: the root itself is never taken for hidden.
        assert!(is_hidden(root.path().file_name().unwrap()));
    }

    #[test]
    fn a_folder_without_images_says_what_was_there() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), &["a.txt", "b/c.csv"]);
        let error = folder(root.path()).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Data(_)));
        let text = error.to_string();
        assert!(text.contains("no images among the 2 files"), "{text}");
        assert!(text.contains("jpg, jpeg") && text.contains(&root.path().display().to_string()), "{text}");
        assert!(matches!(folder(&root.path().join("absent")).map(|_| ()), Err(Error::Io { .. })));
    }

    #[test]
    fn one_image_has_its_file_name_as_id() {
        let root = tempfile::tempdir().unwrap();
        touch(root.path(), &["cats/tom.jpg"]);
        let entries: Vec<_> = image(&root.path().join("cats/tom.jpg")).unwrap().map(Result::unwrap).collect();
        assert!(matches!(entries.as_slice(), [Entry::Sample(s)] if s.id == "tom.jpg" && s.label.is_none()));
        assert!(image(&root.path().join("jerry.jpg")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn loops_broken_links_and_foreign_names_are_rejects() {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        let root = tempfile::tempdir().unwrap();
        touch(root.path(), &["a/1.png"]);
        symlink(root.path(), root.path().join("a/loop")).unwrap();
        symlink("nowhere", root.path().join("a/broken.png")).unwrap();
        symlink("nowhere", root.path().join("a/.hidden")).unwrap();
        symlink("1.png", root.path().join("a/linked.png")).unwrap();
        fs::write(root.path().join("a").join(OsStr::from_bytes(b"caf\xe9.png")), b"").unwrap();
        let found = ids_and_labels(root.path());
        let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["a/1.png", "a/broken.png", "a/caf\\xE9.png", "a/linked.png", "a/loop"]);
        let reasons: Vec<&str> = found.iter().map(|(_, label)| label.as_deref().unwrap()).collect();
        assert_eq!(reasons[0], "a");
        assert!(reasons[1].starts_with("reject: cannot be read"), "{}", reasons[1]);
        assert_eq!(reasons[2], "reject: the name is not valid Unicode");
        assert_eq!(reasons[3], "a");
        assert!(reasons[4].starts_with("reject: a symbolic link back to"), "{}", reasons[4]);
    }
}
