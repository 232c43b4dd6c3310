//! Tables whose fields are separated by commas or tabs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use csv::{ByteRecord, StringRecord};

use super::table::{Cell, Columns, Rows, TableOptions};
use super::{Entries, Modality};
use crate::error::{Error, Result};

/// The rows of a CSV or TSV file, as the builder's delimiter and quoting say.
///
/// # Errors
/// As `Table::open`.
pub(super) fn delimited(
    path: &Path,
    mut builder: csv::ReaderBuilder,
    modality: Modality,
    options: &TableOptions,
) -> Result<Entries> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    // `flexible`: the field count is checked here, where a wrong one is a reject.
    let mut reader = builder.flexible(true).trim(csv::Trim::Headers).from_reader(file);
    let header = reader.headers().map_err(csv_error(path))?.clone();
    if header.iter().all(str::is_empty) {
        return Err(Error::Data(format!("{} has no header row", path.display())));
    }
    let names: Vec<&str> = header.iter().collect();
    let mut rows = Rows::new(path, modality, Columns::resolve(path, &names, modality, options)?);
    let path = path.to_path_buf();
    let mut counter =
        LineCounter { reader: BufReader::new(File::open(&path).map_err(Error::io("read", &path))?), at: 0, line: 1 };
    Ok(Box::new(reader.into_byte_records().map(move |record| {
        let record = record.map_err(csv_error(&path))?;
        let start = record.position().map_or(0, csv::Position::byte);
        let line = counter.line_of(start).map_err(Error::io("read", &path))?;
        if record.len() != header.len() {
            let reason = format!("{} fields, but the header has {}", record.len(), header.len());
            return Ok(rows.reject(line, reason));
        }
        Ok(rows.entry(line, |name| field(&header, &record, name)))
    })))
}

fn field(header: &StringRecord, record: &ByteRecord, name: &str) -> Cell {
    let Some(bytes) = header.iter().position(|column| column == name).and_then(|i| record.get(i)) else {
        return Cell::Missing;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Cell::Text(text.to_owned()),
        Err(_) => Cell::Unusable("not valid UTF-8"),
    }
}

fn csv_error(path: &Path) -> impl Fn(csv::Error) -> Error {
    move |error| match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::io("read", path)(source),
        csv::ErrorKind::Utf8 { .. } => Error::malformed(path, "the header is not valid UTF-8"),
        kind => Error::malformed(path, format!("{kind:?}")),
    }
}

/// Counts lines on a second handle: the csv crate's own count is short by one after `\r\n`, and after empty lines.
struct LineCounter<R> {
    reader: R,
    at: u64,
    line: u64,
}

impl<R: BufRead> LineCounter<R> {
    /// The line of the record that starts at this byte, or after the line ends there. Bytes must not decrease.
    fn line_of(&mut self, byte: u64) -> std::io::Result<u64> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let before = usize::try_from(byte.saturating_sub(self.at)).unwrap_or(usize::MAX).min(buffer.len());
            let (passed, rest) = buffer.split_at(before);
            let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let used = before + ends;
            self.line += passed.iter().chain(&rest[..ends]).filter(|byte| **byte == b'\n').count() as u64;
            let more = used > 0 && used == buffer.len();
            self.reader.consume(used);
            self.at += used as u64;
            if !more {
                return Ok(self.line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_the_buffer() {
        let text = b"a\r\n\r\nb\n\nc\nd";
        for capacity in 1..text.len() + 2 {
            let reader = BufReader::with_capacity(capacity, &text[..]);
            let mut counter = LineCounter { reader, at: 0, line: 1 };
            // Where the csv crate says that the records start: before the line ends that it skips.
            let lines = [0, 2, 7, 10].map(|byte| counter.line_of(byte).unwrap());
            assert_eq!(lines, [1, 3, 5, 6], "buffer of {capacity}");
        }
    }
}
