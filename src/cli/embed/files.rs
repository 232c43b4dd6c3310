//! Rows in one file, and rejects beside it.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::extract::Sink;
use crate::features::{self, Existing, FeatureWriter, Format, Header, Part, Precision, Provenance, Rows};
use crate::file::{AtomicFile, remove_if_there};
use crate::source::Reject;

/// Writes rows to the output and rejects beside it. Neither appears before [`Files::finish`].
pub(in crate::cli) struct Files {
    output: PathBuf,
    format: Format,
    existing: Existing,
    precision: Precision,
    kept: Vec<String>,
    writer: Option<Box<dyn FeatureWriter>>,
    rejects_path: PathBuf,
    rejects: Option<AtomicFile>,
    first_reject: Option<Reject>,
}

/// What could not be embedded.
pub(in crate::cli) struct Rejected {
    /// Where it is listed, if there is any.
    pub(in crate::cli) path: Option<PathBuf>,
    pub(in crate::cli) first: Option<Reject>,
}

/// Where the rejects of a run into one file are. After the whole name: `x.npy` and `x.parquet` have rejects of their own.
pub(in crate::cli) fn rejects_beside(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".rejects.jsonl");
    PathBuf::from(name)
}

impl Files {
    pub(in crate::cli) fn new(output: &Path, existing: Existing) -> Result<Self> {
        let format = Format::from_path(output)?;
        if existing == Existing::Refuse && output.is_file() {
            return Err(Error::Exists(output.to_path_buf()));
        }
        if std::fs::metadata(output).is_ok_and(|there| !there.is_file()) {
            return Err(Error::Usage(format!("{} is no regular file: give another -o", output.display())));
        }
        let rejects_path = rejects_beside(output);
        features::rejects_replaceable(&rejects_path)?;
        Ok(Self {
            output: output.to_path_buf(),
            format,
            existing,
            precision: Precision::F32,
            kept: Vec::new(),
            writer: None,
            rejects_path,
            rejects: None,
            first_reject: None,
        })
    }

    /// Stores values of this precision, and these columns besides.
    pub(super) fn storing(self, precision: Precision, kept: &[String]) -> Self {
        Self { precision, kept: kept.to_vec(), ..self }
    }

    /// Puts the files in place. Without a row there is no output, and what was there before stays.
    pub(in crate::cli) fn finish(mut self) -> Result<Rejected> {
        if self.writer.is_none() && self.output.exists() {
            // Its rejects stay with it.
            return Ok(Rejected { path: None, first: self.first_reject });
        }
        if let Some(rejects) = &mut self.rejects {
            // While nothing has its name yet: the disk may be full.
            rejects.sync()?;
        }
        if let Some(writer) = self.writer {
            writer.finish()?;
        }
        let path = match self.rejects {
            Some(rejects) => {
                rejects.commit()?;
                Some(self.rejects_path)
            }
            None => {
                // Rejects of an earlier run do not belong to this one.
                remove_if_there("remove", &self.rejects_path)?;
                None
            }
        };
        Ok(Rejected { path, first: self.first_reject })
    }

    fn write_rows(&mut self, rows: &Rows, provenance: &Provenance) -> Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let header = Header::new(provenance, self.precision, &self.kept);
                self.writer.insert(features::create(&self.output, self.format, &header, self.existing)?)
            }
        };
        writer.append(rows)
    }

    fn write_reject(&mut self, reject: Reject) -> Result<()> {
        let file = match &mut self.rejects {
            Some(file) => file,
            None => self.rejects.insert(AtomicFile::create(&self.rejects_path)?),
        };
        serde_json::to_writer(&mut *file, &reject)
            .map_err(std::io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .map_err(Error::io("write", &self.rejects_path))?;
        self.first_reject.get_or_insert(reject);
        Ok(())
    }
}

impl Sink for Files {
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        part.rejects.into_iter().try_for_each(|reject| self.write_reject(reject))?;
        if part.rows.ids.is_empty() { Ok(()) } else { self.write_rows(&part.rows, provenance) }
    }
}
