//! The safetensors format: <https://github.com/huggingface/safetensors#format>.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};
use serde_json::json;

use super::flat::{Layout, Place};
use super::floats::{self, Kind};
use super::provenance::{FINGERPRINT_KEY, PROVENANCE_KEY};
use super::sidecar::Lines;
use super::{FeatureSet, Header, Precision, Provenance, sidecar};
use crate::error::{Error, Result};

const TENSOR: &str = "embedding";
/// The longest header that is read: room for a hundred thousand tensors. The format itself allows 100 MB, which would
/// become some gigabytes.
const MAX_HEADER: u64 = 16 << 20;
/// Digits that the number of rows and the end of the data may gain over one each, rounded up.
const ROOM: usize = 40;

pub(super) fn layout(path: &Path, of: &Header) -> Result<Layout> {
    let (dimension, size) = (of.dimension, of.precision.size() as u64);
    let dtype = match of.precision {
        Precision::F32 => "F32",
        Precision::F16 => "F16",
    };
    let mut metadata = BTreeMap::new();
    if let Some(provenance) = &of.provenance {
        let json = serde_json::to_string(provenance).map_err(|e| Error::malformed(path, e))?;
        metadata.insert(PROVENANCE_KEY, json);
        metadata.insert(FINGERPRINT_KEY, provenance.fingerprint());
    }
    let text = move |rows: u64| {
        let end = rows.saturating_mul(dimension as u64).saturating_mul(size);
        json!({
            "__metadata__": metadata,
            TENSOR: { "dtype": dtype, "shape": [rows, dimension], "data_offsets": [0, end] },
        })
        .to_string()
        .into_bytes()
    };
    // The format lets spaces follow the header's text; a multiple of 8 keeps the values aligned.
    let length = (text(0).len() + ROOM).next_multiple_of(8);
    let header = move |rows| {
        let mut bytes = (length as u64).to_le_bytes().to_vec();
        bytes.extend(text(rows));
        bytes.resize(8 + length, b' ');
        bytes
    };
    Ok(Layout { header: Box::new(header), provenance: Place::Header })
}

/// Reads the tensor `embedding` with what lies beside it.
pub(super) fn read(path: &Path, keep: &[String]) -> Result<FeatureSet> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let file_length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut reader = BufReader::new(file);
    let short = || Error::malformed(path, "the file ends within the safetensors header");
    if file_length < 8 {
        return Err(short());
    }
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes).map_err(Error::io("read", path))?;
    let header_length = u64::from_le_bytes(bytes);
    if header_length > MAX_HEADER {
        let reason = format!("a safetensors header of {header_length} bytes; at most {MAX_HEADER} are read");
        return Err(Error::malformed(path, reason));
    }
    let data_length = file_length.checked_sub(8 + header_length).ok_or_else(short)?;
    let mut text = vec![0; header_length as usize];
    reader.read_exact(&mut text).map_err(Error::io("read", path))?;
    // Reading checks that the tensors' offsets follow one another and fit their shapes.
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|e| Error::malformed(path, format!("safetensors header: {e}")))?;
    if metadata.data_len() as u64 != data_length {
        let reason = format!("the header tells of {} bytes, but {data_length} follow", metadata.data_len());
        return Err(Error::malformed(path, reason));
    }
    let Some(info) = metadata.info(TENSOR) else {
        let reason = format!("no tensor `{TENSOR}`, but {}", metadata.offset_keys().join(", "));
        return Err(Error::malformed(path, reason));
    };
    let (kind, shape) = match (info.dtype, info.shape.as_slice()) {
        (Dtype::F16, [rows, columns]) => (Kind::F16, [*rows, *columns]),
        (Dtype::F32, [rows, columns]) => (Kind::F32, [*rows, *columns]),
        (Dtype::F64, [rows, columns]) => (Kind::F64, [*rows, *columns]),
        (dtype, shape) => {
            let reason = format!("`{TENSOR}` is {dtype:?} {shape:?}, expected F16, F32 or F64 [rows, columns]");
            return Err(Error::malformed(path, reason));
        }
    };
    let (begin, end) = info.data_offsets;
    reader.seek(SeekFrom::Start(8 + header_length + begin as u64)).map_err(Error::io("read", path))?;
    let matrix = floats::read(reader, kind, shape, end.saturating_sub(begin) as u64, path)?;
    let Lines { ids, labels, contents, kept } = sidecar::read(path, matrix.nrows(), keep)?;
    let json = metadata.metadata().as_ref().and_then(|m| m.get(PROVENANCE_KEY));
    let provenance = json.map(|json| Provenance::parse(json, path)).transpose()?;
    FeatureSet { ids, labels, contents, kept, matrix, provenance }.checked(path)
}
