//! Lines of a stream, such as standard input: each a text, or the path of an image.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Content, Entries, Entry, Modality, Reject, Sample, Stage};
use crate::error::{Error, Result};

/// The greatest length of one line in bytes: without it, a stream without line ends would fill the memory.
pub(super) const MAX_LINE: u64 = 16 << 20;

/// One line, or why it cannot be used.
pub(super) type Line = Result<String, String>;

/// Numbered lines of a stream. A line end is `\n` or `\r\n`; a byte order mark at the start is skipped.
pub(super) struct Lines<R> {
    reader: R,
    name: PathBuf,
    number: u64,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    /// `name` is the file or stream, for errors.
    pub(super) fn new(reader: R, name: &Path) -> Self {
        Self { reader, name: name.to_path_buf(), number: 0, ended: false }
    }

    fn read(&mut self) -> std::io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        if self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.last() != Some(&b'\n') && bytes.len() as u64 == MAX_LINE {
            self.reader.skip_until(b'\n')?;
            return Ok(Some(Err(format!("the line is longer than {} MiB", MAX_LINE >> 20))));
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = if self.number == 0 { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        Ok(Some(std::str::from_utf8(line).map(str::to_owned).map_err(|_| "the line is not valid UTF-8".to_owned())))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<(u64, Line)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read();
        self.ended = !matches!(read, Ok(Some(_)));
        let line = read.map_err(Error::io("read", &self.name)).transpose()?;
        self.number += 1;
        Some(line.map(|line| (self.number, line)))
    }
}

/// Every line of `reader` as a text, or as the path of an image; without labels. `name` is the stream's, for errors.
///
/// The id of a text is `line:<n>`, counted from 1; the id of an image is its path as given. An empty line, a line that
/// is not UTF-8 or is longer than 16 MiB and a path given before are rejects under `line:<n>`.
pub fn lines(reader: impl Read + Send + 'static, name: &Path, modality: Modality) -> Entries {
    let mut seen = HashMap::new();
    Box::new(Lines::new(BufReader::new(reader), name).map(move |line| {
        let (number, line) = line?;
        Ok(match line.and_then(|line| sample(line, number, modality, &mut seen)) {
            Ok(sample) => Entry::Sample(sample),
            Err(reason) => Entry::Reject(Reject { id: format!("line:{number}"), stage: Stage::Read, reason }),
        })
    }))
}

fn sample(line: String, number: u64, modality: Modality, seen: &mut HashMap<String, u64>) -> Result<Sample, String> {
    if line.trim().is_empty() {
        return Err("the line is empty".to_owned());
    }
    match modality {
        Modality::Text => {
            Ok(Sample { id: format!("line:{number}"), content: Content::Text(line), label: None, kept: Vec::new() })
        }
        Modality::Image => {
            if let Some(before) = seen.get(&line) {
                return Err(format!("the path {line} was given before, in line {before}"));
            }
            seen.insert(line.clone(), number);
            Ok(Sample { content: Content::File(PathBuf::from(&line)), id: line, label: None, kept: Vec::new() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &'static [u8], modality: Modality) -> Vec<Entry> {
        lines(bytes, Path::new("stdin"), modality).map(Result::unwrap).collect()
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
        let want = [
            text(1, "one"),
            text(2, " two "),
            reject(3, "the line is empty"),
            reject(4, "the line is not valid UTF-8"),
            text(5, "last, no line end"),
        ];
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
        let want = [file("a b.png"), file("c.jpg"), reject(3, "the path a b.png was given before, in line 1")];
        assert_eq!(all(b"a b.png\nc.jpg\na b.png\n", Modality::Image), want);
    }

    #[test]
    fn an_endless_line_is_rejected_and_the_next_one_read() {
        let endless = std::io::repeat(b'x').take(MAX_LINE + 5).chain(&b"\nshort\n"[..]);
        let got: Vec<Entry> = lines(endless, Path::new("stdin"), Modality::Text).map(Result::unwrap).collect();
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
        let got: Vec<_> = lines(Failing, Path::new("stdin"), Modality::Text).collect();
        assert!(matches!(got.as_slice(), [Err(Error::Io { .. })]));
    }
}
