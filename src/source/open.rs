//! From what the user names to a stream of samples.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::input::{self, Input};
use super::measure::measure;
use super::seen::Seen;
use super::{Entries, Entry, Extent, Reject, Source, SourceOptions, Stage};
use super::{archive_names, effect, folder, lines, matches, web_dataset};
use crate::error::{Error, Result};

/// Opens inputs, one after the other. An input is a folder of images, an image, a table (`.csv`, `.tsv`, `.jsonl`,
/// `.ndjson`, `.parquet`), a tar archive in WebDataset's layout (`.tar`, `.tar.gz`, `.tgz`) or a range of them
/// (`train-{000..099}.tar`), a pattern of file names (`*`, `?`, `[...]`, `**`), or `-` for the lines of standard input.
/// Reads files as far as the first entry, so that a wrong input is known at once.
///
/// Where there are several inputs, every id is `<input as given>/<id>`, and that of an image file its path as given: equal
/// names in two folders stay apart. The files that match a pattern are several inputs. Where all are archives, however they
/// are named, the id is `<archive>/<key>`, with the archive's path from the deepest folder that holds them all.
///
/// No two entries have the same id. Where ids are the user's (a column, paths on standard input, keys in archives, several
/// patterns), this takes 20 to 40 bytes of memory an entry, and a later entry of a used id is a reject under another one.
///
/// # Errors
/// When an input cannot be read, is of no known kind, holds nothing, or holds what the backbone does not read; when there is
/// none, or one is given twice or lies within another.
pub fn open_all(inputs: &[PathBuf], options: &SourceOptions) -> Result<Source> {
    let extent = Arc::new(Extent::default());
    let entries = entries_of(inputs, options, &extent)?;
    let measured = measure(inputs, options.modality, &extent);
    Ok(Source::new(Box::new(entries.inspect(move |_| _ = &measured)), extent))
}

fn entries_of(inputs: &[PathBuf], options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    let known = inputs.iter().map(|path| Ok((path.clone(), Input::of(path, options.modality)?)));
    let known = known.collect::<Result<Vec<_>>>()?;
    effect::check(&known, options)?;
    match known.as_slice() {
        [] => return Err(Error::Usage("no input was given".to_owned())),
        [(path, input)] => return open(path, input, options, extent),
        [(path, _), ..] => {
            refuse_overlap(inputs)?;
            if let Some(archives) = only_archives(&known) {
                return open(path, &Input::Archives(archives), options, extent);
            }
        }
    }
    for (path, input) in &known {
        input::name(path)?;
        if *input != Input::Stdin {
            // To find what is wrong now. It is opened again when its turn comes: thousands would be too many open files.
            drop(open(path, input, options, &Arc::default())?);
        }
    }
    // Two patterns may match the same file.
    let patterns = known.iter().any(|(_, input)| matches!(input, Input::Glob(_) | Input::Archives(_)));
    let mut seen = patterns.then(Seen::default);
    let (options, extent) = (options.clone(), extent.clone());
    let mut count = 0_u64;
    let entries = known.into_iter().flat_map(move |(path, input)| {
        named(&path, &input, &options, &extent).unwrap_or_else(|e| Box::new(std::iter::once(Err(e))))
    });
    Ok(Box::new(entries.map(move |entry| {
        let entry = entry?;
        count += 1;
        if seen.as_mut().is_none_or(|seen| seen.is_new(entry.id())) {
            return Ok(entry);
        }
        let (id, reason) = (format!("input:{count}"), format!("{} was given before", entry.id()));
        Ok(Entry::Reject(Reject { id, stage: Stage::Read, reason }))
    })))
}

/// One of several inputs: its ids begin with its path as given, those of archives with the path of each.
///
/// # Errors
/// As `open`.
pub(super) fn named(path: &Path, input: &Input, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    let name = input::name(path)?;
    if let Input::Archives(files) = input {
        let files = files.iter().map(|path| Ok((path.clone(), input::name(path)?)));
        return not_empty(web_dataset::archives(files.collect::<Result<_>>()?, options, extent)?, path);
    }
    let entries = open(path, input, options, extent)?;
    Ok(match input {
        Input::Glob(_) => entries,
        Input::Image => Box::new(entries.map(move |entry| Ok(entry?.with_id(|_| name.clone())))),
        _ => Box::new(entries.map(move |entry| Ok(entry?.within(&name)))),
    })
}

/// The archives, where all inputs are some.
fn only_archives(known: &[(PathBuf, Input)]) -> Option<Vec<PathBuf>> {
    let files = known.iter().map(|(_, input)| match input {
        Input::Archives(files) => Some(files.iter().cloned()),
        _ => None,
    });
    files.collect::<Option<Vec<_>>>().map(|files| files.into_iter().flatten().collect())
}

fn open(path: &Path, input: &Input, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    if let Some(column) = options.keep.first()
        && !input.has_columns(path)?
    {
        return Err(Error::Usage(format!("{} has no columns, so `{column}` cannot be kept", path.display())));
    }
    let entries = match input {
        // Who waits for standard input here could not be interrupted: the pipeline finds out that it is empty.
        Input::Stdin => {
            let entries = lines(std::io::stdin(), Path::new("standard input"), options);
            return Ok(not_empty_when_read(entries, "standard input is empty"));
        }
        Input::Folder => folder::folder(path, options, extent)?,
        Input::Image => folder::image(path, options, extent)?,
        Input::Table(table) => table.open(path, options, extent)?,
        Input::Archives(files) => web_dataset::archives(archive_names::named(files.clone())?, options, extent)?,
        Input::Glob(pattern) => return matches::matches(pattern, options, extent),
    };
    not_empty(entries, path)
}

/// Two inputs, one of which is the other or lies in it.
fn refuse_overlap(inputs: &[PathBuf]) -> Result<()> {
    // Compared by components, as absolute paths: `a/` and `./a` are one folder.
    let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let mut paths: Vec<(PathBuf, &PathBuf)> = inputs.iter().map(|path| (whole(path), path)).collect();
    // In this order, whatever lies in a folder comes right after it.
    paths.sort();
    for pair in paths.windows(2) {
        if let [(a, first), (b, second)] = pair
            && b.starts_with(a)
        {
            let (a, b) = (first.display(), second.display());
            return Err(Error::Usage(format!("the inputs {a} and {b} overlap: samples would be taken twice")));
        }
    }
    Ok(())
}

fn not_empty(mut entries: Entries, input: &Path) -> Result<Entries> {
    match entries.next() {
        Some(first) => Ok(Box::new(std::iter::once(Ok(first?)).chain(entries))),
        None => Err(Error::Data(format!("{} has no rows", input.display()))),
    }
}

fn not_empty_when_read(entries: Entries, reason: &'static str) -> Entries {
    let mut entries = entries.peekable();
    let mut first = true;
    Box::new(std::iter::from_fn(move || {
        let empty = std::mem::take(&mut first) && entries.peek().is_none();
        if empty { Some(Err(Error::Data(reason.to_owned()))) } else { entries.next() }
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::source::{Modality, Sample, Separator, TableOptions};

    fn options(modality: Modality) -> SourceOptions {
        SourceOptions { modality, table: TableOptions::default(), keep: Vec::new(), separator: Separator::default() }
    }

    fn entries_of(inputs: &[PathBuf], options: &SourceOptions) -> Result<Entries> {
        super::entries_of(inputs, options, &Arc::default())
    }

    fn failure(result: Result<Entries>) -> Error {
        result.map(|_| ()).unwrap_err()
    }

    fn listed(source: Source) -> Vec<String> {
        ids(Box::new(source.list.map(|listed| Ok(listed?.entry))))
    }

    fn ids(entries: Entries) -> Vec<String> {
        entries
            .map(|entry| match entry.unwrap() {
                Entry::Sample(Sample { id, .. }) => id,
                Entry::Reject(reject) => panic!("{reject:?}"),
            })
            .collect()
    }

    /// `a/x.png`, `b/x.png`, `t.csv` and an empty `empty.csv` in a folder without a leading dot.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::Builder::new().prefix("tree").tempdir().unwrap();
        for folder in ["a", "b"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("x.png"), b"").unwrap();
        }
        fs::write(root.path().join("t.csv"), "text,path\nhello,a/x.png\n").unwrap();
        fs::write(root.path().join("empty.csv"), "text\n").unwrap();
        root
    }

    #[test]
    fn the_kind_follows_from_the_path() {
        let root = tree();
        let open = |name: &str, modality| entries_of(&[root.path().join(name)], &options(modality));
        assert_eq!(ids(open("", Modality::Image).unwrap()), ["a/x.png", "b/x.png"]);
        assert_eq!(ids(open("a/x.png", Modality::Image).unwrap()), ["x.png"]);
        assert_eq!(ids(open("t.csv", Modality::Image).unwrap()), ["t.csv:2"]);
        assert_eq!(ids(open("t.csv", Modality::Text).unwrap()), ["t.csv:2"]);
        assert!(matches!(failure(open("absent.csv", Modality::Text)), Error::Usage(_)));
        assert!(matches!(failure(open("empty.csv", Modality::Text)), Error::Data(_)));
        fs::write(root.path().join("notes.txt"), "x").unwrap();
        assert!(matches!(failure(open("notes.txt", Modality::Text)), Error::Usage(_)));
    }

    #[test]
    fn images_for_a_text_backbone_are_refused() {
        let root = tree();
        for name in ["", "a/x.png"] {
            let error = failure(entries_of(&[root.path().join(name)], &options(Modality::Text)));
            assert!(matches!(&error, Error::Usage(s) if s.contains("but the backbone reads texts")), "{error}");
        }
    }

    #[test]
    fn several_inputs_prefix_their_ids() {
        let root = tree();
        let inputs = [root.path().join("a/"), root.path().join("b"), root.path().join("t.csv")];
        let got = listed(open_all(&inputs, &options(Modality::Image)).unwrap());
        let root = root.path().to_str().unwrap();
        assert_eq!(got, [format!("{root}/a/x.png"), format!("{root}/b/x.png"), format!("{root}/t.csv/t.csv:2")]);
    }

    #[test]
    fn image_files_are_named_by_their_path() {
        let root = tree();
        let inputs = [root.path().join("a/x.png"), root.path().join("b/x.png")];
        let want = inputs.each_ref().map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(listed(open_all(&inputs, &options(Modality::Image)).unwrap()), want);
    }

    #[test]
    fn inputs_that_overlap_are_refused() {
        let root = tree();
        let path = |name: &str| root.path().join(name);
        for inputs in [vec![path("a"), path("a/")], vec![path("a/x.png"), path("a")], vec![path(""), path("b")], vec![]]
        {
            assert!(matches!(failure(entries_of(&inputs, &options(Modality::Image))), Error::Usage(_)), "{inputs:?}");
        }
        let twice = [PathBuf::from("-"), PathBuf::from("-")];
        assert!(matches!(failure(entries_of(&twice, &options(Modality::Text))), Error::Usage(_)));
    }
}
