//! `<stem>.jsonl` beside an array: the id, label and content of each row, in order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::begin;
use super::{Existing, Kept, Rows};
use crate::error::{Error, Result};
use crate::file::{AtomicFile, first_line};
use crate::source::column;

/// The extensions of the arrays that have such a file.
const EXTENSIONS: [&str; 2] = ["npy", "safetensors"];

/// The longest line that is read.
const MAX_LINE: u64 = 1 << 20;

/// One line as engraft writes it.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    label: Option<&'a str>,
    content: Option<&'a str>,
    #[serde(flatten)]
    kept: BTreeMap<&'a str, Option<&'a str>>,
}

/// A line that engraft may have written.
#[derive(Deserialize)]
struct OurLine {
    #[serde(rename = "id")]
    _id: String,
    #[serde(rename = "label")]
    _label: Option<String>,
    content: Option<String>,
    #[serde(flatten)]
    kept: BTreeMap<String, Option<String>>,
}

/// One line as others may have written it: further keys, and numbers for texts.
#[derive(Deserialize)]
struct ForeignLine {
    id: Scalar,
    label: Option<Scalar>,
    content: Option<String>,
}

/// The same with its further keys.
#[derive(Deserialize)]
struct KeptLine {
    #[serde(flatten)]
    line: ForeignLine,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Bool(bool),
}

impl From<Scalar> for String {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => text,
            Scalar::Number(number) => number.to_string(),
            Scalar::Bool(value) => value.to_string(),
        }
    }
}

/// What the lines hold.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) ids: Vec<String>,
    pub(super) labels: Vec<Option<String>>,
    pub(super) contents: Vec<Option<String>>,
    pub(super) kept: Kept,
}

/// The file that goes with an array.
fn beside(array: &Path) -> PathBuf {
    array.with_extension("jsonl")
}

/// Reads the lines for an array of `rows` rows, with these further keys. Where there is no such file, ids are row
/// numbers, from 0. A key that only some lines have is unknown in the others.
pub(super) fn read(array: &Path, rows: usize, keep: &[String]) -> Result<Lines> {
    let path = beside(array);
    let file = match File::open(&path) {
        Ok(file) => BufReader::new(file),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            keep.iter().try_for_each(|name| column(array, &[], name).map(drop))?;
            let ids = (0..rows).map(|row| row.to_string()).collect();
            return Ok(Lines { ids, labels: vec![None; rows], contents: vec![None; rows], kept: Kept::new() });
        }
        Err(e) => return Err(Error::io("read", &path)(e)),
    };
    let mut read = Lines { kept: keep.iter().map(|name| (name.clone(), Vec::new())).collect(), ..Lines::default() };
    let mut keys = BTreeSet::new();
    for (i, line) in lines(file).enumerate() {
        let line = line.map_err(|e| match e.kind() {
            ErrorKind::InvalidData => Error::malformed(&path, format!("line {}: {e}", i + 1)),
            _ => Error::io("read", &path)(e),
        })?;
        if i == rows {
            let reason = format!("more lines than the {rows} rows of {}", array.display());
            return Err(Error::malformed(&path, reason));
        }
        let unusable = |e: String| Error::malformed(&path, format!("line {} {e}", i + 1));
        let unlike = |e: serde_json::Error| unusable(format!("is not {{\"id\", \"label\", \"content\"}}: {e}"));
        let line = if keep.is_empty() {
            serde_json::from_str(&line).map_err(unlike)?
        } else {
            let KeptLine { line, mut others } = serde_json::from_str(&line).map_err(unlike)?;
            keys.extend(others.keys().filter(|key| !keys.contains(*key)).cloned().collect::<Vec<_>>());
            for (name, values) in &mut read.kept {
                let value = others.remove(name).unwrap_or_default();
                let what =
                    |e: serde_json::Error| unusable(format!("has a `{name}` that is no text, number or boolean: {e}"));
                values.push(serde_json::from_value::<Option<Scalar>>(value).map_err(what)?.map(String::from));
            }
            line
        };
        let ForeignLine { id, label, content } = line;
        read.ids.push(id.into());
        read.labels.push(label.map(String::from));
        read.contents.push(content);
    }
    if read.ids.len() != rows {
        let reason = format!("{} lines, but {} has {rows} rows", read.ids.len(), array.display());
        return Err(Error::malformed(&path, reason));
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    keep.iter().filter(|_| rows > 0).try_for_each(|name| column(&path, &keys, name).map(drop))?;
    Ok(read)
}

/// As [`BufRead::lines`], but a line without end is an error before it fills the memory.
fn lines(mut file: impl BufRead) -> impl Iterator<Item = std::io::Result<String>> {
    let invalid = |reason: String| std::io::Error::new(ErrorKind::InvalidData, reason);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match file.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(n) if n as u64 > MAX_LINE => Some(Err(invalid(format!("longer than {MAX_LINE} bytes")))),
            Ok(_) => Some(String::from_utf8(line).map_err(|_| invalid("not UTF-8".to_owned()))),
            Err(e) => Some(Err(e)),
        }
    })
}

/// Writes the lines.
pub(super) struct SidecarWriter {
    file: AtomicFile,
    kept: Vec<String>,
}

impl SidecarWriter {
    /// A file that is replaced must be one of ours: `reviews.jsonl` may well be what `reviews.npy` was made from.
    pub(super) fn create(array: &Path, kept: &[String], existing: Existing) -> Result<Self> {
        let path = beside(array);
        let mut others = EXTENSIONS.iter().map(|e| array.with_extension(e)).filter(|other| other != array);
        if let Some(other) = others.find(|other| other.exists() && path.exists()) {
            let (path, other, array) = (path.display(), other.display(), array.display());
            return Err(Error::Usage(format!(
                "{path} holds the ids of {other}, and those of {array} would go into a file of the same name, so neither is \
                 replaced: give an -o whose name differs before the extension"
            )));
        }
        if !is_ours(&path)? {
            let reason = "it does not hold the ids of an array, so it is not replaced: give another -o";
            return Err(Error::in_the_way(&path, reason));
        }
        // Its refusal names --overwrite, which does not help against the above.
        Ok(Self { file: begin(&path, existing)?, kept: kept.to_vec() })
    }

    pub(super) fn append(&mut self, rows: &Rows) -> Result<()> {
        for (i, ((id, label), content)) in rows.ids.iter().zip(&rows.labels).zip(&rows.contents).enumerate() {
            let kept = self.kept.iter().zip(&rows.kept).map(|(name, values)| (name.as_str(), values[i].as_deref()));
            let line = Line { id, label: label.as_deref(), content: content.as_deref(), kept: kept.collect() };
            serde_json::to_writer(&mut self.file, &line).map_err(|e| Error::io("write", self.file.path())(e.into()))?;
            self.file.write_all(b"\n").map_err(Error::io("write", self.file.path()))?;
        }
        Ok(())
    }

    /// Hands everything to the disk, so that one that is full shows before anything is renamed.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.file.sync()
    }

    pub(super) fn commit(self) -> Result<()> {
        self.file.commit()
    }
}

/// Whether nothing would be lost by replacing this file: it is absent or empty, or its first line is ours.
fn is_ours(path: &Path) -> Result<bool> {
    let first = first_line(path, MAX_LINE)?;
    // Kept columns may have any name: then the digest of the content tells that the line is ours.
    let digest = |text: &String| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let ours = |line: OurLine| line.kept.is_empty() || line.content.as_ref().is_some_and(digest);
    Ok(first.is_empty() || serde_json::from_slice(&first).is_ok_and(ours))
}
