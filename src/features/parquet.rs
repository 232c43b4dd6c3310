//! Feature sets in Parquet, ours and others'.

use std::error::Error as StdError;
use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float16Array, Float32Array, ListArray, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use half::f16;
use ndarray::Array2;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::Length;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnPath;

use super::floats::narrow;
use super::provenance::{FINGERPRINT_KEY, PROVENANCE_KEY};
use super::{FeatureSet, FeatureWriter, Header, Kept, Precision, Provenance, Rows};
use crate::error::{Error, Result};
use crate::file::AtomicFile;
use crate::footer::ParquetFile;
use crate::guard;
use crate::source::column;

const ID: &str = "id";
const LABEL: &str = "label";
const CONTENT: &str = "content";
const EMBEDDING: &str = "embedding";

/// Row groups hold at most this many rows, and fewer where the embeddings are long: a writer keeps one in memory.
const GROUP_ROWS: usize = 8192;
const GROUP_BYTES: usize = 32 << 20;
/// How many rows are read at a time: each value is held with its levels, and while buffers grow twice.
const READ_ROWS: usize = 256;

/// What a few bytes may become in memory: this much, and so many times the file's length more. Real embeddings hardly
/// compress; what is repeated in a page may stand for a billion values.
const EXPANDED: u64 = 1 << 30;
const EXPANSION: u64 = 64;
/// What a row costs beside its values: the ids, labels and contents are texts of their own.
const ROW_BYTES: u64 = 128;

/// Writes one Parquet file into `W`.
pub(super) struct ParquetWriter<W: Write + Send> {
    path: PathBuf,
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    of: Header,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// `path` is what errors name.
    pub(super) fn create(file: W, path: &Path, of: &Header) -> Result<Self> {
        let schema = schema(of, path)?;
        let properties = properties(of, path)?;
        let writer =
            ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(|e| cause("write", path, &e))?;
        Ok(Self { path: path.to_path_buf(), writer, schema, of: of.clone() })
    }

    pub(super) fn write(&mut self, rows: &Rows) -> Result<()> {
        rows.check(&self.of)?;
        let batch = batch(rows, &self.schema).map_err(|e| cause("write", &self.path, &e))?;
        self.writer.write(&batch).map_err(|e| cause("write", &self.path, &e))
    }

    /// Completes what has been written and gives it back.
    pub(super) fn into_inner(self) -> Result<W> {
        self.writer.into_inner().map_err(|e| cause("write", &self.path, &e))
    }
}

impl FeatureWriter for ParquetWriter<AtomicFile> {
    fn append(&mut self, rows: &Rows) -> Result<()> {
        self.write(rows)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        self.into_inner()?.commit()
    }
}

fn schema(of: &Header, path: &Path) -> Result<SchemaRef> {
    let dimension = of.dimension;
    let size = i32::try_from(dimension).map_err(|_| Error::malformed(path, format!("{dimension} dimensions")))?;
    let float = match of.precision {
        Precision::F32 => DataType::Float32,
        Precision::F16 => DataType::Float16,
    };
    // The inner field is named and nullable as pyarrow's `list_(float32(), d)` has it.
    let list = DataType::FixedSizeList(Arc::new(Field::new_list_field(float, true)), size);
    let mut fields = vec![
        Field::new(ID, DataType::Utf8, false),
        Field::new(LABEL, DataType::Utf8, true),
        Field::new(CONTENT, DataType::Utf8, true),
    ];
    fields.extend(of.kept.iter().map(|name| Field::new(name, DataType::Utf8, true)));
    fields.push(Field::new(EMBEDDING, list, false));
    Ok(Arc::new(Schema::new(fields)))
}

fn properties(of: &Header, path: &Path) -> Result<WriterProperties> {
    let metadata = of.provenance.as_ref().map(|provenance| -> Result<_> {
        let json = serde_json::to_string(provenance).map_err(|e| Error::malformed(path, e))?;
        let entry = |key: &str, value| KeyValue { key: key.to_owned(), value: Some(value) };
        Ok(vec![entry(PROVENANCE_KEY, json), entry(FINGERPRINT_KEY, provenance.fingerprint())])
    });
    let embedding = ColumnPath::new([EMBEDDING, "list", Field::LIST_FIELD_DEFAULT_NAME].map(String::from).to_vec());
    let group = (GROUP_BYTES / of.dimension.saturating_mul(4)).clamp(1, GROUP_ROWS);
    // Floats neither repeat nor compress: a dictionary, compression and statistics of them would only cost time.
    Ok(WriterProperties::builder()
        .set_created_by(concat!("engraft ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(metadata.transpose()?)
        .set_max_row_group_row_count(Some(group))
        .set_compression(Compression::SNAPPY)
        .set_column_compression(embedding.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(embedding.clone(), false)
        .set_column_statistics_enabled(embedding, EnabledStatistics::None)
        .build())
}

fn batch(rows: &Rows, schema: &SchemaRef) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let DataType::FixedSizeList(field, size) = schema.field_with_name(EMBEDDING)?.data_type() else {
        return Err(arrow_schema::ArrowError::SchemaError(EMBEDDING.to_owned()));
    };
    let values: ArrayRef = match field.data_type() {
        DataType::Float16 => {
            Arc::new(Float16Array::from_iter_values(rows.matrix.iter().map(|value| f16::from_f32(*value))))
        }
        _ => Arc::new(Float32Array::from_iter_values(rows.matrix.iter().copied())),
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(&rows.ids)),
        Arc::new(StringArray::from_iter(&rows.labels)),
        Arc::new(StringArray::from_iter(&rows.contents)),
    ];
    columns.extend(rows.kept.iter().map(|values| Arc::new(StringArray::from_iter(values)) as ArrayRef));
    columns.push(Arc::new(FixedSizeListArray::try_new(field.clone(), *size, values, None)?));
    RecordBatch::try_new(schema.clone(), columns)
}

/// An error of the Parquet or Arrow crate; where the operating system is the cause, that cause is kept.
fn cause(action: &'static str, path: &Path, error: &(dyn StdError + 'static)) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    let mut link = Some(error);
    while let Some(current) = link {
        match current.downcast_ref::<io::Error>() {
            // These tell of the content.
            Some(e) if !matches!(e.kind(), InvalidData | InvalidInput | Other | UnexpectedEof) => {
                let copy = e.raw_os_error().map(io::Error::from_raw_os_error);
                return Error::io(action, path)(copy.unwrap_or_else(|| io::Error::new(e.kind(), e.to_string())));
            }
            _ => link = current.source(),
        }
    }
    Error::malformed(path, error)
}

/// What made a file, if it says so; its rows are not read.
pub(super) fn provenance(path: &Path) -> Result<Option<Provenance>> {
    let read = || of_metadata(open(&ParquetFile::open(path)?, path)?.metadata().file_metadata(), path);
    guard::catch(read).unwrap_or_else(|panic| Err(damaged(path, &panic)))
}

/// The ids of a file's rows; nothing else of them is read.
pub(super) fn ids(path: &Path) -> Result<Vec<String>> {
    let read = || {
        let builder = open(&ParquetFile::open(path)?, path)?;
        let place = builder.schema().index_of(ID).map_err(|e| cause("read", path, &e))?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), [place]);
        let mut ids = Vec::new();
        for batch in builder.with_projection(mask).build().map_err(|e| cause("read", path, &e))? {
            let batch = batch.map_err(|e| cause("read", path, &e))?;
            ids.extend(texts(batch.column(0), ID, path)?.into_iter().flatten());
        }
        Ok(ids)
    };
    guard::catch(read).unwrap_or_else(|panic| Err(damaged(path, &panic)))
}

fn open(file: &ParquetFile, path: &Path) -> Result<ParquetRecordBatchReaderBuilder<ParquetFile>> {
    // The types as Parquet has them: what Arrow knows as dictionaries, views or fixed-size lists is then plain.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).map_err(|e| cause("read", path, &e))
}

fn of_metadata(metadata: &FileMetaData, path: &Path) -> Result<Option<Provenance>> {
    let pairs = metadata.key_value_metadata().into_iter().flatten();
    let json = pairs.filter(|pair| pair.key == PROVENANCE_KEY).find_map(|pair| pair.value.as_deref());
    json.map(|json| Provenance::parse(json, path)).transpose()
}

fn damaged(path: &Path, panic: &str) -> Error {
    Error::malformed(path, format!("the Parquet data is damaged ({panic})"))
}

/// The rows of one or more files, in order.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    ids: Vec<String>,
    labels: Vec<Option<String>>,
    contents: Vec<Option<String>>,
    kept: Kept,
    values: Vec<f32>,
    dimension: Option<usize>,
    /// Of all files.
    provenance: Option<Option<Provenance>>,
    /// How many bytes all this may have.
    limit: u64,
    /// How many it has.
    held: u64,
}

impl Gathered {
    /// Nothing yet; of each file these further columns are to be read.
    pub(super) fn keeping(names: &[String]) -> Self {
        Self { kept: names.iter().map(|name| (name.clone(), Vec::new())).collect(), ..Self::default() }
    }

    /// Reads a file. `embedding` must be a list of 16-, 32- or 64-bit floats of one length; `id`, `label` and `content` may
    /// be missing, and ids and labels may be integers or booleans. Of other columns those to keep are read, which must be
    /// there.
    pub(super) fn append(&mut self, path: &Path) -> Result<()> {
        // The Parquet crate panics on some damaged files. What was gathered is given up with the error.
        guard::catch(|| self.append_unguarded(path)).unwrap_or_else(|panic| Err(damaged(path, &panic)))
    }

    fn append_unguarded(&mut self, path: &Path) -> Result<()> {
        let file = ParquetFile::open(path)?;
        let length = file.len();
        let builder = open(&file, path)?;
        let metadata = builder.metadata().file_metadata();
        self.belongs(of_metadata(metadata, path)?, path)?;

        let names: Vec<&str> = builder.schema().fields().iter().map(|f| f.name().as_str()).collect();
        if !names.contains(&EMBEDDING) {
            return Err(Error::malformed(path, format!("no column `{EMBEDDING}`, but {}", names.join(", "))));
        }
        let used = [ID, LABEL, CONTENT, EMBEDDING];
        let others: Vec<&str> = names.into_iter().filter(|name| !used.contains(name)).collect();
        self.kept.keys().try_for_each(|name| column(path, &others, name).map(drop))?;
        // One allocation instead of doublings; never more than the file could hold uncompressed.
        let known = self.provenance.as_ref().and_then(|p| p.as_ref()).map(|p| p.dimension);
        let wanted = usize::try_from(metadata.num_rows()).unwrap_or(0).saturating_mul(known.unwrap_or(0));
        let wanted = wanted.min(usize::try_from(length / 2).unwrap_or(usize::MAX));
        self.values.try_reserve_exact(wanted).map_err(|e| Error::malformed(path, e))?;

        self.limit = self.limit.max(EXPANDED).saturating_add(length.saturating_mul(EXPANSION));
        let wanted = |name: &str| used.contains(&name) || self.kept.contains_key(name);
        let columns = builder.schema().fields().iter().enumerate();
        let columns: Vec<usize> = columns.filter(|(_, field)| wanted(field.name())).map(|(i, _)| i).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        self.check_pages(file, builder.metadata(), &mask, path)?;
        let reader =
            builder.with_projection(mask).with_batch_size(READ_ROWS).build().map_err(|e| cause("read", path, &e))?;
        for batch in reader {
            let batch = batch.map_err(|e| cause("read", path, &e))?;
            self.hold(batch.get_array_memory_size() as u64 + ROW_BYTES * batch.num_rows() as u64, path)?;
            self.push(&batch, path)?;
        }
        Ok(())
    }

    /// Adds up what was read; `bytes` more must be allowed.
    fn hold(&mut self, bytes: u64, path: &Path) -> Result<()> {
        self.held = self.held.saturating_add(bytes);
        if self.held > self.limit {
            let reason = format!("its few bytes hold more than the {} MiB that are allowed for them", self.limit >> 20);
            return Err(Error::malformed(path, format!("{reason}; if they are real, write it without compression")));
        }
        Ok(())
    }

    /// One batch could be as large as a page says, so that the headers of the pages are read first, and nothing else.
    fn check_pages(
        &self,
        file: ParquetFile,
        metadata: &ParquetMetaData,
        mask: &ProjectionMask,
        path: &Path,
    ) -> Result<()> {
        let bad = |e: ParquetError| cause("read", path, &e);
        let file = Arc::new(file);
        let mut levels = 0_u64;
        for group in metadata.row_groups() {
            let rows = usize::try_from(group.num_rows()).map_err(|e| Error::malformed(path, e))?;
            for (i, column) in group.columns().iter().enumerate().filter(|(i, _)| mask.leaf_included(*i)) {
                let mut pages = SerializedPageReader::new(file.clone(), column, rows, None).map_err(bad)?;
                while let Some(page) = pages.peek_next_page().map_err(bad)? {
                    levels = levels.saturating_add(page.num_levels.or(page.num_rows).unwrap_or(0) as u64);
                    pages.skip_next_page().map_err(bad)?;
                }
                if levels.saturating_mul(4) > self.limit {
                    let reason = format!("column {i} says to hold {levels} values, more than its bytes can mean");
                    return Err(Error::malformed(path, reason));
                }
            }
        }
        Ok(())
    }

    /// Fails when a file was made otherwise than the first one.
    fn belongs(&mut self, provenance: Option<Provenance>, path: &Path) -> Result<()> {
        let Some(all) = &mut self.provenance else {
            self.provenance = Some(provenance);
            return Ok(());
        };
        Provenance::join(all, &provenance, || super::shards::up_to(path))
    }

    fn push(&mut self, batch: &RecordBatch, path: &Path) -> Result<()> {
        let start = self.ids.len();
        let n = batch.num_rows();
        let column = |name: &str| batch.column_by_name(name).map(|column| texts(column, name, path)).transpose();
        match column(ID)? {
            None => self.ids.extend((start..start + n).map(|row| row.to_string())),
            Some(ids) => {
                for id in ids {
                    let row = self.ids.len();
                    self.ids.push(id.ok_or_else(|| Error::malformed(path, format!("row {row} has no id")))?);
                }
            }
        }
        self.labels.extend(column(LABEL)?.unwrap_or_else(|| vec![None; n]));
        self.contents.extend(column(CONTENT)?.unwrap_or_else(|| vec![None; n]));
        for (name, values) in &mut self.kept {
            values.extend(column(name)?.unwrap_or_else(|| vec![None; n]));
        }
        let lists = batch.column_by_name(EMBEDDING).and_then(|column| column.as_list_opt::<i32>());
        let lists = lists.ok_or_else(|| Error::malformed(path, format!("column `{EMBEDDING}` is not a list")))?;
        self.embeddings(lists, start, path)
    }

    fn embeddings(&mut self, lists: &ListArray, start: usize, path: &Path) -> Result<()> {
        for (i, list) in lists.iter().enumerate() {
            let row = start + i;
            let list = list.ok_or_else(|| Error::malformed(path, format!("row {row} has no embedding")))?;
            let dimension = *self.dimension.get_or_insert(list.len());
            if list.len() != dimension || dimension == 0 {
                let reason = format!("row {row} has an embedding of length {}, expected {dimension}", list.len());
                return Err(Error::malformed(path, reason));
            }
            if list.null_count() > 0 {
                return Err(Error::malformed(path, format!("the embedding of row {row} has empty places")));
            }
            if let Some(floats) = list.as_primitive_opt::<Float32Type>() {
                self.values.extend_from_slice(floats.values());
            } else if let Some(floats) = list.as_primitive_opt::<Float16Type>() {
                self.values.extend(floats.values().iter().map(|value| value.to_f32()));
            } else if let Some(floats) = list.as_primitive_opt::<Float64Type>() {
                for wide in floats.values() {
                    self.values.push(narrow(*wide, path)?);
                }
            } else {
                let reason = format!("`{EMBEDDING}` is a list of {}, expected floats", list.data_type());
                return Err(Error::malformed(path, reason));
            }
        }
        Ok(())
    }

    /// All that was read. Without rows the length of the embeddings is the provenance's, or 0.
    pub(super) fn finish(self, path: &Path) -> Result<FeatureSet> {
        let provenance = self.provenance.flatten();
        let dimension = self.dimension.or(provenance.as_ref().map(|p| p.dimension)).unwrap_or(0);
        let matrix =
            Array2::from_shape_vec((self.ids.len(), dimension), self.values).map_err(|e| Error::malformed(path, e))?;
        FeatureSet { ids: self.ids, labels: self.labels, contents: self.contents, kept: self.kept, matrix, provenance }
            .checked(path)
    }
}

/// A column of texts, integers or booleans as texts.
fn texts(column: &ArrayRef, name: &str, path: &Path) -> Result<Vec<Option<String>>> {
    fn all<T: ToString>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<String>> {
        values.map(|value| value.map(|value| value.to_string())).collect()
    }
    if let Some(column) = column.as_string_opt::<i32>() {
        Ok(all(column.iter()))
    } else if let Some(column) = column.as_primitive_opt::<Int64Type>() {
        Ok(all(column.iter()))
    } else if let Some(column) = column.as_primitive_opt::<Int32Type>() {
        Ok(all(column.iter()))
    } else if let Some(column) = column.as_boolean_opt() {
        Ok(all(column.iter()))
    } else {
        Err(Error::malformed(path, format!("column `{name}` is {}, expected text", column.data_type())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such() {
        /// Fails with what it holds.
        struct Full(fn() -> io::Error);
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let path = Path::new("out.parquet");
        let of = Header { dimension: 2, precision: Precision::F32, kept: Vec::new(), provenance: None };
        let schema = schema(&of, path).unwrap();
        let rows = Rows {
            ids: vec!["a".to_owned()],
            labels: vec![None],
            contents: vec![None],
            kept: Vec::new(),
            matrix: Array2::zeros((1, 2)),
        };
        // 28 is ENOSPC on Linux, macOS and the BSDs; other layers may have wrapped it.
        for full in [|| io::Error::from_raw_os_error(28), || io::Error::new(io::ErrorKind::StorageFull, "full")] {
            let properties = properties(&of, path).unwrap();
            let attempt = ArrowWriter::try_new(Full(full), schema.clone(), Some(properties)).and_then(|mut writer| {
                writer.write(&batch(&rows, &schema)?)?;
                writer.close()
            });
            match cause("write", path, &attempt.map(|_| ()).unwrap_err()) {
                Error::Io { path: named, source, .. } => {
                    assert_eq!((named.as_path(), source.kind()), (path, io::ErrorKind::StorageFull));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
