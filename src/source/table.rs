//! Tables of texts or images: CSV, TSV, JSON lines and Parquet.

use std::path::Path;
use std::sync::Arc;

use csv_core::ReaderBuilder;

use super::delimited::delimited;
use super::json_lines::json_lines;
#[cfg(feature = "full")]
use super::parquet::parquet;
use super::{Entries, Extent, SourceOptions};
use crate::error::Result;

/// A kind of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// Commas, quotes as in RFC 4180; a quoted field may span lines.
    Csv,
    /// Tabs. Quotes are ordinary characters, as in the registered format: a stray one cannot swallow the next rows.
    Tsv,
    /// One JSON object a line.
    JsonLines,
    /// Columns with types; images may lie within.
    Parquet,
}

impl Table {
    /// By the file name's extension.
    pub(super) fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The rows of the table at `path`. A malformed row, an empty text and an id that was used before are rejects
    /// under `<file name>:<line>`. Empty labels are no labels; numbers and booleans become their text.
    ///
    /// # Errors
    /// When the file cannot be read, or a column is missing or cannot be told.
    pub(super) fn open(self, path: &Path, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
        match self {
            Self::Csv => delimited(path, &ReaderBuilder::new(), options, extent),
            Self::Tsv => delimited(path, ReaderBuilder::new().delimiter(b'\t').quoting(false), options, extent),
            Self::JsonLines => json_lines(path, options, extent),
            #[cfg(feature = "full")]
            Self::Parquet => parquet(path, options, extent),
            #[cfg(not(feature = "full"))]
            Self::Parquet => Err(crate::error::Error::Usage(format!(
                "{}: this build of engraft reads no Parquet: give csv, tsv or jsonl",
                path.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::source::{Content, Entry, Modality, Reject, Sample, Separator, TableOptions};

    fn read(name: &str, bytes: impl AsRef<[u8]>, modality: Modality, options: &TableOptions) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let options =
            SourceOptions { modality, table: options.clone(), keep: Vec::new(), separator: Separator::default() };
        let entries = Table::from_path(&path).unwrap().open(&path, &options, &Arc::default())?;
        let shown = entries.map(|entry| match entry.unwrap() {
            Entry::Sample(Sample { id, content: Content::Text(text), label, .. }) => format!("{id}|{text}|{label:?}"),
            Entry::Sample(Sample { id, content: Content::File(file), label, .. }) => {
                format!("{id}|{}|{label:?}", file.strip_prefix(folder.path()).unwrap_or(&file).display())
            }
            Entry::Sample(sample) => panic!("{sample:?}"),
            Entry::Reject(Reject { id, reason, .. }) => format!("{id}! {reason}"),
        });
        Ok(shown.collect())
    }

    fn texts(name: &str, bytes: impl AsRef<[u8]>) -> Result<Vec<String>> {
        read(name, bytes, Modality::Text, &TableOptions::default())
    }

    fn some(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn csv_rows_and_their_lines() {
        let table = "\u{feff}text, label\n\"two\nlines, quoted\",pos\n\none,neg\nx\n ,pos\nunlabelled,\ny,pos,more\nlast,\"a\"\"b\"";
        let want = [
            "t.csv:2|two\nlines, quoted|Some(\"pos\")",
            "t.csv:5|one|Some(\"neg\")",
            "t.csv:6! 1 fields, but the header has 2",
            "t.csv:7! `text` is empty",
            "t.csv:8|unlabelled|None",
            "t.csv:9! 3 fields, but the header has 2",
            "t.csv:10|last|Some(\"a\\\"b\")",
        ];
        assert_eq!(texts("t.csv", table).unwrap(), want);
        assert_eq!(texts("t.csv", table.replace('\n', "\r\n")).unwrap()[1..], want[1..]);
    }

    #[test]
    fn bytes_that_are_not_utf8_reject_the_row_only_where_they_are_used() {
        let got = texts("t.csv", b"text,note\ncaf\xe9,a\nok,caf\xe9\n").unwrap();
        assert_eq!(got, ["t.csv:2! `text` is not valid UTF-8", "t.csv:3|ok|None"]);
        assert!(matches!(texts("t.csv", b"t\xe9xt\nx\n"), Err(Error::Malformed { .. })));
        assert!(matches!(texts("t.csv", b""), Err(Error::Data(_))));
    }

    #[test]
    fn tsv_takes_quotes_as_they_are() {
        let got = texts("t.tsv", "Text\tLabel\n\"hello, he said\tpos\nit's 5\" wide\tneg\n").unwrap();
        assert_eq!(got, ["t.tsv:2|\"hello, he said|Some(\"pos\")", "t.tsv:3|it's 5\" wide|Some(\"neg\")"]);
    }

    #[test]
    fn json_lines_take_scalars_as_labels_and_texts() {
        let table = concat!(
            "{\"id\": 7, \"text\": \"a\", \"label\": 1}\n",
            "\n",
            "{\"text\": \"b\", \"label\": true, \"id\": \"b\"}\n",
            "{\"text\": 5, \"id\": 1}\n",
            "{\"text\": null, \"id\": 2}\n",
            "{\"id\": 3}\n",
            "[1, 2]\n",
            "{\"text\": \"broken\n",
            "{\"text\": \"c\", \"label\": [\"x\"], \"id\": 4}\n",
            "{\"text\": \"d\", \"label\": null, \"id\": \"7\"}\n",
            "{\"text\": \"e\", \"label\": \"\", \"id\": null}\n",
            "{\"text\": \"f\", \"id\": 6}",
        );
        let options = TableOptions { id_column: some("id"), ..TableOptions::default() };
        let want = [
            "7|a|Some(\"1\")",
            "b|b|Some(\"true\")",
            "1|5|None",
            "t.jsonl:5! `text` is missing",
            "t.jsonl:6! `text` is missing",
            "t.jsonl:7! not a JSON object: invalid type: sequence, expected a map at character 0",
            "t.jsonl:8! not a JSON object: EOF while parsing a string at character 16",
            "t.jsonl:9! `label` is an array",
            "t.jsonl:10! the id 7 is used by an earlier row",
            "t.jsonl:11! `id` is missing",
            "6|f|None",
        ];
        assert_eq!(read("t.jsonl", table, Modality::Text, &options).unwrap(), want);
        assert!(matches!(texts("t.ndjson", "no json\n"), Err(Error::Malformed { .. })));
    }

    #[test]
    fn a_label_may_be_absent_from_the_first_objects() {
        let got = texts("t.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\", \"label\": \"x\"}\n").unwrap();
        assert_eq!(got, ["t.jsonl:1|a|None", "t.jsonl:2|b|Some(\"x\")"]);
    }

    #[test]
    fn image_paths_are_relative_to_the_table() {
        let got = read("t.csv", "file_name,text\na/1.png,x\n/abs/2.png,y\n", Modality::Image, &TableOptions::default());
        assert_eq!(got.unwrap(), ["t.csv:2|a/1.png|None", "t.csv:3|/abs/2.png|None"]);
    }

    #[test]
    fn columns_are_never_guessed() {
        let error =
            |table: &str, modality, options: TableOptions| read("t.csv", table, modality, &options).unwrap_err();
        let none = TableOptions::default;

        let missing = error("body,label\nx,y\n", Modality::Text, none());
        assert!(matches!(&missing, Error::Usage(s) if s.contains("`body`, `label`") && s.contains("--text-column")));
        let two = error("text,content\nx,y\n", Modality::Text, none());
        assert!(matches!(&two, Error::Usage(s) if s.contains("`text`, `content`") && s.contains("--text-column")));
        let path = error("text\nx\n", Modality::Image, none());
        assert!(matches!(&path, Error::Usage(s) if s.contains("`text`") && s.contains("--path-column")));
        let twice = error("text,text\nx,y\n", Modality::Text, none());
        assert!(matches!(&twice, Error::Usage(s) if s.contains("2 columns called `text`")), "{twice}");

        for options in [
            TableOptions { text_column: some("txt"), ..none() },
            TableOptions { label_column: some("txt"), ..none() },
            TableOptions { id_column: some("txt"), ..none() },
        ] {
            let given = error("text,stars\nx,y\n", Modality::Text, options);
            assert!(
                matches!(&given, Error::Usage(s) if s.contains("no column `txt`; it has `text`, `stars`")),
                "{given}"
            );
        }
        let options = TableOptions { text_column: some("content"), label_column: some("stars"), ..none() };
        let got = read("t.csv", "text,content,stars\nx,y,5\n", Modality::Text, &options).unwrap();
        assert_eq!(got, ["t.csv:2|y|Some(\"5\")"]);
    }
}
