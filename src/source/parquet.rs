//! Parquet tables: texts, paths of images, or the images themselves.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde_json::Value;

use super::arrow_cell::{self, Kind};
use super::columns::Columns;
use super::rows::{Cell, Rows};
use super::{Entries, Entry, Extent, Modality, SourceOptions};
use crate::error::{Error, Result};
use crate::footer::ParquetFile;
use crate::guard;

/// How many rows are read at a time, of texts and of images: a row group may hold gigabytes of them.
const TEXT_ROWS: usize = 1024;
const IMAGE_ROWS: usize = 8;

/// Whether a Parquet file is a feature set: whether its column `embedding` is a list. Reads the file's footer only.
///
/// # Errors
/// When it cannot be read or is no Parquet file.
pub fn holds_embeddings(path: &Path) -> Result<bool> {
    let builder = guarded(path, || open(path))?;
    let column = builder.schema().field_with_name("embedding");
    let list = |kind: &DataType| {
        matches!(kind, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::ListView(_))
    };
    Ok(column.is_ok_and(|column| list(column.data_type())))
}

/// The rows of a Parquet file. Only the used columns are read, a few rows at a time. In memory at once is a page of each,
/// packed and unpacked: megabytes as most writers have it, but pyarrow puts up to 1,024 images in one unless its row groups
/// are smaller. Text columns that are not called text in the file are images to an image backbone.
///
/// # Errors
/// As `Table::open`; also when a column's type cannot be used.
pub(super) fn parquet(path: &Path, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    let (builder, reader, columns) = guarded(path, || {
        let builder = open(path)?;
        let metadata = builder.metadata().clone();
        let names: Vec<&str> = builder.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let fields = builder.schema().fields().iter();
        let ids = fields.filter(|field| matches!(Kind::of(field.data_type()), Kind::Text | Kind::Scalar));
        let ids: Vec<&str> = ids.map(|field| field.name().as_str()).collect();
        let columns = Columns::resolve(path, &names, &ids, options)?;
        let images = check(path, builder.schema(), &columns, options.modality)?;
        let places: Vec<usize> =
            columns.used.iter().filter_map(|used| names.iter().position(|name| name == used)).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), places);
        let rows = if images { IMAGE_ROWS } else { TEXT_ROWS };
        let reader = builder.with_projection(mask).with_batch_size(rows).build();
        Ok((metadata, reader.map_err(|e| failed(path, &e.to_string(), &e))?, columns))
    })?;
    let pairs = builder.file_metadata().key_value_metadata().into_iter().flatten();
    let features = pairs.filter(|pair| pair.key == "huggingface").find_map(|pair| pair.value.as_deref());
    let label = columns.label.and_then(|label| columns.used.get(label));
    let names = features.zip(label).and_then(|(features, label)| class_names(features, label));
    let length = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    let total = u64::try_from(builder.file_metadata().num_rows()).unwrap_or(0);
    let mut table = ParquetRows {
        path: path.to_path_buf(),
        reader: Some(reader),
        rows: Rows::new(path, columns, options),
        names,
        batch: None,
        next: 0,
        row: 0,
        extent: extent.clone(),
        length,
        total,
    };
    Ok(Box::new(std::iter::from_fn(move || table.entry().transpose())))
}

fn open(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<ParquetFile>> {
    let file = ParquetFile::open(path)?;
    // The types as Parquet has them: what Arrow knows as dictionaries, views or large strings is then plain.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(|e| failed(path, &e.to_string(), &e))
}

/// The Parquet crate panics on some damaged files.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    guard::catch(read)
        .unwrap_or_else(|panic| Err(Error::malformed(path, format!("the Parquet data is damaged ({panic})"))))
}

/// An error of the Parquet or Arrow crate; where the operating system is the cause, that is told.
fn failed(path: &Path, what: &str, error: &(dyn StdError + 'static)) -> Error {
    let (mut link, mut code) = (Some(error), None);
    while let (Some(error), None) = (link, code) {
        code = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        link = error.source();
    }
    match code {
        Some(code) => Error::io("read", path)(std::io::Error::from_raw_os_error(code)),
        None => Error::malformed(path, what),
    }
}

/// Whether the types of the columns can be used, and the content is images.
fn check(path: &Path, schema: &Schema, columns: &Columns, modality: Modality) -> Result<bool> {
    let mut images = false;
    for (place, name) in columns.used.iter().enumerate() {
        let field = schema.field_with_name(name).map_err(|e| Error::malformed(path, e))?;
        let kind = Kind::of(field.data_type());
        let usable = match (place == columns.content, modality) {
            (true, Modality::Text) => matches!(kind, Kind::Text | Kind::Bytes),
            (true, Modality::Image) => matches!(kind, Kind::Text | Kind::Bytes | Kind::Image),
            // Bytes that the file does not call a text may be anything, and are kept as they are by no output.
            (false, _) if columns.keep.contains(&place) => matches!(kind, Kind::Text | Kind::Scalar),
            (false, _) => matches!(kind, Kind::Text | Kind::Bytes | Kind::Scalar),
        };
        if !usable {
            let wanted = match (place == columns.content, modality) {
                (true, Modality::Text) => "a text",
                (true, Modality::Image) => "a path, the bytes of an image, or a struct of `bytes` and `path`",
                (false, _) => "a text, a number, a boolean or a time",
            };
            let (path, found) = (path.display(), field.data_type());
            return Err(Error::Usage(format!("the column `{name}` of {path} is {found}, expected {wanted}")));
        }
        images |= place == columns.content && modality == Modality::Image && !matches!(kind, Kind::Text);
    }
    Ok(images)
}

/// The names of the classes of a column, where Hugging Face's description of the file has them.
fn class_names(features: &str, column: &str) -> Option<Vec<String>> {
    let features: Value = serde_json::from_str(features).ok()?;
    let names = features.get("info")?.get("features")?.get(column)?.get("names")?.as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
}

struct ParquetRows {
    path: PathBuf,
    /// `None` after a failure.
    reader: Option<ParquetRecordBatchReader>,
    rows: Rows,
    /// What the numbers of the label column stand for.
    names: Option<Vec<String>>,
    batch: Option<RecordBatch>,
    /// The next row of the batch and of the file.
    next: usize,
    row: u64,
    extent: Arc<Extent>,
    /// Bytes and rows of the file.
    length: u64,
    total: u64,
}

impl ParquetRows {
    fn entry(&mut self) -> Result<Option<Entry>> {
        while self.batch.as_ref().is_none_or(|batch| self.next >= batch.num_rows()) {
            // Given up first: two of images are not held at once.
            self.batch = None;
            self.batch = self.read()?;
            self.next = 0;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let (row, at) = (self.row, self.next);
        self.row += 1;
        self.next += 1;
        let columns = self.rows.columns();
        let arrays: Vec<_> = columns.used.iter().map(|name| batch.column_by_name(name)).collect();
        let (content, label, names) = (columns.content, columns.label, self.names.as_deref());
        Ok(Some(self.rows.entry(row, |column| match arrays.get(column).copied().flatten() {
            None => Cell::Missing,
            Some(array) if column == content => arrow_cell::content(array, at),
            Some(array) => match (arrow_cell::scalar(array, at), names) {
                (Cell::Scalar(number), Some(names)) if Some(column) == label => class(number, names),
                (cell, _) => cell,
            },
        })))
    }

    fn read(&mut self) -> Result<Option<RecordBatch>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let next = guard::catch(|| reader.next());
        let outcome = match next {
            Ok(next) => next.transpose().map_err(|e| {
                let what = format!("it cannot be read after row {}: {e}", self.row);
                failed(&self.path, &what, &e)
            }),
            Err(panic) => {
                Err(Error::malformed(&self.path, format!("the data after row {} is damaged ({panic})", self.row)))
            }
        };
        match &outcome {
            Ok(Some(batch)) => {
                let part = |rows: u64| (self.length as f64 * (rows as f64 / self.total.max(1) as f64)) as u64;
                self.extent.advance(part(self.row + batch.num_rows() as u64).saturating_sub(part(self.row)));
            }
            _ => self.reader = None,
        }
        outcome
    }
}

/// The name of a class; -1 stands for none, as in test sets without labels.
fn class(number: String, names: &[String]) -> Cell<'static> {
    match number.parse::<usize>().ok().and_then(|number| names.get(number)) {
        Some(name) => Cell::Text(name.clone().into()),
        None if number == "-1" => Cell::Missing,
        None => Cell::Unusable(format!("{number}, and there are {} classes", names.len()).into()),
    }
}
