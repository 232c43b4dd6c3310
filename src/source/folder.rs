//! A folder of images, one sub-folder a class.

use std::ffi::OsStr;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

use super::{Content, Entries, Entry, Reject, Sample, Stage};
use crate::error::{Error, Result};

/// The file name extensions, in any case, that are taken for images.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Whether the file's name ends like an image's.
pub(super) fn is_image(path: &Path) -> bool {
    ends_like(path, &EXTENSIONS)
}

fn ends_like(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// Image formats that cannot be read. Such a file is a reject: who embeds a folder expects each of its pictures.
const UNREADABLE: [&str; 12] = ["avif", "heic", "heif", "jxl", "jp2", "svg", "psd", "raw", "dng", "cr2", "nef", "arw"];

/// The extensions, for messages.
pub(super) fn extensions() -> String {
    EXTENSIONS.join(", ")
}

/// The images below `root`, sorted by name folder by folder.
///
/// The id is the path relative to `root`, with `/`. The label is the folder directly under `root`, however deep below
/// it the file lies; a file directly in `root` has none. Hidden files and folders (`.name`) are skipped, files that do
/// not end like an image are ignored, symbolic links are followed. An image of a format that is not supported, a folder that cannot be read, a loop of links, a
/// broken link and a name that is not Unicode are rejects.
///
/// # Errors
/// When `root` cannot be read or holds no image.
pub(super) fn folder(root: &Path) -> Result<Entries> {
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
    let mut walk = walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
    let base = root.to_path_buf();
    let mut others = 0_u64;
    let mut next = move |others: &mut u64| {
        loop {
            match walk.next()? {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) if is_image(entry.path()) => return Some(Ok(file(&base, &entry))),
                Ok(entry) if ends_like(entry.path(), &UNREADABLE) => {
                    let reason = format!("this image format cannot be read; convert it to one of {}", extensions());
                    return Some(Ok(reject(&base, entry.path(), &reason)));
                }
                Ok(_) => *others += 1,
                Err(error) => match unreadable(&base, error) {
                    Ok(Some(reject)) => return Some(Ok(reject)),
                    Ok(None) => {}
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    };
    // The first is fetched now, so that a wrong folder is known before anything else is set up.
    let Some(first) = next(&mut others) else {
        let (root, known) = (root.display(), extensions());
        return Err(Error::Data(format!("no images among the {others} files in {root} (looked for {known})")));
    };
    Ok(Box::new(std::iter::once(Ok(first?)).chain(std::iter::from_fn(move || next(&mut others)))))
}

/// One image as input. Its id is its file name; it has no label.
///
/// # Errors
/// When there is no such file.
pub(super) fn image(path: &Path) -> Result<Entries> {
    std::fs::metadata(path).map_err(Error::io("read", path))?;
    let id = printable(path.file_name().unwrap_or(path.as_os_str()));
    let sample = Sample { id, content: Content::File(path.to_path_buf()), label: None, kept: Vec::new() };
    Ok(Box::new(std::iter::once(Ok(Entry::Sample(sample)))))
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn file(root: &Path, entry: &DirEntry) -> Entry {
    let relative = entry.path().strip_prefix(root).unwrap_or(entry.path());
    let names: Option<Vec<&str>> = relative.iter().map(OsStr::to_str).collect();
    let Some(names) = names else {
        return reject(root, entry.path(), "the name is not valid Unicode");
    };
    if !entry.file_type().is_file() {
        return reject(root, entry.path(), "not a regular file");
    }
    let label = match names.as_slice() {
        [class, _, ..] => Some((*class).to_owned()),
        _ => None,
    };
    Entry::Sample(Sample {
        id: names.join("/"),
        content: Content::File(entry.path().to_path_buf()),
        label,
        kept: Vec::new(),
    })
}

/// A reject for what could not be walked; `None` where it is hidden, an error where it is the root itself.
fn unreadable(root: &Path, error: walkdir::Error) -> Result<Option<Entry>> {
    let path = error.path().unwrap_or(root).to_path_buf();
    if error.depth() == 0 {
        let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("a loop of symbolic links"));
        return Err(Error::io("read", path)(source));
    }
    if path.file_name().is_some_and(is_hidden) {
        return Ok(None);
    }
    let reason = match (error.loop_ancestor(), error.io_error()) {
        (Some(ancestor), _) => format!("a symbolic link back to {}", ancestor.display()),
        (None, Some(cause)) => format!("cannot be read: {cause}"),
        (None, None) => error.to_string(),
    };
    Ok(Some(reject(root, &path, &reason)))
}

fn reject(root: &Path, path: &Path, reason: &str) -> Entry {
    let names: Vec<String> = path.strip_prefix(root).unwrap_or(path).iter().map(printable).collect();
    Entry::Reject(Reject { id: names.join("/"), stage: Stage::Read, reason: reason.to_owned() })
}

/// The name as text; bytes that are not Unicode become `\xNN`, so that different names stay different.
fn printable(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

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
