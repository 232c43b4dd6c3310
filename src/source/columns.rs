//! Which columns of a table are what.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Modality, SourceOptions};
use crate::error::{Error, Result};

/// Which columns of a table are what. A column that is given must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOptions {
    /// The text. If not given, exactly one of `text`, `sentence`, `content`, `review`, `tweet` must be there.
    pub text_column: Option<String>,
    /// The image: its path, relative to the table's folder, or in Parquet its bytes. If not given, exactly one of `path`,
    /// `file`, `file_name`, `image`, `image_path` must be there.
    pub path_column: Option<String>,
    /// The class. If not given, `label` where it is there, else the samples have none.
    pub label_column: Option<String>,
    /// The id. If not given, `id` where it is there (in archives, the key of the members); else ids are `<file name>:<line>`,
    /// counted from 1 with the header, in Parquet `<file name>:<row>`, counted from 0.
    pub id_column: Option<String>,
}

const TEXT_COLUMNS: [&str; 5] = ["text", "sentence", "content", "review", "tweet"];
const PATH_COLUMNS: [&str; 5] = ["path", "file", "file_name", "image", "image_path"];

/// The columns of one table that are used, each known by its place in `used`.
#[derive(Debug)]
pub(super) struct Columns {
    /// Their names, each once.
    pub(super) used: Vec<String>,
    pub(super) content: usize,
    pub(super) label: Option<usize>,
    pub(super) id: Option<usize>,
    pub(super) keep: Vec<usize>,
}

impl Columns {
    /// Chooses among all `names` of the table at `path`. `ids` are those that can be the id where none is named.
    ///
    /// # Errors
    /// [`Error::Usage`] when a column is missing or cannot be told.
    pub(super) fn resolve(path: &Path, names: &[&str], ids: &[&str], options: &SourceOptions) -> Result<Self> {
        let (modality, table) = (options.modality, &options.table);
        let (what, flag, given, usual) = match modality {
            Modality::Text => ("text", "--text-column", &table.text_column, TEXT_COLUMNS),
            Modality::Image => ("path", "--path-column", &table.path_column, PATH_COLUMNS),
        };
        let content = match given {
            Some(name) => there(path, names, name)?,
            None => match matching(names, &usual).as_slice() {
                [one] => there(path, names, one)?,
                [] => {
                    let (path, columns) = (path.display(), quoted(names));
                    let reason = format!("which column of {path} is the {what}? It has {columns}; name it with {flag}");
                    return Err(Error::Usage(reason));
                }
                several => {
                    let (path, columns) = (path.display(), quoted(several));
                    let reason = format!("{path} has {columns}, each of which may be the {what}; choose with {flag}");
                    return Err(Error::Usage(reason));
                }
            },
        };
        let named = |name: &Option<String>, among: &[&str], usual: &str| {
            let name = name.as_deref().or_else(|| matching(among, &[usual]).first().copied());
            name.map(|name| there(path, names, name)).transpose()
        };
        let label = named(&table.label_column, names, "label")?;
        let id = named(&table.id_column, ids, "id")?;
        let keep = options.keep.iter().map(|name| there(path, names, name)).collect::<Result<Vec<_>>>()?;

        let mut used = Vec::new();
        let mut place = |name: String| match used.iter().position(|known| *known == name) {
            Some(place) => place,
            None => {
                used.push(name);
                used.len() - 1
            }
        };
        let (content, label, id) = (place(content), label.map(&mut place), id.map(&mut place));
        let keep = keep.into_iter().map(place).collect();
        Ok(Self { used, content, label, id, keep })
    }
}

/// `name`, if exactly one column is called so.
pub(crate) fn there(path: &Path, names: &[&str], name: &str) -> Result<String> {
    let path = path.display();
    match names.iter().filter(|found| **found == name).count() {
        1 => Ok(name.to_owned()),
        0 if names.is_empty() => Err(Error::Usage(format!("{path} has no column `{name}`, nor any other"))),
        0 => Err(Error::Usage(format!("{path} has no column `{name}`; it has {}", quoted(names)))),
        n => Err(Error::Usage(format!("{path} has {n} columns called `{name}`"))),
    }
}

fn matching<'a>(names: &[&'a str], usual: &[&str]) -> Vec<&'a str> {
    let mut found: Vec<&str> =
        names.iter().filter(|name| usual.iter().any(|usual| name.eq_ignore_ascii_case(usual))).copied().collect();
    found.dedup();
    found
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
