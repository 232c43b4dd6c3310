//! How many bits the stored values have.

use half::f16;
use ndarray::Axis;
use serde::{Deserialize, Serialize};

use super::{Part, Rows};
use crate::source::{Reject, Stage};

/// The type of the stored values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats, as the backbone gives them.
    #[default]
    F32,
    /// 16-bit floats: half the room, about three decimal digits, and nothing beyond ±65504.
    F16,
}

impl Precision {
    /// Its name, as in a provenance.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// The one of this name; 32 bits where there is none.
    pub(super) fn named(name: &str) -> Self {
        if name == Self::F16.name() { Self::F16 } else { Self::F32 }
    }

    /// Bytes of one value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// The value as it is stored.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
        }
    }

    /// Whether storing this value would turn it into infinity.
    pub(super) fn overflows(self, value: f32) -> bool {
        // From halfway between the greatest, 65504, and the next that there would be.
        self == Self::F16 && value.is_finite() && value.abs() >= 65520.0
    }
}

impl Part {
    /// The part as it can be stored: a row that would become infinite or zero is a reject instead.
    pub fn stored_as(mut self, precision: Precision) -> Self {
        if precision == Precision::F32 {
            return self;
        }
        let reason = |row: ndarray::ArrayView1<f32>| {
            if let Some(value) = row.iter().find(|value| precision.overflows(**value)) {
                return Some(format!("the value {value} is beyond the range of 16-bit floats, which ends at 65504"));
            }
            let zero = row.iter().all(|value| f16::from_f32(*value) == f16::ZERO);
            zero.then(|| "the embedding is zero everywhere in 16-bit floats".to_owned())
        };
        let mut storable = Vec::with_capacity(self.rows.ids.len());
        for (i, (id, row)) in self.rows.ids.iter().zip(self.rows.matrix.outer_iter()).enumerate() {
            match reason(row) {
                None => storable.push(i),
                Some(reason) => self.rejects.push(Reject { id: id.clone(), stage: Stage::Run, reason }),
            }
        }
        if storable.len() < self.rows.ids.len() {
            self.rows = select(&self.rows, &storable);
        }
        self
    }
}

fn select(rows: &Rows, places: &[usize]) -> Rows {
    let optional = |values: &Vec<Option<String>>| places.iter().map(|&i| values[i].clone()).collect();
    Rows {
        ids: places.iter().map(|&i| rows.ids[i].clone()).collect(),
        labels: optional(&rows.labels),
        contents: optional(&rows.contents),
        kept: rows.kept.iter().map(optional).collect(),
        matrix: rows.matrix.select(Axis(0), places),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn rows_that_16_bits_cannot_hold_are_rejects() {
        let texts = |names: [&str; 4]| names.map(|n| Some(n.to_owned())).to_vec();
        let part = Part {
            entries: 0..4,
            digest: 0,
            rows: Rows {
                ids: ["a", "b", "c", "d"].map(String::from).to_vec(),
                labels: texts(["1", "2", "3", "4"]),
                contents: vec![None; 4],
                kept: vec![texts(["w", "x", "y", "z"])],
                matrix: array![[1.0, -65519.0], [1.0, -65520.0], [1e-9, 0.0], [1e-7, 0.0]],
            },
            rejects: Vec::new(),
            truncated: 0,
        };
        assert_eq!(part.clone().stored_as(Precision::F32), part);
        let got = part.stored_as(Precision::F16);
        assert_eq!(got.rows.ids, ["a", "d"]);
        assert_eq!(got.rows.kept, [[Some("w".to_owned()), Some("z".to_owned())]]);
        assert_eq!(got.rows.matrix, array![[1.0, -65519.0], [1e-7, 0.0]]);
        let ids: Vec<&str> = got.rejects.iter().map(|reject| reject.id.as_str()).collect();
        assert_eq!(ids, ["b", "c"]);
        assert!(got.rejects[0].reason.contains("-65520") && got.rejects[1].reason.contains("zero"));
    }
}
