//! NumPy's array format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use super::flat::{Layout, Place, read_provenance};
use super::floats::{self, Kind};
use super::sidecar::Lines;
use super::{FeatureSet, Header, Precision, sidecar};
use crate::error::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Length of the header that we write, with room for any number of rows; NumPy wants a multiple of 64.
const HEADER: usize = 128;
/// The longest header that is read. NumPy itself refuses more than 10,000 bytes.
const MAX_HEADER: usize = 1 << 16;

pub(super) fn layout(of: &Header) -> Layout {
    let (dimension, precision) = (of.dimension, of.precision);
    Layout {
        header: Box::new(move |rows| header(rows, dimension, precision)),
        provenance: Place::Beside(of.provenance.clone().map(Box::new)),
    }
}

fn header(rows: u64, dimension: usize, precision: Precision) -> Vec<u8> {
    let size = precision.size();
    let text = format!("{{'descr': '<f{size}', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}");
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0, (HEADER - 10) as u8, 0]);
    bytes.extend(text.as_bytes());
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Reads a 2-D array of 16-, 32- or 64-bit floats with what lies beside it, these further columns among it.
pub(super) fn read(path: &Path, keep: &[String]) -> Result<FeatureSet> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut reader = BufReader::new(file);
    let (text, used) = read_header(&mut reader).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => Error::malformed(path, "the file ends within the npy header"),
        ErrorKind::InvalidData => Error::malformed(path, e),
        _ => Error::io("read", path)(e),
    })?;
    let (kind, shape) = parse_header(&text).map_err(|reason| Error::malformed(path, reason))?;
    let matrix = floats::read(reader, kind, shape, length.saturating_sub(used), path)?;
    let Lines { ids, labels, contents, kept } = sidecar::read(path, matrix.nrows(), keep)?;
    let provenance = read_provenance(path)?;
    FeatureSet { ids, labels, contents, kept, matrix, provenance }.checked(path)
}

/// The header's text and the number of bytes up to the values.
fn read_header(reader: &mut impl Read) -> std::io::Result<(String, u64)> {
    let invalid = |reason: String| std::io::Error::new(ErrorKind::InvalidData, reason);
    let mut start = [0; 8];
    reader.read_exact(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(invalid("not an npy file".to_owned()));
    }
    let (length, prefix) = match start[6] {
        1 => {
            let mut bytes = [0; 2];
            reader.read_exact(&mut bytes)?;
            (usize::from(u16::from_le_bytes(bytes)), 10)
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            reader.read_exact(&mut bytes)?;
            (u32::from_le_bytes(bytes) as usize, 12)
        }
        version => return Err(invalid(format!("version {version} of npy is not known"))),
    };
    if length > MAX_HEADER {
        return Err(invalid(format!("an npy header of {length} bytes, at most {MAX_HEADER} are read")));
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| invalid("the npy header is not UTF-8".to_owned()))?;
    Ok((text, (prefix + length) as u64))
}

/// Reads the header's Python dictionary, for example `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }`.
fn parse_header(text: &str) -> Result<(Kind, [usize; 2]), String> {
    let body = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}')).ok_or("the npy header has no braces")?;
    let value = |key: &str| {
        let at = [format!("'{key}':"), format!("\"{key}\":")].iter().find_map(|k| body.split_once(k.as_str()));
        at.map(|(_, rest)| rest.trim_start()).ok_or_else(|| format!("the npy header has no '{key}'"))
    };
    let descr = value("descr")?;
    let kind = match descr.get(1..4) {
        Some("<f2") => Kind::F16,
        Some("<f4") => Kind::F32,
        Some("<f8") => Kind::F64,
        _ => {
            let found = descr.split(['}', ',']).next().unwrap_or_default();
            return Err(format!("values of type {found}, expected '<f2', '<f4' or '<f8' (little-endian floats)"));
        }
    };
    if !value("fortran_order")?.starts_with("False") {
        return Err("the array is stored column by column; save numpy.ascontiguousarray of it".to_owned());
    }
    let shape = value("shape")?;
    let inner = shape.strip_prefix('(').and_then(|s| s.split_once(')')).map_or("", |(inner, _)| inner);
    let sizes: Option<Vec<usize>> =
        inner.split(',').map(str::trim).filter(|s| !s.is_empty()).map(|s| s.parse().ok()).collect();
    match sizes.as_deref() {
        Some([rows, columns]) => Ok((kind, [*rows, *columns])),
        _ => Err(format!("an array of shape ({inner}), expected (rows, columns)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_header_has_one_length_and_reads_back() {
        for (rows, dimension) in [(0, 1), (7, 384), (u64::MAX, usize::MAX)] {
            let bytes = header(rows, dimension, Precision::F32);
            assert_eq!(bytes.len(), HEADER);
            let (text, used) = read_header(&mut bytes.as_slice()).unwrap();
            assert_eq!(used, HEADER as u64);
            assert_eq!(parse_header(&text).unwrap(), (Kind::F32, [rows as usize, dimension]));
        }
    }

    #[test]
    fn other_headers_are_refused_with_a_reason() {
        let reason = |text: &str| parse_header(text).unwrap_err();
        let header = |descr: &str, order: &str, shape: &str| {
            reason(&format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"))
        };
        assert!(header("'>f4'", "False", "(1, 2)").contains("'>f4'"));
        assert!(header("'<i8'", "False", "(1, 2)").contains("'<i8'"));
        assert!(header("[('a', '<f4')]", "False", "(1, 2)").contains("values of type"));
        assert!(header("'<f4'", "True", "(1, 2)").contains("column by column"));
        for shape in ["(2,)", "()", "(1, 2, 3)", "(-1, 2)", "(99999999999999999999, 2)", "(1 2)", "5", "(1, 2"] {
            assert!(header("'<f4'", "False", shape).contains("expected (rows, columns)"), "{shape}");
        }
        assert!(reason("{'descr': '<f4'}").contains("fortran_order"));
        assert!(reason("").contains("braces"));
        assert!(reason("{'descr': é<f4'}").contains("values of type"));
    }
}
