//! Matrices of little-endian floats, as npy and safetensors store them.

use std::io::{Read, Write};
use std::path::Path;

use half::f16;
use ndarray::Array2;

use super::Precision;
use crate::error::{Error, Result};

/// A stored type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    F16,
    F32,
    F64,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Reads a matrix of `shape`, row by row, that must fill `bytes` bytes exactly. `bytes` is what the file really has:
/// no more than that is ever allocated, whatever the header says.
pub(super) fn read(reader: impl Read, kind: Kind, shape: [usize; 2], bytes: u64, path: &Path) -> Result<Array2<f32>> {
    let [rows, columns] = shape;
    if columns == 0 {
        return Err(Error::malformed(path, "embeddings of length 0"));
    }
    let count = rows.checked_mul(columns).filter(|n| n.checked_mul(kind.size()).is_some_and(|n| n as u64 == bytes));
    let Some(count) = count else {
        let reason = format!("the header says {rows}×{columns} {kind:?}, but the values have {bytes} bytes");
        return Err(Error::malformed(path, reason));
    };
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|e| Error::malformed(path, format!("{count} values: {e}")))?;
    let mut reader = reader.take(bytes);
    let mut buffer = [0; 1 << 16];
    while values.len() < count {
        let wanted = buffer.len().min((count - values.len()).saturating_mul(kind.size()));
        let piece = &mut buffer[..wanted];
        reader.read_exact(piece).map_err(Error::io("read", path))?;
        match kind {
            Kind::F16 => values.extend(piece.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32())),
            Kind::F32 => values.extend(piece.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Kind::F64 => {
                for wide in piece.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)) {
                    values.push(narrow(wide, path)?);
                }
            }
        }
    }
    Array2::from_shape_vec((rows, columns), values).map_err(|e| Error::malformed(path, e))
}

/// Rounds to 32 bits; a finite value that only 64 bits can hold is an error.
pub(super) fn narrow(wide: f64, path: &Path) -> Result<f32> {
    let value = wide as f32;
    if wide.is_finite() && value.is_infinite() {
        return Err(Error::malformed(path, format!("the value {wide:e} is beyond the range of 32-bit floats")));
    }
    Ok(value)
}

/// Writes a matrix, row by row.
pub(super) fn write(writer: &mut impl Write, matrix: &Array2<f32>, precision: Precision) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(precision.size() * matrix.ncols());
    for row in matrix.rows() {
        bytes.clear();
        match precision {
            Precision::F32 => bytes.extend(row.iter().flat_map(|v| v.to_le_bytes())),
            Precision::F16 => bytes.extend(row.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes())),
        }
        writer.write_all(&bytes)?;
    }
    Ok(())
}
