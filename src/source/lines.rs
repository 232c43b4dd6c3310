//! Lines of a stream, such as standard input: each a text, or the path of an image.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::seen::Seen;
use super::{Content, Entries, Entry, Modality, Reject, Sample, Separator, SourceOptions, Stage};
use crate::error::{Error, Result};

/// The greatest length of one line in bytes: without it, a stream without line ends would fill the memory.
pub(super) const MAX_LINE: u64 = 16 << 20;

/// Numbered lines of a stream, from 1. A byte order mark before the first is skipped, unless a zero byte separates.
pub(super) struct Lines<R> {
    reader: R,
    separator: Separator,
    buffer: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, separator: Separator) -> Self {
        Self { reader, separator, buffer: Vec::new(), number: 0 }
    }

    /// The next line and its number, or why the line cannot be used.
    pub(super) fn advance(&mut self) -> std::io::Result<Option<(u64, Result<&str, String>)>> {
        self.buffer.clear();
        let end = self.separator.byte();
        if self.reader.by_ref().take(MAX_LINE).read_until(end, &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() != Some(&end) && self.buffer.len() as u64 == MAX_LINE {
            self.reader.skip_until(end)?;
            return Ok(Some((self.number, Err(format!("the line is longer than {} MiB", MAX_LINE >> 20)))));
        }
        let mut line = self.buffer.strip_suffix(&[end]).unwrap_or(&self.buffer);
        if self.separator == Separator::Newline {
            line = line.strip_suffix(b"\r").unwrap_or(line);
            line = if self.number == 1 { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        }
        let text = std::str::from_utf8(line).map_err(|_| "the line is not valid UTF-8".to_owned());
        Ok(Some((self.number, text)))
    }
}

/// Every line of `reader` as a text, or as the path of an image; without labels. `name` is the stream's, for errors.
///
/// The id of a text is `line:<n>`, counted from 1 by the separator; the id of an image is its path as given. Empty lines
/// are skipped and counted; an empty item between zero bytes, a line that is not UTF-8 or is longer than 16 MiB and a path given before are rejects under `line:<n>`.
pub(super) fn lines(reader: impl Read + Send + 'static, name: &Path, options: &SourceOptions) -> Entries {
    let mut lines = Lines::new(BufReader::new(reader), options.separator);
    let (name, separator) = (name.to_path_buf(), options.separator);
    let (modality, columns) = (options.modality, options.keep.len());
    let mut seen = Seen::default();
    let mut failed = false;
    Box::new(std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let (number, line) = loop {
            match lines.advance().map_err(Error::io("read", &name)).transpose()? {
                Ok((_, Ok(line))) if separator == Separator::Newline && line.trim().is_empty() => {}
                // Owned, for the next round of the loop would borrow anew.
                Ok((number, line)) => break (number, line.map(str::to_owned)),
                Err(e) => {
                    failed = true;
                    return Some(Err(e));
                }
            }
        };
        Some(Ok(match line.and_then(|line| sample(&line, number, modality, &mut seen)) {
            Ok(sample) => Entry::Sample(Sample { kept: vec![None; columns], ..sample }),
            Err(reason) => Entry::Reject(Reject { id: format!("line:{number}"), stage: Stage::Read, reason }),
        }))
    }))
}

fn sample(line: &str, number: u64, modality: Modality, seen: &mut Seen) -> Result<Sample, String> {
    if line.trim().is_empty() {
        return Err("the item is empty".to_owned());
    }
    let (id, content) = match modality {
        Modality::Text => (format!("line:{number}"), Content::Text(line.to_owned())),
        Modality::Image if seen.is_new(line) => (line.to_owned(), Content::File(PathBuf::from(line))),
        Modality::Image => return Err(format!("the path {line} was given before")),
    };
    Ok(Sample { id, content, label: None, kept: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::TableOptions;

    fn options(modality: Modality, separator: Separator) -> SourceOptions {
        SourceOptions { modality, table: TableOptions::default(), keep: Vec::new(), separator }
    }

    fn all(bytes: &'static [u8], modality: Modality) -> Vec<Entry> {
        let options = options(modality, Separator::Newline);
        lines(bytes, Path::new("stdin"), &options).map(Result::unwrap).collect()
    }

    fn text(n: u64, text: &str) -> Entry {
        Entry::Sample(Sample {
            id: format!("line:{n}"),
            content: Content::Text(text.to_owned()),
            label: None,
            kept: Vec::new(),
        })
    }

    fn reject(n: u64, reason: &str) -> Entry {
        Entry::Reject(Reject { id: format!("line:{n}"), stage: Stage::Read, reason: reason.to_owned() })
    }

    #[test]
    fn each_line_is_a_text_or_a_reject() {
        let want =
            [text(1, "one"), text(2, " two "), reject(4, "the line is not valid UTF-8"), text(5, "last, no line end")];
        let bytes = b"\xEF\xBB\xBFone\r\n two \n\n caf\xe9\nlast, no line end";
        assert_eq!(all(bytes, Modality::Text), want);
        assert_eq!(all(b"", Modality::Text), []);
    }

    #[test]
    fn each_line_is_a_path() {
        let file = |path: &str| {
            Entry::Sample(Sample {
                id: path.to_owned(),
                content: Content::File(path.into()),
                label: None,
                kept: Vec::new(),
            })
        };
        let want = [file("a b.png"), file("c.jpg"), reject(3, "the path a b.png was given before")];
        assert_eq!(all(b"a b.png\nc.jpg\na b.png\n", Modality::Image), want);
    }

    #[test]
    fn zero_bytes_separate_where_asked_for() {
        let options = options(Modality::Text, Separator::Nul);
        let got: Vec<Entry> =
            lines(&b"two\nlines\r\n\0\0last"[..], Path::new("stdin"), &options).map(Result::unwrap).collect();
        assert_eq!(got, [text(1, "two\nlines\r\n"), reject(2, "the item is empty"), text(3, "last")]);
    }

    #[test]
    fn an_endless_line_is_rejected_and_the_next_one_read() {
        let endless = std::io::repeat(b'x').take(MAX_LINE + 5).chain(&b"\nshort\n"[..]);
        let options = options(Modality::Text, Separator::Newline);
        let got: Vec<Entry> = lines(endless, Path::new("stdin"), &options).map(Result::unwrap).collect();
        assert_eq!(got, [reject(1, "the line is longer than 16 MiB"), text(2, "short")]);
    }

    #[test]
    fn a_failing_stream_ends_the_run_once() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("gone"))
            }
        }
        let options = options(Modality::Text, Separator::Newline);
        let got: Vec<_> = lines(Failing, Path::new("stdin"), &options).collect();
        assert!(matches!(got.as_slice(), [Err(Error::Io { .. })]));
    }
}
