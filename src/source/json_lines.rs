//! Tables of one JSON object a line.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde_json::{Map, Value};

use super::lines::{Line, Lines};
use super::table::{Cell, Columns, Rows, TableOptions};
use super::{Entries, Modality};
use crate::error::{Error, Result};

/// How many lines are read to learn the columns: objects may leave out keys.
const HEAD: usize = 1000;

/// The rows of a JSON-lines file. Empty lines are skipped.
///
/// # Errors
/// As `Table::open`.
pub(super) fn json_lines(path: &Path, modality: Modality, options: &TableOptions) -> Result<Entries> {
    let open = || File::open(path).map(|file| Lines::new(BufReader::new(file), path)).map_err(Error::io("read", path));
    let mut names = BTreeSet::new();
    for line in open()?.take(HEAD) {
        names.extend(object(line?.1).into_iter().flat_map(|object| object.into_iter().map(|(name, _)| name)));
    }
    if names.is_empty() {
        return Err(Error::malformed(path, format!("no JSON object in the first {HEAD} lines")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rows = Rows::new(path, modality, Columns::resolve(path, &names, modality, options)?);
    let lines = open()?.filter(|line| !matches!(line, Ok((_, Ok(text))) if text.trim().is_empty()));
    Ok(Box::new(lines.map(move |line| {
        let (number, line) = line?;
        Ok(match object(line) {
            Ok(object) => rows.entry(number, |name| Cell::from(object.get(name))),
            Err(reason) => rows.reject(number, reason),
        })
    })))
}

fn object(line: Line) -> Result<Map<String, Value>, String> {
    serde_json::from_str(&line?).map_err(|error| {
        let (text, column) = (error.to_string(), error.column());
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("not a JSON object: {what} at character {column}")
    })
}

impl From<Option<&Value>> for Cell {
    fn from(value: Option<&Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Missing,
            Some(Value::String(text)) => Self::Text(text.clone()),
            Some(scalar @ (Value::Number(_) | Value::Bool(_))) => Self::Scalar(scalar.to_string()),
            Some(Value::Array(_)) => Self::Unusable("an array"),
            Some(Value::Object(_)) => Self::Unusable("an object"),
        }
    }
}
