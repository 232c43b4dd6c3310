//! Tables of one JSON object a line.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::columns::Columns;
use super::lines::Lines;
use super::rows::{Cell, Rows};
use super::{Entries, Extent, Separator, SourceOptions};
use crate::error::{Error, Result};

/// How many lines are read to learn the columns: objects may leave out keys.
const HEAD: usize = 1000;

/// How many columns are enough to stop at.
const MAX_NAMES: usize = 1 << 14;

/// The rows of a JSON-lines file. Empty lines are skipped.
///
/// # Errors
/// As `Table::open`.
pub(super) fn json_lines(path: &Path, options: &SourceOptions, extent: &Arc<Extent>) -> Result<Entries> {
    let open = || File::open(path).map_err(Error::io("read", path));
    let names = head(open()?).map_err(Error::io("read", path))?;
    if names.is_empty() {
        return Err(Error::malformed(path, format!("no JSON object in the first {HEAD} lines")));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rows = Rows::new(path, Columns::resolve(path, &names, &names, options)?, options);
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, extent.metered(open()?)), Separator::Newline);
    let path = path.to_path_buf();
    let mut values = Vec::new();
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            let (number, line) = match lines.advance().map_err(Error::io("read", &path)).transpose()? {
                Ok((_, Ok(line))) if line.trim().is_empty() => continue,
                Ok(line) => line,
                Err(e) => return Some(Err(e)),
            };
            let names = &rows.columns().used;
            let parsed = line.and_then(|line| parse(line, Wanted { names, values: &mut values }));
            return Some(Ok(match parsed {
                Ok(()) => rows.entry(number, |column| Cell::from(values.get(column))),
                Err(reason) => rows.reject(number, reason),
            }));
        }
    })))
}

/// The keys of the first objects.
fn head(file: File) -> std::io::Result<BTreeSet<String>> {
    let mut lines = Lines::new(BufReader::new(file), Separator::Newline);
    let mut names = BTreeSet::new();
    for _ in 0..HEAD {
        let Some((_, line)) = lines.advance()?.filter(|_| names.len() < MAX_NAMES) else { break };
        let object = line.ok().and_then(|line| serde_json::from_str::<BTreeMap<String, IgnoredAny>>(line).ok());
        names.extend(object.into_iter().flat_map(BTreeMap::into_keys));
    }
    Ok(names)
}

/// Puts the values of the wanted keys of an object into their places.
fn parse(line: &str, wanted: Wanted<'_>) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(line);
    wanted.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| {
        let (text, column) = (error.to_string(), error.column());
        let what = text.split(" at line ").next().unwrap_or_default();
        format!("not a JSON object: {what} at character {column}")
    })
}

/// The keys that are wanted and where their values go; other values are passed over without being kept.
struct Wanted<'a> {
    names: &'a [String],
    values: &'a mut Vec<Value>,
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        self.values.clear();
        self.values.resize(self.names.len(), Value::Null);
        while let Some(place) = map.next_key_seed(Place(self.names))? {
            match place.and_then(|place| self.values.get_mut(place)) {
                Some(value) => *value = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Which of the names a key is.
struct Place<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<usize>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|name| name == key))
    }
}

impl<'a> From<Option<&'a Value>> for Cell<'a> {
    fn from(value: Option<&'a Value>) -> Self {
        match value {
            None | Some(Value::Null) => Self::Missing,
            Some(Value::String(text)) => Self::Text(Cow::Borrowed(text)),
            Some(scalar @ (Value::Number(_) | Value::Bool(_))) => Self::Scalar(scalar.to_string()),
            Some(array @ Value::Array(_)) => Self::Nested { kind: "an array", json: array.to_string() },
            Some(object @ Value::Object(_)) => Self::Nested { kind: "an object", json: object.to_string() },
        }
    }
}
