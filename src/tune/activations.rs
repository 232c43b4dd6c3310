//! What the trunk gives for each sample, on disk: computed once, read in every epoch.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use half::f16;
use serde::{Deserialize, Serialize};

use super::array::{Array, Value};
use crate::error::{Error, Result};
use crate::file::{self, AtomicFolder};

const VALUES: &str = "values.bin";
const INDEX: &str = "index.json";
/// A larger index is none of ours.
const MAX_INDEX: u64 = 1 << 30;

/// How floats are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// As they are.
    #[default]
    F32,
    /// In half the space, rounded to eleven bits.
    F16,
}

/// How values of one tensor lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stored {
    F32,
    F16,
    I64,
    Bool,
}

impl Stored {
    fn of(value: &Value<f32>, kept: Kept) -> Self {
        match (value, kept) {
            (Value::Real(_), Kept::F32) => Self::F32,
            (Value::Real(_), Kept::F16) => Self::F16,
            (Value::Int(_), _) => Self::I64,
            (Value::Bool(_), _) => Self::Bool,
        }
    }

    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::I64 => 8,
            Self::Bool => 1,
        }
    }
}

/// The sizes of each tensor of a sample, without the batch's.
type Shape = Vec<Vec<usize>>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Index {
    fingerprint: String,
    tensors: Vec<Stored>,
    shapes: Vec<Shape>,
    /// Where each sample begins in the file, and which shape it has.
    samples: Vec<(u64, usize)>,
}

impl Index {
    fn sample_bytes(&self, shape: usize) -> usize {
        // A size that overflows is larger than any file, and is found to be so.
        let bytes =
            |(dims, stored): (&Vec<usize>, &Stored)| dims.iter().fold(stored.size(), |n, &d| n.saturating_mul(d));
        self.shapes[shape].iter().zip(&self.tensors).map(bytes).fold(0, usize::saturating_add)
    }
}

/// The bytes that a sample takes whose tensors are these, each with a first dimension of 1: what `samples` times that is, is the size
/// of the whole.
pub fn bytes_per_sample(sample: &[Value<f32>], kept: Kept) -> u64 {
    sample.iter().map(|value| (value.dims().iter().product::<usize>() * Stored::of(value, kept).size()) as u64).sum()
}

/// Activations that are being written.
#[derive(Debug)]
pub struct ActivationWriter {
    folder: AtomicFolder,
    path: PathBuf,
    file: BufWriter<File>,
    index: Index,
    kept: Kept,
    limit: u64,
    bytes: u64,
}

impl ActivationWriter {
    /// Begins a folder at `path`, which is there once it is finished. `fingerprint` says what the activations are of: model, cut,
    /// preprocessing and samples. More than `limit` bytes are refused.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn create(path: &Path, fingerprint: &str, kept: Kept, limit: u64) -> Result<Self> {
        let folder = AtomicFolder::create(path)?;
        let values = folder.staging().join(VALUES);
        let file = File::create(&values).map_err(Error::io("create", &values))?;
        let index = Index { fingerprint: fingerprint.to_owned(), ..Index::default() };
        Ok(Self { folder, path: path.to_path_buf(), file: BufWriter::new(file), index, kept, limit, bytes: 0 })
    }

    /// Adds the samples of a batch: the tensors of the boundary, each with one row a sample.
    ///
    /// # Errors
    /// [`Error::Data`] when the tensors have not equally many rows, are of other types than before, or beyond the limit; [`Error::Io`].
    pub fn append(&mut self, batch: &[Value<f32>]) -> Result<()> {
        let stored: Vec<Stored> = batch.iter().map(|value| Stored::of(value, self.kept)).collect();
        if self.index.samples.is_empty() {
            self.index.tensors.clone_from(&stored);
        }
        let rows = batch.first().and_then(|value| value.dims().first()).copied().unwrap_or(0);
        if stored != self.index.tensors || batch.iter().any(|value| value.dims().first() != Some(&rows)) {
            let dims: Vec<&[usize]> = batch.iter().map(Value::dims).collect();
            return Err(Error::Data(format!("activations of {dims:?} are not one row for each of {rows} samples")));
        }
        let shape: Shape = batch.iter().map(|value| value.dims()[1..].to_vec()).collect();
        let known = self.index.shapes.iter().position(|known| *known == shape);
        let shape = known.unwrap_or_else(|| {
            self.index.shapes.push(shape);
            self.index.shapes.len() - 1
        });
        let size = self.index.sample_bytes(shape) as u64;
        if self.bytes + size * rows as u64 > self.limit {
            let (so_far, limit) = (self.index.samples.len(), self.limit);
            let reason = format!(
                "the activations of {so_far} samples are all that fits into {limit} bytes: cut later, keep them as f16, or raise the limit"
            );
            return Err(Error::Data(reason));
        }
        for row in 0..rows {
            self.index.samples.push((self.bytes, shape));
            self.bytes += size;
            for (value, stored) in batch.iter().zip(&stored) {
                let bytes = encoded(value, *stored, row, rows);
                self.file.write_all(&bytes).map_err(Error::io("write", &self.path))?;
            }
        }
        Ok(())
    }

    /// Puts the folder in its place.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(self) -> Result<Activations> {
        let Self { folder, path, mut file, index, .. } = self;
        file.flush().map_err(Error::io("write", &path))?;
        drop(file);
        let json = serde_json::to_vec(&index).map_err(|e| Error::malformed(&path, e))?;
        file::write_atomic(&folder.staging().join(INDEX), &json)?;
        folder.commit()?;
        Activations::open(&path, &index.fingerprint)
    }
}

fn encoded(value: &Value<f32>, stored: Stored, row: usize, rows: usize) -> Vec<u8> {
    fn part<E>(values: &[E], row: usize, rows: usize) -> &[E] {
        let length = values.len() / rows;
        &values[row * length..(row + 1) * length]
    }
    match value {
        Value::Real(array) if stored == Stored::F16 => {
            part(array.values(), row, rows).iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()
        }
        Value::Real(array) => part(array.values(), row, rows).iter().flat_map(|v| v.to_le_bytes()).collect(),
        Value::Int(array) => part(array.values(), row, rows).iter().flat_map(|v| v.to_le_bytes()).collect(),
        Value::Bool(array) => part(array.values(), row, rows).iter().map(|v| u8::from(*v)).collect(),
    }
}

/// Activations that are read.
#[derive(Debug)]
pub struct Activations {
    path: PathBuf,
    file: Mutex<File>,
    index: Index,
}

impl Activations {
    /// Opens the folder at `path`, which must hold the activations of what `fingerprint` says.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when they are of something else; [`Error::Malformed`] when the folder is not whole.
    pub fn open(path: &Path, fingerprint: &str) -> Result<Self> {
        let (values, index) = (path.join(VALUES), path.join(INDEX));
        let found: Index =
            serde_json::from_slice(&file::read_at_most(&index, MAX_INDEX)?).map_err(|e| Error::malformed(&index, e))?;
        if found.fingerprint != fingerprint {
            let what = format!("the activations in {} and what they shall be of", path.display());
            return Err(Error::Mismatch { what, expected: fingerprint.to_owned(), got: found.fingerprint });
        }
        let file = File::open(&values).map_err(Error::io("read", &values))?;
        let length = file.metadata().map_err(Error::io("read", &values))?.len();
        let whole = found.shapes.iter().all(|shape| shape.len() == found.tensors.len());
        let inside = |&(start, shape): &(u64, usize)| {
            let size = found.shapes.get(shape).map(|_| found.sample_bytes(shape) as u64);
            size.and_then(|size| start.checked_add(size)).is_some_and(|end| end <= length)
        };
        if !whole || !found.samples.iter().all(inside) {
            return Err(Error::malformed(
                path,
                "the activations are not whole: remove the folder, and they are computed again",
            ));
        }
        Ok(Self { path: path.to_path_buf(), file: Mutex::new(file), index: found })
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.index.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.samples.is_empty()
    }

    /// A number for the sizes of a sample's tensors: samples of one number can be of one batch.
    pub fn shape(&self, sample: usize) -> usize {
        self.index.samples[sample].1
    }

    /// The tensors of these samples, each with one row a sample.
    ///
    /// # Errors
    /// [`Error::Data`] when there is no such sample or the samples have not all the same sizes; [`Error::Io`].
    pub fn batch(&self, samples: &[usize]) -> Result<Vec<Value<f32>>> {
        let entries: Option<Vec<(u64, usize)>> = samples.iter().map(|&i| self.index.samples.get(i).copied()).collect();
        let entries = entries.ok_or_else(|| Error::Data(format!("there are {} samples, and no other", self.len())))?;
        let Some(&(_, shape)) = entries.first() else { return Err(Error::Data("a batch of no samples".into())) };
        if entries.iter().any(|(_, other)| *other != shape) {
            return Err(Error::Data("a batch of samples that differ in size".into()));
        }
        let size = self.index.sample_bytes(shape);
        let mut bytes = vec![0; size * entries.len()];
        {
            let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for ((start, _), into) in entries.iter().zip(bytes.chunks_exact_mut(size.max(1))) {
                let read = file.seek(SeekFrom::Start(*start)).and_then(|_| file.read_exact(into));
                read.map_err(Error::io("read", &self.path))?;
            }
        }
        let mut offset = 0;
        let tensor = |(dims, stored): (&Vec<usize>, &Stored)| {
            let length = dims.iter().product::<usize>() * stored.size();
            let rows: Vec<&[u8]> = bytes.chunks_exact(size.max(1)).map(|row| &row[offset..offset + length]).collect();
            offset += length;
            let dims = std::iter::once(entries.len()).chain(dims.iter().copied()).collect();
            decoded(&rows, *stored, dims).map_err(|reason| Error::malformed(&self.path, reason))
        };
        self.index.shapes[shape].iter().zip(&self.index.tensors).map(tensor).collect()
    }
}

fn decoded(rows: &[&[u8]], stored: Stored, dims: Vec<usize>) -> Result<Value<f32>, String> {
    Ok(match stored {
        Stored::F32 => {
            let row = |row: &&[u8]| row.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<f32>>();
            Array::new(dims, rows.iter().flat_map(row).collect())?.into()
        }
        Stored::F16 => {
            let row =
                |row: &&[u8]| row.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect::<Vec<f32>>();
            Array::new(dims, rows.iter().flat_map(row).collect())?.into()
        }
        Stored::I64 => {
            let row = |row: &&[u8]| row.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect::<Vec<i64>>();
            Value::Int(Array::new(dims, rows.iter().flat_map(row).collect())?)
        }
        Stored::Bool => {
            Value::Bool(Array::new(dims, rows.iter().flat_map(|row| row.iter().map(|b| *b != 0)).collect())?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(dims: &[usize], start: f32) -> Value<f32> {
        let n: usize = dims.iter().product();
        Array::new(dims.to_vec(), (0..n).map(|i| start + i as f32 / 3.0).collect()).unwrap().into()
    }

    fn ints(dims: &[usize]) -> Value<f32> {
        let n: usize = dims.iter().product();
        Value::Int(Array::new(dims.to_vec(), (0..n as i64).collect()).unwrap())
    }

    #[test]
    fn what_is_written_is_read_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let mut writer = ActivationWriter::create(&path, "a", Kept::F32, 1000).unwrap();
        let truths = Value::Bool(Array::new(vec![2], vec![true, false]).unwrap());
        writer.append(&[real(&[2, 3], 0.0), ints(&[2, 2]), truths.clone()]).unwrap();
        writer.append(&[real(&[2, 1], 9.0), ints(&[2, 4]), truths.clone()]).unwrap();
        let cache = writer.finish().unwrap();
        assert_eq!((cache.len(), cache.shape(0), cache.shape(1), cache.shape(2)), (4, 0, 0, 1));
        let batch = cache.batch(&[1, 0, 1]).unwrap();
        let (Value::Real(a), Value::Int(b), Value::Bool(c)) = (&batch[0], &batch[1], &batch[2]) else {
            panic!("{batch:?}")
        };
        assert_eq!((a.dims(), b.dims(), c.dims()), (&[3, 3][..], &[3, 2][..], &[3][..]));
        assert_eq!(a.values()[..4], [1.0, 4.0 / 3.0, 5.0 / 3.0, 0.0]);
        assert_eq!((b.values(), c.values()), (&[2, 3, 0, 1, 2, 3][..], &[false, true, false][..]));
        assert!(cache.batch(&[0, 2]).unwrap_err().to_string().contains("differ in size"));
        assert!(cache.batch(&[4]).unwrap_err().to_string().contains("4 samples"));
        let error = Activations::open(&path, "b").unwrap_err().to_string();
        assert!(error.contains("expected b, got a"), "{error}");
        let file = File::options().write(true).open(path.join(VALUES)).unwrap();
        file.set_len(10).unwrap();
        assert!(Activations::open(&path, "a").unwrap_err().to_string().contains("not whole"));
    }

    #[test]
    fn halves_take_half_and_a_limit_holds() {
        let folder = tempfile::tempdir().unwrap();
        let sample = [real(&[1, 8], 0.25)];
        assert_eq!((bytes_per_sample(&sample, Kept::F32), bytes_per_sample(&sample, Kept::F16)), (32, 16));
        let mut writer = ActivationWriter::create(&folder.path().join("cache"), "", Kept::F16, 20).unwrap();
        writer.append(&sample).unwrap();
        let error = writer.append(&sample).unwrap_err().to_string();
        assert!(error.contains("1 samples") && error.contains("f16"), "{error}");
        let cache = writer.finish().unwrap();
        let (Value::Real(got), Value::Real(want)) = (&cache.batch(&[0]).unwrap()[0], &sample[0]) else { panic!() };
        crate::close::assert_close(
            got.values().to_vec(),
            want.values().to_vec(),
            crate::close::Tolerance::Within(1e-3),
        );
        let mut other = ActivationWriter::create(&folder.path().join("other"), "", Kept::F32, 100).unwrap();
        assert!(other.append(&[real(&[2, 1], 0.0), ints(&[3, 1])]).unwrap_err().to_string().contains("one row"));
    }
}
