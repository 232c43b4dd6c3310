//! Parquet files as the Parquet crate may read them.
//!
//! The crate builds the schema by recursion without a limit: a footer of some kilobytes overflows the stack, which ends
//! the process and cannot be caught. So the footer is looked through first. It is a Thrift structure in the compact protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>); of it only the numbers of
//! children in the schema are read (<https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>).
//!
//! And where the crate passes over values that it does not need, it does not notice the end of the file: a list of two
//! billion of them is passed over one by one. So the end is an error here.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use crate::error::{Error, Result};

/// Tables of embeddings nest three deep, and no table is read in depth.
const MAX_DEPTH: usize = 64;
/// `FileMetaData.schema`, a list of `SchemaElement`.
const SCHEMA: i64 = 2;
/// `SchemaElement.num_children`.
const CHILDREN: i64 = 5;

/// Types of the compact protocol.
const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A Parquet file whose schema nests at most 64 deep, for any of the crate's readers. Clones share it.
#[derive(Debug, Clone)]
pub struct ParquetFile {
    file: Arc<File>,
    length: u64,
}

impl ParquetFile {
    /// Opens a file and looks at its schema's depth. What else may be wrong with it is left to the Parquet crate, and so is
    /// a file that is none.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the schema nests deeper, [`Error::Io`] when the disk refuses.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        match depth(&file) {
            Ok(depth) if depth > MAX_DEPTH => {
                return Err(Error::malformed(path, format!("its schema nests deeper than {MAX_DEPTH} levels")));
            }
            Ok(_) => {}
            // The end of the footer, or garbage: no schema that anyone could build.
            Err(e)
                if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput) => {}
            Err(e) => return Err(Error::io("read", path)(e)),
        }
        Ok(Self { file: Arc::new(file), length })
    }

    fn from(&self, start: u64) -> std::io::Result<Endless> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(Endless(file))
    }
}

impl Length for ParquetFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for ParquetFile {
    type T = BufReader<Endless>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // Before as much is allocated.
        if start.checked_add(length as u64).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.length)));
        }
        let mut bytes = vec![0; length];
        self.from(start)?.read_exact(&mut bytes)?;
        Ok(Bytes::from(bytes))
    }
}

/// A file of which no one may ask for more than there is.
#[derive(Debug)]
pub struct Endless(File);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// The greatest depth in the footer, or one more than the limit as soon as that is passed.
fn depth(mut file: &File) -> std::io::Result<usize> {
    file.seek(SeekFrom::End(-8))?;
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    file.seek(SeekFrom::End(-8 - i64::from(length)))?;
    let mut footer = Compact { reader: BufReader::new(file).take(u64::from(length)) };
    let mut greatest = 0;
    footer.fields(&mut |footer, id, kind| match (id, kind) {
        (SCHEMA, LIST) => {
            greatest = greatest.max(footer.schema()?);
            Ok(())
        }
        _ => footer.skip(kind, 0),
    })?;
    Ok(greatest)
}

struct Compact<R> {
    reader: R,
}

type Field<'a, R> = dyn FnMut(&mut Compact<R>, i64, u8) -> std::io::Result<()> + 'a;

impl<R: Read> Compact<R> {
    fn byte(&mut self) -> std::io::Result<u8> {
        let mut byte = [0];
        self.reader.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn unsigned(&mut self) -> std::io::Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ErrorKind::InvalidData.into())
    }

    fn signed(&mut self) -> std::io::Result<i64> {
        let folded = self.unsigned()?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }

    /// Calls `each` with the id and the type of every field of a structure; it must read the field's value.
    fn fields(&mut self, each: &mut Field<R>) -> std::io::Result<()> {
        let mut id = 0_i64;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            id = match header >> 4 {
                0 => self.signed()?,
                step => id.saturating_add(i64::from(step)),
            };
            each(self, id, header & 0x0f)?;
        }
    }

    /// The number and the type of a list's elements.
    fn list(&mut self) -> std::io::Result<(u64, u8)> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.unsigned()?,
            count => u64::from(count),
        };
        Ok((count, header & 0x0f))
    }

    /// The depth of a schema, whose elements stand before their children.
    fn schema(&mut self) -> std::io::Result<usize> {
        let (count, kind) = self.list()?;
        // How many children each open element still has to come.
        let mut open: Vec<i64> = Vec::new();
        let mut greatest = 0;
        for _ in 0..count {
            if kind != STRUCT {
                return Err(ErrorKind::InvalidData.into());
            }
            let mut children = 0;
            self.fields(&mut |element, id, kind| match (id, kind) {
                (CHILDREN, I32) => {
                    children = element.signed()?;
                    Ok(())
                }
                _ => element.skip(kind, 0),
            })?;
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
            }
            greatest = greatest.max(open.len());
            if greatest > MAX_DEPTH {
                break;
            }
        }
        Ok(greatest)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> std::io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(ErrorKind::InvalidData.into());
        }
        match kind {
            // A truth value is in the field's header.
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.unsigned().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.unsigned()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, depth))
            }
            11 => match self.unsigned()? {
                0 => Ok(()),
                count => {
                    let kinds = self.byte()?;
                    (0..count).try_for_each(|_| {
                        self.skip_element(kinds >> 4, depth)?;
                        self.skip_element(kinds & 0x0f, depth)
                    })
                }
            },
            STRUCT => self.fields(&mut |inner, _, kind| inner.skip(kind, depth + 1)),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn skip_element(&mut self, kind: u8, depth: usize) -> std::io::Result<()> {
        match kind {
            1 | 2 => self.byte().map(drop),
            kind => self.skip(kind, depth + 1),
        }
    }

    fn pass(&mut self, length: u64) -> std::io::Result<()> {
        let passed = std::io::copy(&mut self.reader.by_ref().take(length), &mut std::io::sink())?;
        if passed == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;

    /// A file that is only a footer, of a schema of `depth` groups in one another; `children` of the innermost, then as
    /// many leaves.
    fn file(depth: usize, children: u8) -> NamedTempFile {
        let name = b"\x48\x01a";
        let mut footer = b"\x15\x02\x19\xfc".to_vec();
        let mut count = depth + usize::from(children);
        while count > 0x7f {
            footer.push(count as u8 | 0x80);
            count >>= 7;
        }
        footer.push(count as u8);
        for level in 0..depth {
            footer.extend(name);
            footer.extend([0x15, if level + 1 == depth { 2 * children } else { 2 }, 0]);
        }
        for _ in 0..children {
            // A type before the name: 4-byte floats.
            footer.extend(b"\x15\x08\x38\x01a\0");
        }
        // Rows; no row groups; metadata of one pair.
        footer.extend(b"\x16\x02\x19\x0c\x19\x1c\x18\x01k\x18\x01v\0\0");
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(&footer).unwrap();
        file.write_all(&(footer.len() as u32).to_le_bytes()).unwrap();
        file.write_all(b"PAR1").unwrap();
        file
    }

    #[test]
    fn depth_is_counted_and_limited() {
        for (levels, children) in [(1, 1), (3, 2), (MAX_DEPTH, 1)] {
            assert_eq!(depth(file(levels, children).as_file()).unwrap(), levels);
            ParquetFile::open(file(levels, children).path()).unwrap();
        }
        for levels in [MAX_DEPTH + 1, 5_000, 200_000] {
            let file = file(levels, 1);
            let error = ParquetFile::open(file.path()).unwrap_err().to_string();
            assert!(error.contains(file.path().to_str().unwrap()) && error.contains("64 levels"), "{error}");
        }
    }

    #[test]
    fn what_is_no_footer_is_left_to_others() {
        for bytes in [&b""[..], b"PAR1", b"\xff\xff\xff\xffPAR1", b"\x19\xfc\xff\xff\xff\xff\x7f\x03\0\0\0PAR1"] {
            let mut file = NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            ParquetFile::open(file.path()).unwrap();
        }
    }

    #[test]
    fn the_end_is_an_error() {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = ParquetFile::open(file.path()).unwrap();
        assert_eq!(file.get_bytes(8, 2).unwrap(), b"89"[..]);
        for (start, length) in [(8, 3), (11, 0), (u64::MAX, 1), (0, usize::MAX)] {
            assert!(matches!(file.get_bytes(start, length), Err(ParquetError::EOF(_))), "{start}, {length}");
        }
        let mut reader = file.get_read(7).unwrap();
        let mut bytes = [0; 3];
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"789");
        let passed = std::io::copy(&mut reader.take(1), &mut std::io::sink());
        assert_eq!(passed.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
