//! What a feature set holds, without keeping it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{DamagedShard, FeatureSet, Format, Provenance, damaged_shards, shards};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// What a feature set holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Survey {
    /// Number of embeddings.
    pub rows: u64,
    /// Their length.
    pub dimension: usize,
    /// Files that hold them, the damaged ones not among them.
    pub files: usize,
    /// Those of the files that are missing or not sound; none of their rows is counted anywhere here.
    pub damaged: Vec<DamagedShard>,
    /// What made them, as the first file has it; of stored precisions that differ, the wider.
    pub provenance: Option<Provenance>,
    /// Every stored precision, by its name.
    pub precisions: BTreeSet<String>,
    /// Every execution provider that ran.
    pub providers: BTreeSet<String>,
    /// Rows of each label.
    pub labels: BTreeMap<String, u64>,
    /// Rows without a label.
    pub unlabelled: u64,
    /// Lengths of the embeddings as vectors, of the rows of which all values are finite; `None` where there are none.
    pub norms: Option<Norms>,
    /// Rows that are zero everywhere.
    pub zero_rows: u64,
    /// Rows with a NaN or infinite value.
    pub not_finite_rows: u64,
    /// Rows whose id another row had before.
    pub duplicate_ids: u64,
    /// Rows whose input has the same digest as that of another row before.
    pub duplicate_contents: u64,
    /// Rows whose embedding another row had before, bit for bit.
    pub duplicate_vectors: u64,
}

/// Euclidean lengths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Norms {
    /// The least.
    pub min: f32,
    /// The middle one; of an even number the lower of the two.
    pub median: f32,
    /// The greatest.
    pub max: f32,
}

impl Survey {
    /// Reads the feature set at `path`, a file at a time: of a folder, one shard is in memory. Damaged shards are left out,
    /// and listed; a folder of a run that has kept nothing yet has no rows.
    ///
    /// # Errors
    /// As [`FeatureSet::read`] for a single file; when there are no shards, or they were made in different ways;
    /// [`Error::Interrupted`].
    pub fn of(path: &Path, progress: &dyn Progress) -> Result<Self> {
        match Format::from_path(path)? {
            Format::Shards => shards::unreplaced(path, |files| Self::of_shards(path, files, progress)),
            _ => {
                let mut counting = Counting::default();
                counting.add(FeatureSet::read(path)?, path)?;
                Ok(counting.finish(Vec::new()))
            }
        }
    }

    fn of_shards(folder: &Path, files: &[PathBuf], progress: &dyn Progress) -> Result<Self> {
        let mut damaged = damaged_shards(folder, progress)?;
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut counting = Counting::default();
        progress.begin("reading", Some(files.len() as u64));
        for file in files {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            if !damaged.iter().any(|known| known.shard == name(file)) {
                match FeatureSet::read(file) {
                    Ok(set) => counting.add(set, file)?,
                    // Of a folder without a journal nothing else tells.
                    Err(Error::Malformed { reason, .. }) => damaged.push(DamagedShard { shard: name(file), reason }),
                    Err(e) => return Err(e),
                }
            }
            progress.advance(1);
        }
        progress.end();
        damaged.sort_by(|a, b| a.shard.cmp(&b.shard));
        Ok(counting.finish(damaged))
    }
}

/// 64 bits of each id, content and vector are kept: among a million rows, two that differ are taken for equal with a
/// probability of 3 in 100 million.
#[derive(Default)]
struct Counting {
    provenance: Option<Option<Provenance>>,
    precisions: BTreeSet<String>,
    providers: BTreeSet<String>,
    files: usize,
    dimension: Option<usize>,
    labels: BTreeMap<String, u64>,
    unlabelled: u64,
    norms: Vec<f32>,
    rows: u64,
    zero_rows: u64,
    not_finite_rows: u64,
    ids: Distinct,
    contents: Distinct,
    vectors: Distinct,
}

#[derive(Default)]
struct Distinct {
    seen: HashSet<u64>,
    again: u64,
}

impl Distinct {
    fn add(&mut self, value: impl Hash) {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        self.again += u64::from(!self.seen.insert(hasher.finish()));
    }
}

impl Counting {
    fn add(&mut self, set: FeatureSet, file: &Path) -> Result<()> {
        self.belongs(&set, file)?;
        self.files += 1;
        self.rows += set.len() as u64;
        for label in set.labels {
            match label {
                Some(label) => *self.labels.entry(label).or_default() += 1,
                None => self.unlabelled += 1,
            }
        }
        set.ids.iter().for_each(|id| self.ids.add(id));
        set.contents.iter().flatten().for_each(|content| self.contents.add(content));
        let mut bits = Vec::with_capacity(set.matrix.ncols());
        for row in set.matrix.outer_iter() {
            bits.clear();
            bits.extend(row.iter().map(|value| value.to_bits()));
            self.vectors.add(&bits);
            let square: f64 = row.iter().map(|value| f64::from(*value).powi(2)).sum();
            match square.is_finite() {
                true => self.norms.push(square.sqrt() as f32),
                false => self.not_finite_rows += 1,
            }
            self.zero_rows += u64::from(square == 0.0);
        }
        Ok(())
    }

    /// Fails when a file was made otherwise than the first one.
    fn belongs(&mut self, set: &FeatureSet, file: &Path) -> Result<()> {
        self.providers.extend(set.provenance.iter().map(|provenance| provenance.provider.clone()));
        self.precisions.extend(set.provenance.iter().map(|provenance| provenance.precision.clone()));
        let all = self.provenance.get_or_insert_with(|| set.provenance.clone());
        let dimension = *self.dimension.get_or_insert(set.dimension());
        Provenance::join(all, &set.provenance, || shards::up_to(file))?;
        if dimension == set.dimension() {
            return Ok(());
        }
        let what = format!("the lengths of the embeddings of {}", shards::up_to(file));
        Err(Error::Mismatch { what, expected: dimension.to_string(), got: set.dimension().to_string() })
    }

    fn finish(mut self, damaged: Vec<DamagedShard>) -> Survey {
        let middle = self.norms.len().saturating_sub(1) / 2;
        let norms = (!self.norms.is_empty()).then(|| {
            let (lower, median, upper) = self.norms.select_nth_unstable_by(middle, f32::total_cmp);
            let median = *median;
            let min = lower.iter().copied().fold(median, f32::min);
            Norms { min, median, max: upper.iter().copied().fold(median, f32::max) }
        });
        Survey {
            rows: self.rows,
            dimension: self.dimension.unwrap_or(0),
            files: self.files,
            damaged,
            provenance: self.provenance.flatten(),
            precisions: self.precisions,
            providers: self.providers,
            labels: self.labels,
            unlabelled: self.unlabelled,
            norms,
            zero_rows: self.zero_rows,
            not_finite_rows: self.not_finite_rows,
            duplicate_ids: self.ids.again,
            duplicate_contents: self.contents.again,
            duplicate_vectors: self.vectors.again,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::features::{Existing, Kept};

    #[test]
    fn everything_is_counted_over_all_shards() {
        let folder = tempfile::tempdir().unwrap();
        let texts = |values: [&str; 3]| values.map(|v| (!v.is_empty()).then(|| v.to_owned())).to_vec();
        let set = |ids: [&str; 3], labels, contents, matrix| FeatureSet {
            ids: ids.map(String::from).to_vec(),
            labels: texts(labels),
            contents: texts(contents),
            kept: Kept::new(),
            matrix,
            provenance: None,
        };
        let write = |name: &str, set: FeatureSet| set.write(&folder.path().join(name), Existing::Refuse).unwrap();
        let first = set(["a", "b", "c"], ["x", "", "y"], ["1", "2", ""], array![[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]);
        let matrix = array![[3.0, 4.0], [f32::NAN, 0.0], [0.0, -6.0]];
        write("0.parquet", first);
        write("1.parquet", set(["d", "a", "e"], ["x", "x", ""], ["1", "1", ""], matrix));
        let got = Survey::of(folder.path(), &()).unwrap();
        assert_eq!((got.rows, got.dimension, got.files, got.unlabelled), (6, 2, 2, 2));
        assert_eq!(got.labels, BTreeMap::from([("x".to_owned(), 3), ("y".to_owned(), 1)]));
        assert_eq!(got.norms, Some(Norms { min: 0.0, median: 5.0, max: 6.0 }));
        assert_eq!((got.zero_rows, got.not_finite_rows), (1, 1));
        assert_eq!((got.duplicate_ids, got.duplicate_contents, got.duplicate_vectors), (1, 2, 1));
        write(
            "2.parquet",
            FeatureSet {
                matrix: array![[1.0]],
                ..FeatureSet::read(&folder.path().join("0.parquet")).unwrap().select(&[0])
            },
        );
        assert!(matches!(Survey::of(folder.path(), &()), Err(Error::Mismatch { .. })));
    }
}
