//! `engraft embed`.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::inputs::{self, ModelArgs, SourceArgs};
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::extract::Sink;
use crate::features::{self, Existing, FeatureWriter, Format, Part, Provenance, Rows};
use crate::file::{AtomicFile, NewFolder};
use crate::source::Reject;

/// Embed images or texts with a pretrained backbone
///
/// INPUT is a folder of images (its sub-folders are the classes), an image, a table (csv, tsv, jsonl) with a text
/// or path column, or - for lines on stdin. Every input is in the output or in the rejects, exactly once.
///
/// Examples:
///   engraft embed photos/ --model efficientnet-lite0 -o photos.parquet
///   engraft embed reviews.csv --model all-minilm-l6-v2 -o reviews.parquet --label-column stars
///   cat lines.txt | engraft embed - --model all-minilm-l6-v2 -o lines.npy
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Embed {
    /// Folders, images, tables, or - for stdin
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// A .parquet, .npy or .safetensors file, or a folder (with a trailing /) for Parquet shards
    #[arg(long, short, value_name = "OUT")]
    output: PathBuf,
    /// Replace an output that is there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Embed {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        let mut files = Files::new(&self.output, existing)?;
        inputs::exist(&self.inputs)?;
        let backbone = self.model.resolve(context)?;
        let summary = inputs::embed(context, &self.inputs, &self.source, &backbone, &mut files)?;
        let rejects_path = files.finish()?;
        if !context.json {
            let rejected = rejects_path.map(|p| format!(", {} rejected: see {}", summary.rejects, p.display()));
            context.console.say(&format!(
                "{} rows of {} values in {}{}; {:.1} s, {:.1} rows/s on {}, limited by {}",
                summary.rows,
                summary.dimension,
                self.output.display(),
                rejected.unwrap_or_default(),
                summary.seconds,
                summary.rows_per_second,
                summary.provider,
                summary.limited_by.name(),
            ));
        } else {
            context.result(&summary, String::new)?;
        }
        Ok(self.source.status(summary.rejects, summary.rows))
    }
}

/// Writes rows to the output and rejects beside it. Neither appears before [`Files::finish`].
pub(super) struct Files {
    output: PathBuf,
    format: Format,
    existing: Existing,
    writer: Option<Box<dyn FeatureWriter>>,
    rejects_path: PathBuf,
    rejects: Option<AtomicFile>,
    first_reject: Option<Reject>,
    rejected: usize,
    /// After all that is written into it: a folder for shards that stays empty goes again.
    made: Option<NewFolder>,
}

impl Files {
    pub(super) fn new(output: &Path, existing: Existing) -> Result<Self> {
        let format = Format::from_path(output)?;
        if existing == Existing::Refuse && (output.is_file() || Format::detect(output).is_some()) {
            return Err(Error::Exists(output.to_path_buf()));
        }
        let rejects_path = match format {
            Format::Shards => output.join("rejects.jsonl"),
            _ => {
                // After the whole name: `x.npy` and `x.parquet` have rejects of their own.
                let mut name = output.as_os_str().to_owned();
                name.push(".rejects.jsonl");
                PathBuf::from(name)
            }
        };
        Ok(Self {
            output: output.to_path_buf(),
            format,
            existing,
            writer: None,
            rejects_path,
            rejects: None,
            first_reject: None,
            rejected: 0,
            made: None,
        })
    }

    /// Puts the files in place; returns the rejects' path if there are any.
    pub(super) fn finish(mut self) -> Result<Option<PathBuf>> {
        if let Some(rejects) = &mut self.rejects {
            // While nothing has its name yet: the disk may be full.
            rejects.flush().map_err(Error::io("write", &self.rejects_path))?;
        }
        let written = match self.writer {
            Some(writer) => {
                writer.finish()?;
                Ok(())
            }
            None => Err(inputs::nothing_embedded(self.first_reject.as_ref(), self.rejected)),
        };
        let path = match self.rejects {
            Some(rejects) => {
                rejects.commit()?;
                Some(self.rejects_path)
            }
            None => {
                // Rejects of an earlier run do not belong to this one.
                if self.rejects_path.exists() {
                    std::fs::remove_file(&self.rejects_path).map_err(Error::io("remove", &self.rejects_path))?;
                }
                None
            }
        };
        written.map(|()| path)
    }
}

impl Files {
    fn write_rows(&mut self, rows: &Rows, provenance: &Provenance) -> Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let dimension = rows.matrix.ncols();
                self.writer.insert(features::create(
                    &self.output,
                    self.format,
                    dimension,
                    Some(provenance),
                    self.existing,
                )?)
            }
        };
        writer.append(rows)
    }

    fn write_reject(&mut self, reject: Reject) -> Result<()> {
        let file = match &mut self.rejects {
            Some(file) => file,
            None => {
                if self.format == Format::Shards {
                    self.made = NewFolder::create(&self.output)?;
                }
                self.rejects.insert(AtomicFile::create(&self.rejects_path)?)
            }
        };
        serde_json::to_writer(&mut *file, &reject)
            .map_err(std::io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .map_err(Error::io("write", &self.rejects_path))?;
        self.rejected += 1;
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
