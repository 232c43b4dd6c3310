//! In what two values differ, named as in their JSON.

use serde::Serialize;
use serde_json::{Map, Value};

/// A value of the one that is another in the other.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    /// With points between the levels: `output.pooling`.
    pub(super) name: String,
    pub(super) first: Value,
    pub(super) second: Value,
}

/// What differs, in the order of the first; what one has not is null.
pub(super) fn differences(first: &Value, second: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", first, second, &mut found);
    found
}

/// The value as it is read back from a file: numbers may come to differ in their last bit.
pub(super) fn as_read(value: &impl Serialize) -> serde_json::Result<Value> {
    serde_json::from_str(&serde_json::to_string(value)?)
}

fn compare(name: &str, first: &Value, second: &Value, found: &mut Vec<Difference>) {
    match (first, second) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            for key in names {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                compare(&name, &value(a), &value(b), found);
            }
        }
        _ if first != second => {
            found.push(Difference { name: name.to_owned(), first: first.clone(), second: second.clone() });
        }
        _ => {}
    }
}
