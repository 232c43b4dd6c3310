//! Tables whose fields are separated by commas or tabs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::columns::Columns;
use super::lines::MAX_LINE;
use super::rows::{Cell, Rows};
use super::{Entries, Extent, SourceOptions};
use crate::error::{Error, Result};

/// The greatest number of fields of a record.
const MAX_FIELDS: usize = 1 << 16;

/// The rows of a CSV or TSV file, as the builder's delimiter and quoting say.
///
/// # Errors
/// As `Table::open`.
pub(super) fn delimited(
    path: &Path,
    syntax: &ReaderBuilder,
    options: &SourceOptions,
    extent: &Arc<Extent>,
) -> Result<Entries> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let mut records = Records::new(BufReader::with_capacity(1 << 16, extent.metered(file)), syntax);
    let header = records.advance().map_err(Error::io("read", path))?;
    let Some(()) = header.map(|(_, usable)| usable).transpose().map_err(|what| Error::malformed(path, what))? else {
        return Err(Error::Data(format!("{} has no header row", path.display())));
    };
    let names = (0..records.len()).map(|i| std::str::from_utf8(records.field(i)).map(|name| name.trim().to_owned()));
    let names = names.collect::<Result<Vec<_>, _>>();
    let names = names.map_err(|_| Error::malformed(path, "the header is not valid UTF-8"))?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.iter().all(|name| name.is_empty()) {
        return Err(Error::Data(format!("{} has no header row", path.display())));
    }
    let mut rows = Rows::new(path, Columns::resolve(path, &names, &names, options)?, options);
    let used = rows.columns().used.iter();
    let places: Vec<usize> = used.filter_map(|used| names.iter().position(|name| name == used)).collect();
    let (path, width) = (path.to_path_buf(), names.len());
    Ok(Box::new(std::iter::from_fn(move || {
        let (line, usable) = match records.advance().map_err(Error::io("read", &path)).transpose()? {
            Ok(record) => record,
            Err(e) => return Some(Err(e)),
        };
        let usable = usable.and_then(|()| match records.len() {
            n if n == width => Ok(()),
            n => Err(format!("{n} fields, but the header has {width}")),
        });
        Some(Ok(match usable {
            Ok(()) => rows.entry(line, |column| match places.get(column) {
                Some(&place) => Cell::utf8(records.field(place)),
                None => Cell::Missing,
            }),
            Err(reason) => rows.reject(line, reason),
        }))
    })))
}

/// Counts lines as records are told apart: at `\n`, `\r` or `\r\n`.
#[derive(Debug)]
struct Lines {
    /// The line of the next byte, from 1.
    at: u64,
    /// Whether the last byte was `\r`.
    returned: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self { at: 1, returned: false }
    }
}

impl Lines {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let second = *byte == b'\n' && self.returned;
            self.at += u64::from(matches!(byte, b'\r' | b'\n') && !second);
            self.returned = *byte == b'\r';
        }
    }
}

/// The records of a file, of bounded size and with their lines. (The csv crate, on the same parser, holds a record of any
/// size, and its lines are off after `\r\n` and after empty lines.)
struct Records<R> {
    reader: R,
    parser: csv_core::Reader,
    lines: Lines,
    /// The fields of the current record, one after the other.
    text: Vec<u8>,
    /// Where they end.
    ends: Vec<usize>,
    len: usize,
}

impl<R: BufRead> Records<R> {
    fn new(reader: R, syntax: &ReaderBuilder) -> Self {
        Self {
            reader,
            parser: syntax.build(),
            lines: Lines::default(),
            text: vec![0; 1 << 12],
            ends: vec![0; 64],
            len: 0,
        }
    }

    /// The number of fields of the current record.
    fn len(&self) -> usize {
        self.len
    }

    /// A field of the current record; empty where there is none.
    fn field(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(place).copied().unwrap_or(start);
        self.text.get(start..end).unwrap_or_default()
    }

    /// Goes to the next record: its line, and whether it can be used. Empty lines are skipped. A record that is too long is
    /// read to its end, by the rules of quotes, and given up.
    fn advance(&mut self) -> std::io::Result<Option<(u64, Result<(), String>)>> {
        if !self.skip_line_ends()? {
            return Ok(None);
        }
        let start = self.lines.at;
        let (mut written, mut fields) = (0, 0);
        let (mut too_long, mut unclosed) = (None, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            // At the end of the file a line end is put in: a record that goes on then has its quote open.
            let ended = buffer.is_empty();
            let input: &[u8] = match (ended, unclosed) {
                (true, false) => b"\n",
                _ => buffer,
            };
            let (text, ends) = (&mut self.text[written..], &mut self.ends[fields..]);
            let (result, read, wrote, more) = self.parser.read_record(input, text, ends);
            if !ended {
                self.lines.pass(&input[..read]);
                self.reader.consume(read);
            }
            (written, fields) = (written + wrote, fields + more);
            match result {
                ReadRecordResult::InputEmpty => unclosed = ended,
                ReadRecordResult::OutputFull if self.text.len() as u64 >= MAX_LINE => {
                    too_long = Some(format!("longer than {} MiB", MAX_LINE >> 20));
                    written = 0;
                }
                ReadRecordResult::OutputFull => self.text.resize(2 * self.text.len(), 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() >= MAX_FIELDS => {
                    too_long = Some(format!("of more than {MAX_FIELDS} fields"));
                    fields = 0;
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return Ok(None),
            }
        }
        self.len = fields;
        let usable = match too_long {
            Some(what) => {
                Err(format!("the record is {what} and ends in line {}: is a quote not closed?", self.lines.at))
            }
            None if unclosed => Err("a quote is opened here and not closed until the end of the file".to_owned()),
            None => Ok(()),
        };
        Ok(Some((start, usable)))
    }

    /// Whether anything comes after them.
    fn skip_line_ends(&mut self) -> std::io::Result<bool> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let length = buffer.len();
            let ends = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.lines.pass(&buffer[..ends]);
            self.reader.consume(ends);
            if ends < length || length == 0 {
                return Ok(length > 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn lines(reader: impl BufRead) -> Vec<(u64, Result<Vec<String>, String>)> {
        let mut records = Records::new(reader, &ReaderBuilder::new());
        let mut found = Vec::new();
        while let Some((line, usable)) = records.advance().unwrap() {
            let fields = (0..records.len()).map(|i| String::from_utf8(records.field(i).to_vec()).unwrap());
            found.push((line, usable.map(|()| fields.collect())));
        }
        found
    }

    #[test]
    fn lines_are_counted_whatever_the_buffer() {
        let text = b"a,\"1\r\n2\"\r\n\r\nb,\n\n,c\nd";
        for capacity in 1..text.len() + 2 {
            let found = lines(BufReader::with_capacity(capacity, &text[..]));
            let row = |line, fields: &[&str]| (line, Ok(fields.iter().map(|s| (*s).to_owned()).collect()));
            let want = [row(1, &["a", "1\r\n2"]), row(4, &["b", ""]), row(6, &["", "c"]), row(7, &["d"])];
            assert_eq!(found, want, "buffer of {capacity}");
        }
    }

    /// Ids are made of lines: no two records may have the same.
    #[test]
    fn every_record_ends_a_line() {
        for capacity in 1..12 {
            let found = lines(BufReader::with_capacity(capacity, &b"a\rb\r\rc\r\nd\n\re\r"[..]));
            let numbers: Vec<u64> = found.into_iter().map(|(line, _)| line).collect();
            assert_eq!(numbers, [1, 2, 4, 5, 7], "buffer of {capacity}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_record() {
        let found = lines(&b"a\n\"b\nc\nd"[..]);
        assert_eq!(found[0], (1, Ok(vec!["a".to_owned()])));
        assert!(matches!(&found[1..], [(2, Err(reason))] if reason.contains("not closed")), "{found:?}");
    }

    #[test]
    fn a_record_without_end_is_given_up_in_bounded_memory() {
        let huge = std::io::repeat(b'x').take(5 * MAX_LINE);
        let fields = std::io::repeat(b',').take(MAX_FIELDS as u64 + 7);
        let text = (&b"a\n\"\n"[..]).chain(huge).chain(&b"\n\",b\nc\n"[..]).chain(fields).chain(&b"\nd\n"[..]);
        let mut records = Records::new(BufReader::new(text), &ReaderBuilder::new());
        let mut found = Vec::new();
        while let Some((line, usable)) = records.advance().unwrap() {
            found.push((line, usable.err().map(|reason| reason.chars().take(40).collect::<String>())));
            assert!(records.text.len() as u64 <= MAX_LINE && records.ends.len() <= MAX_FIELDS);
        }
        let reject = |reason: &str| Some(reason.to_owned());
        let want = [
            (1, None),
            (2, reject("the record is longer than 16 MiB and end")),
            (5, None),
            (6, reject("the record is of more than 65536 fields ")),
            (7, None),
        ];
        assert_eq!(found, want);
    }
}
