//! From what the user names to a stream of samples.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::table::Table;
use super::{Entries, Entry, Extent, Modality, Reject, Sample, Source, TableOptions, folder, lines};
use crate::error::{Error, Result};

/// How inputs are read.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// What the backbone reads.
    pub modality: Modality,
    /// The columns of tables.
    pub table: TableOptions,
    /// Names of columns whose values travel with the rows.
    pub keep: Vec<String>,
}

/// The name of standard input.
const STDIN: &str = "-";

/// Opens one input: a folder of images, an image file, a table (`.csv`, `.tsv`, `.jsonl`, `.ndjson`), or `-` for the
/// lines of standard input. Reads files as far as the first entry, so that a wrong input is known at once.
///
/// # Errors
/// When the input cannot be read, is of no known kind, holds nothing, or holds what the backbone does not read.
pub fn open(input: &Path, options: &SourceOptions) -> Result<Entries> {
    let entries = if input == Path::new(STDIN) {
        lines(std::io::stdin(), Path::new("standard input"), options.modality)
    } else if std::fs::metadata(input).map_err(Error::io("read", input))?.is_dir() {
        images_wanted(input, "a folder", options)?;
        folder::folder(input)?
    } else if folder::is_image(input) {
        images_wanted(input, "an image", options)?;
        folder::image(input)?
    } else if let Some(table) = Table::from_path(input) {
        table.open(input, options.modality, &options.table)?
    } else {
        return Err(Error::Usage(format!(
            "{} is no known input: give a folder of images, an image ({}), a table (csv, tsv, jsonl, ndjson), or - for \
             lines on standard input",
            input.display(),
            folder::extensions()
        )));
    };
    match input == Path::new(STDIN) {
        // Who waits for standard input here could not be interrupted: the pipeline finds out.
        true => Ok(stdin_not_empty(entries)),
        false => not_empty(entries, input),
    }
}

fn stdin_not_empty(entries: Entries) -> Entries {
    let mut entries = entries.peekable();
    let mut first = true;
    Box::new(std::iter::from_fn(move || {
        let empty = std::mem::take(&mut first) && entries.peek().is_none();
        if empty { Some(Err(Error::Data("standard input is empty".to_owned()))) } else { entries.next() }
    }))
}

/// Opens several inputs, one after the other. Where there are several, every id is `<input as given>/<id>`, and that of
/// an image file its path as given: equal names in two folders stay apart.
///
/// # Errors
/// As [`open`]; also when there is no input, or one is given twice or lies within another.
pub fn open_all(inputs: &[PathBuf], options: &SourceOptions) -> Result<Source> {
    Ok(Source::new(entries_of(inputs, options)?, Arc::new(Extent::default())))
}

fn entries_of(inputs: &[PathBuf], options: &SourceOptions) -> Result<Entries> {
    match inputs {
        [] => return Err(Error::Usage("no input was given".to_owned())),
        [one] => return open(one, options),
        _ => {}
    }
    for (i, a) in inputs.iter().enumerate() {
        // Compared by components: `a/` and `a` are one folder.
        if let Some(b) = inputs.iter().skip(i + 1).find(|b| a.starts_with(b) || (b.starts_with(a) && a.is_dir())) {
            let (a, b) = (a.display(), b.display());
            return Err(Error::Usage(format!("the inputs {a} and {b} overlap: samples would be taken twice")));
        }
    }
    let opened = inputs.iter().map(|input| {
        let image = folder::is_image(input) && !input.is_dir();
        Ok((name(input)?, image, open(input, options)?))
    });
    let opened = opened.collect::<Result<Vec<_>>>()?;
    Ok(Box::new(opened.into_iter().flat_map(|(name, image, entries)| {
        entries.map(move |entry| {
            entry.map(|mut entry| {
                let (Entry::Sample(Sample { id, .. }) | Entry::Reject(Reject { id, .. })) = &mut entry;
                *id = if image { name.clone() } else { format!("{name}/{id}") };
                entry
            })
        })
    })))
}

fn images_wanted(input: &Path, what: &str, options: &SourceOptions) -> Result<()> {
    match options.modality {
        Modality::Image => Ok(()),
        Modality::Text => Err(Error::Usage(format!(
            "{} is {what}, but the backbone reads texts: give a table (csv, tsv, jsonl, ndjson), or - for lines on \
             standard input",
            input.display()
        ))),
    }
}

fn not_empty(mut entries: Entries, input: &Path) -> Result<Entries> {
    match entries.next() {
        Some(first) => Ok(Box::new(std::iter::once(Ok(first?)).chain(entries))),
        None => Err(Error::Data(format!("{} has no rows", input.display()))),
    }
}

fn name(input: &Path) -> Result<String> {
    let name = input.to_str().ok_or_else(|| Error::Usage(format!("{} is not valid Unicode", input.display())))?;
    Ok(name.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn options(modality: Modality) -> SourceOptions {
        SourceOptions { modality, table: TableOptions::default(), keep: Vec::new() }
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
        let open = |name: &str, modality| open(&root.path().join(name), &options(modality));
        assert_eq!(ids(open("", Modality::Image).unwrap()), ["a/x.png", "b/x.png"]);
        assert_eq!(ids(open("a/x.png", Modality::Image).unwrap()), ["x.png"]);
        assert_eq!(ids(open("t.csv", Modality::Image).unwrap()), ["t.csv:2"]);
        assert_eq!(ids(open("t.csv", Modality::Text).unwrap()), ["t.csv:2"]);
        assert!(matches!(failure(open("absent.csv", Modality::Text)), Error::Io { .. }));
        assert!(matches!(failure(open("empty.csv", Modality::Text)), Error::Data(_)));
        fs::write(root.path().join("notes.txt"), "x").unwrap();
        assert!(matches!(failure(open("notes.txt", Modality::Text)), Error::Usage(_)));
    }

    #[test]
    fn images_for_a_text_backbone_are_refused() {
        let root = tree();
        for name in ["", "a/x.png"] {
            let error = failure(open(&root.path().join(name), &options(Modality::Text)));
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
