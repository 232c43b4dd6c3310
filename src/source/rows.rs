//! From the cells of a row to a sample.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::columns::Columns;
use super::seen::Seen;
use super::{Content, Entry, MAX_IMAGE_BYTES, Modality, Reject, Sample, SourceOptions, Stage};

/// The value of one column in one row.
pub(super) enum Cell<'a> {
    Missing,
    Text(Cow<'a, str>),
    /// A number, a boolean, a date.
    Scalar(String),
    /// An encoded image.
    Image(Cow<'a, [u8]>),
    /// An array or an object, as JSON.
    Nested {
        kind: &'static str,
        json: String,
    },
    /// What it is instead.
    Unusable(Cow<'static, str>),
}

impl Cell<'_> {
    /// Bytes that are to be UTF-8.
    pub(super) fn utf8(bytes: &[u8]) -> Cell<'_> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Cell::Text(Cow::Borrowed(text)),
            Err(_) => Cell::Unusable("not valid UTF-8".into()),
        }
    }
}

/// Turns the rows of one table into entries.
pub(super) struct Rows {
    /// The table's folder, which image paths are relative to.
    folder: PathBuf,
    file_name: String,
    modality: Modality,
    columns: Columns,
    /// The ids of the id column.
    seen: Seen,
}

impl Rows {
    pub(super) fn new(path: &Path, columns: Columns, options: &SourceOptions) -> Self {
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { folder, file_name, modality: options.modality, columns, seen: Seen::default() }
    }

    /// The columns that are used.
    pub(super) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// A row that cannot be used. `number` is its line or place.
    pub(super) fn reject(&self, number: u64, reason: String) -> Entry {
        Entry::Reject(Reject { id: format!("{}:{number}", self.file_name), stage: Stage::Read, reason })
    }

    /// The row with this number; `cell` tells the value of a used column.
    pub(super) fn entry<'a>(&mut self, number: u64, cell: impl Fn(usize) -> Cell<'a>) -> Entry {
        self.sample(number, cell).map_or_else(|reason| self.reject(number, reason), Entry::Sample)
    }

    fn sample<'a>(&mut self, number: u64, cell: impl Fn(usize) -> Cell<'a>) -> Result<Sample, String> {
        let columns = &self.columns;
        let name = |column: usize| columns.used.get(column).map_or("", String::as_str);
        let content = content(cell(columns.content), self.modality, &self.folder)
            .map_err(|what| format!("`{}` {what}", name(columns.content)))?;
        let value = |column: Option<usize>| match column {
            None => Ok(None),
            Some(column) => short(cell(column)).map_err(|what| format!("`{}` is {what}", name(column))),
        };
        let label = value(columns.label)?;
        let id = match (value(columns.id)?, columns.id) {
            (_, None) => format!("{}:{number}", self.file_name),
            (None, Some(column)) => return Err(format!("`{}` is missing", name(column))),
            (Some(id), Some(_)) => id,
        };
        let keep = columns.keep.iter();
        let kept = keep.map(|&column| kept(cell(column)).map_err(|what| format!("`{}` is {what}", name(column))));
        let kept = kept.collect::<Result<Vec<_>, _>>()?;
        // Last, so that the id of a row that cannot be used is free for another one.
        if columns.id.is_some() && !self.seen.is_new(&id) {
            return Err(format!("the id {id} is used by an earlier row"));
        }
        Ok(Sample { id, content, label, kept })
    }
}

/// What the backbone is to see, or what is wrong with it.
pub(super) fn content(cell: Cell<'_>, modality: Modality, folder: &Path) -> Result<Content, String> {
    let text = match cell {
        Cell::Text(text) if !text.trim().is_empty() => text,
        Cell::Text(_) => return Err("is empty".to_owned()),
        Cell::Image(bytes) if bytes.is_empty() => return Err("is empty".to_owned()),
        Cell::Image(bytes) if bytes.len() as u64 > MAX_IMAGE_BYTES => {
            return Err(format!("is larger than {} MiB", MAX_IMAGE_BYTES >> 20));
        }
        Cell::Image(bytes) => return Ok(Content::Bytes(bytes.into_owned())),
        Cell::Missing => return Err("is missing".to_owned()),
        Cell::Scalar(value) if modality == Modality::Text => return Ok(Content::Text(value)),
        Cell::Scalar(value) => return Err(format!("is {value}, not a path")),
        Cell::Nested { kind, .. } => return Err(format!("is {kind}")),
        Cell::Unusable(what) => return Err(format!("is {what}")),
    };
    Ok(match modality {
        Modality::Text => Content::Text(text.into_owned()),
        Modality::Image => Content::File(folder.join(&*text)),
    })
}

/// A label or an id.
pub(super) fn short(cell: Cell<'_>) -> Result<Option<String>, Cow<'static, str>> {
    match cell {
        Cell::Missing => Ok(None),
        Cell::Text(text) => Ok((!text.trim().is_empty()).then(|| text.into_owned())),
        Cell::Scalar(text) => Ok(Some(text)),
        Cell::Image(_) => Err("an image".into()),
        Cell::Nested { kind, .. } => Err(kind.into()),
        Cell::Unusable(what) => Err(what),
    }
}

/// A kept value; an empty one is none, for a CSV does not tell them apart.
pub(super) fn kept(cell: Cell<'_>) -> Result<Option<String>, Cow<'static, str>> {
    match cell {
        Cell::Text(text) => Ok((!text.is_empty()).then(|| text.into_owned())),
        Cell::Nested { json, .. } => Ok(Some(json)),
        other => short(other),
    }
}
