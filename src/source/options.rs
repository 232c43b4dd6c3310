//! How inputs are read.

use serde::{Deserialize, Serialize};

use super::{Modality, TableOptions};

/// How inputs are read.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// What the backbone reads.
    pub modality: Modality,
    /// The columns of tables, and of the `.json` members of tar archives.
    pub table: TableOptions,
    /// Names of columns whose values travel with the rows, as text: columns of tables, keys of the `.json` members of tar
    /// archives. Inputs without columns have no values.
    pub keep: Vec<String>,
    /// What ends an item on standard input.
    pub separator: Separator,
}

impl SourceOptions {
    /// Nothing named, nothing kept.
    pub fn new(modality: Modality) -> Self {
        Self { modality, table: TableOptions::default(), keep: Vec::new(), separator: Separator::default() }
    }
}

/// What ends an item on standard input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Separator {
    /// `\n` or `\r\n`.
    #[default]
    Newline,
    /// A zero byte, as `find -print0` writes: names may then hold line ends, texts several lines.
    Nul,
}

impl Separator {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Newline => b'\n',
            Self::Nul => 0,
        }
    }
}
