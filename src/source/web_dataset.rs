//! Tar archives in WebDataset's layout: a sample is the members that follow one another under one key.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use serde_json::{Map, Value};

use super::folder::{is_image, is_unreadable_image, printable, unreadable_image};
use super::lines::MAX_LINE;
use super::members::{Member, Members, What};
use super::rows::{self, Cell};
use super::seen::Seen;
use super::{Entries, Entry, Extent, MAX_IMAGE_BYTES, Modality, Reject, Sample, SourceOptions, Stage};
use crate::error::{Error, Result};

/// Whether the file's name ends like an archive's.
pub(super) fn is_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    name.ends_with(".tar") || is_packed(&name)
}

fn is_packed(name: &str) -> bool {
    name.ends_with(".tar.gz") || name.ends_with(".tgz")
}

/// The samples of archives, one archive after the other. The paths come with the names that their ids begin with.
///
/// A member's key is its name up to the first dot of its last part, its extension what follows. Of a sample are read: the
/// image, or for text backbones `.txt`; the label in `.cls` or `.label`, else under `label` in `.json`; kept values in
/// `.json`. Columns that are named by the options are keys of `.json`. The id is `<archive>/<key>`. Hidden members and those
/// without an extension are passed over. A sample without image or text, or with a member that is a link, a device, sparse
/// or too large, is a reject; so is what follows the place where an archive is damaged or cut off, as one reject under the
/// archive's name, and the next archive goes on.
///
/// # Errors
/// When the first archive is none; at its end, when no sample had a column to keep (keys are known only as they are met);
/// whenever the system cannot read one. That ends the run, which may go on later: the samples that were not seen are no
/// rejects.
pub(super) fn archives(
    files: Vec<(PathBuf, String)>,
    options: &SourceOptions,
    extent: &Arc<Extent>,
) -> Result<Entries> {
    let (options, extent) = (options.clone(), extent.clone());
    let mut met = Met { ids: options.table.id_column.as_ref().map(|_| Seen::default()), unkept: options.keep.clone() };
    let mut files = files.into_iter();
    let first = files.next().map(|(path, name)| match Archive::open(&path, &name, &extent)? {
        Ok(archive) => Ok(archive),
        Err(reason) => Err(Error::malformed(&path, format!("it is no tar archive: {reason}"))),
    });
    let mut current = first.transpose()?;
    let mut next = move || -> Result<Option<Entry>> {
        loop {
            if let Some(archive) = &mut current {
                match archive.entry(&options, &mut met)? {
                    Some(entry) => return Ok(Some(entry)),
                    None => {
                        if archive.count > 0 {
                            met.all_kept(&archive.name)?;
                        }
                        current = None;
                    }
                }
            }
            let Some((path, name)) = files.next() else { return Ok(None) };
            match Archive::open(&path, &name, &extent)? {
                Ok(archive) => current = Some(archive),
                Err(reason) => return Ok(Some(reject(name, format!("the archive cannot be read: {reason}")))),
            }
        }
    };
    let mut failed = false;
    Ok(Box::new(std::iter::from_fn(move || {
        let entry = if failed { None } else { next().transpose() };
        failed = matches!(entry, Some(Err(_)));
        entry
    })))
}

/// What is wrong with an archive's content; an error where it is the system that cannot read it.
fn damage(path: &Path, error: std::io::Error) -> Result<String> {
    match (error.raw_os_error(), error.kind()) {
        (Some(_), _) => Err(Error::io("read", path)(error)),
        (None, std::io::ErrorKind::UnexpectedEof) => Ok("it is cut off".to_owned()),
        (None, _) => Ok(error.to_string()),
    }
}

fn reject(id: String, reason: String) -> Entry {
    Entry::Reject(Reject { id, stage: Stage::Read, reason })
}

/// What was met in all archives so far.
struct Met {
    /// The ids, where a column is named for them.
    ids: Option<Seen>,
    /// The columns to keep that no sample of the first archive had.
    unkept: Vec<String>,
}

impl Met {
    /// Fails at the end of the first archive with samples, and not after days, if a column was asked for that none of them has.
    fn all_kept(&self, archive: &str) -> Result<()> {
        match self.unkept.first() {
            None => Ok(()),
            Some(name) => Err(Error::Usage(format!(
                "the column `{name}` cannot be kept: no sample of {archive} has that key in its .json"
            ))),
        }
    }
}

struct Archive {
    path: PathBuf,
    name: String,
    members: Members<Box<dyn Read + Send>>,
    /// A member that was met but belongs to the next sample; its content has not been read.
    held: Option<Member>,
    state: State,
    /// How many samples came so far.
    count: u64,
    keys: Seen,
}

enum State {
    Reading,
    /// The archive is damaged, and nobody has been told why yet.
    Broken(String),
    Ended,
}

impl Archive {
    /// The archive, or the reason why it is none.
    fn open(path: &Path, name: &str, extent: &Arc<Extent>) -> Result<Result<Self, String>> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let file = BufReader::with_capacity(1 << 16, extent.metered(file));
        let packed = is_packed(&path.to_string_lossy().to_ascii_lowercase());
        let reader: Box<dyn Read + Send> =
            if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        let mut members = Members::new(reader);
        let held = match members.advance() {
            Ok(held) => held,
            Err(e) => return damage(path, e).map(Err),
        };
        let state = if held.is_some() { State::Reading } else { State::Ended };
        let (path, name) = (path.to_path_buf(), name.to_owned());
        Ok(Ok(Self { path, name, members, held, state, count: 0, keys: Seen::default() }))
    }

    fn entry(&mut self, options: &SourceOptions, met: &mut Met) -> Result<Option<Entry>> {
        let mut group = None;
        if matches!(self.state, State::Reading)
            && let Err(e) = self.gather(options.modality, &mut group)
        {
            let what = damage(&self.path, e)?;
            if let Some(group) = &mut group {
                group.problem = Some(format!("the archive cannot be read on within this sample: {what}"));
            }
            self.state = State::Broken(what);
        }
        if let Some(group) = group {
            let entry = self.finish(group, options, met);
            self.count += 1;
            return Ok(Some(entry));
        }
        Ok(match std::mem::replace(&mut self.state, State::Ended) {
            State::Broken(what) => {
                let reason = format!("the archive cannot be read on after {} samples: {what}", self.count);
                Some(reject(self.name.clone(), reason))
            }
            State::Reading | State::Ended => None,
        })
    }

    /// Reads the members of the next sample.
    fn gather(&mut self, modality: Modality, group: &mut Option<Group>) -> std::io::Result<()> {
        loop {
            let member = match self.held.take() {
                Some(held) => Some(held),
                None => self.members.advance()?,
            };
            let Some(member) = member else {
                self.state = State::Ended;
                return Ok(());
            };
            let Some(name) = MemberName::of(&member) else { continue };
            if group.as_ref().is_some_and(|group| group.key != name.key) {
                self.held = Some(member);
                return Ok(());
            }
            group.get_or_insert_default().add(name, &member, modality, &mut self.members)?;
        }
    }

    fn finish(&mut self, group: Group, options: &SourceOptions, met: &mut Met) -> Entry {
        let id = format!("{}/{}", self.name, group.key);
        if !self.keys.is_new(&group.key) {
            let reason = format!("the key {} is used by an earlier sample that does not stand next to it", group.key);
            return reject(format!("{}:{}", self.name, self.count), reason);
        }
        match group.sample(options, &mut met.unkept) {
            Ok((Some(own), sample)) => match met.ids.as_mut().is_none_or(|ids| ids.is_new(&own)) {
                true => Entry::Sample(Sample { id: own, ..sample }),
                false => reject(id, format!("the id {own} is used by an earlier sample")),
            },
            Ok((None, sample)) => Entry::Sample(Sample { id, ..sample }),
            Err(reason) => reject(id, reason),
        }
    }
}

/// The members of one key.
#[derive(Default)]
struct Group {
    key: String,
    image: Option<Vec<u8>>,
    text: Option<Vec<u8>>,
    class: Option<Vec<u8>>,
    json: Option<Vec<u8>>,
    /// The first thing that is wrong with it.
    problem: Option<String>,
}

impl Group {
    fn add<R: Read>(
        &mut self,
        name: MemberName,
        member: &Member,
        modality: Modality,
        members: &mut Members<R>,
    ) -> std::io::Result<()> {
        let MemberName { key, extension, problem } = name;
        self.key = key;
        let file = Path::new("x").with_extension(&extension);
        let (place, limit) = match (extension.as_str(), modality) {
            ("txt", Modality::Text) => (&mut self.text, MAX_LINE),
            ("cls" | "label", _) => (&mut self.class, MAX_LINE),
            ("json", _) => (&mut self.json, MAX_LINE),
            (single, Modality::Image) if !single.contains('.') && is_image(&file) => (&mut self.image, MAX_IMAGE_BYTES),
            (single, Modality::Image) if !single.contains('.') && is_unreadable_image(&file) => {
                self.problem.get_or_insert_with(unreadable_image);
                return Ok(());
            }
            _ => {
                self.problem = self.problem.take().or(problem);
                return Ok(());
            }
        };
        let problem = problem.or_else(|| match member.what {
            What::File if place.is_some() => Some(format!("there are several `.{extension}` or like it")),
            What::File if member.size > limit => Some(format!("`.{extension}` is larger than {} MiB", limit >> 20)),
            What::File => None,
            What::Link => Some(format!("`.{extension}` is a link")),
            What::Sparse => Some(format!("`.{extension}` is a sparse file")),
            What::Folder | What::Other => Some(format!("`.{extension}` is not a regular file")),
        });
        match problem {
            None => *place = Some(members.read()?),
            Some(problem) => _ = self.problem.get_or_insert(problem),
        }
        Ok(())
    }

    /// The id, if the options name a column for it, and the sample. What it has is taken out of `unkept`.
    fn sample(mut self, options: &SourceOptions, unkept: &mut Vec<String>) -> Result<(Option<String>, Sample), String> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let table = &options.table;
        let json: Map<String, Value> = match &self.json {
            None => Map::new(),
            Some(bytes) => serde_json::from_slice(bytes).map_err(|e| format!("`.json` is not a JSON object: {e}"))?,
        };
        unkept.retain(|name| !json.contains_key(name));
        let cell = |name: &str| Cell::from(json.get(name));
        let named = |name: &str| rows::short(cell(name)).map_err(|what| format!("`{name}` is {what}"));

        let content = match (options.modality, &table.text_column) {
            (Modality::Image, _) => self.image.take().map_or(Cell::Missing, |image| Cell::Image(image.into())),
            (Modality::Text, Some(column)) => cell(column),
            (Modality::Text, None) => self.text.as_deref().map_or(Cell::Missing, Cell::utf8),
        };
        let what = match (options.modality, &table.text_column) {
            (Modality::Image, _) => "the image",
            (Modality::Text, Some(column)) => column,
            (Modality::Text, None) => "`.txt`",
        };
        let content =
            rows::content(content, options.modality, Path::new("")).map_err(|found| format!("{what} {found}"))?;
        let label = match (&table.label_column, &self.class) {
            (Some(column), _) => named(column)?,
            (None, Some(class)) => {
                let class = std::str::from_utf8(class).map_err(|_| "the label is not valid UTF-8".to_owned())?;
                Some(class.trim()).filter(|class| !class.is_empty()).map(str::to_owned)
            }
            (None, None) => named("label")?,
        };
        let id = match &table.id_column {
            Some(column) => Some(named(column)?.ok_or_else(|| format!("`{column}` is missing"))?),
            None => None,
        };
        let kept = options.keep.iter();
        let kept = kept.map(|name| rows::kept(cell(name)).map_err(|what| format!("`{name}` is {what}")));
        Ok((id, Sample { id: String::new(), content, label, kept: kept.collect::<Result<_, _>>()? }))
    }
}

/// A member's name, taken apart.
struct MemberName {
    key: String,
    extension: String,
    problem: Option<String>,
}

impl MemberName {
    /// `None` for what belongs to no sample: folders, hidden members, names without an extension.
    fn of(member: &Member) -> Option<Self> {
        if member.what == What::Folder {
            return None;
        }
        let (name, problem) = match std::str::from_utf8(&member.name) {
            Ok(name) => (name.to_owned(), None),
            Err(_) => (printable(&member.name), Some("the name is not valid Unicode".to_owned())),
        };
        let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let (base, folders) = parts.split_last()?;
        let (stem, extension) = base.split_once('.').filter(|(stem, _)| !stem.is_empty())?;
        let leads_out = name.starts_with('/') || folders.contains(&"..");
        if folders.iter().any(|folder| folder.starts_with('.') && *folder != "..") {
            return None;
        }
        let key = match leads_out {
            // As it is, so that it cannot be the key of another sample.
            true => name.strip_suffix(extension)?.strip_suffix('.')?.to_owned(),
            false => folders.iter().chain([&stem]).copied().collect::<Vec<_>>().join("/"),
        };
        let problem = problem.or_else(|| leads_out.then(|| "the name leads out of the archive".to_owned()));
        Some(Self { key, extension: extension.to_ascii_lowercase(), problem })
    }
}
