//! From token vectors to one vector a text.

use serde::{Deserialize, Serialize};

/// How a `[batch, tokens, d]` output becomes `[batch, d]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The output is `[batch, d]` already.
    None,
    /// The mean over the tokens that the attention mask keeps.
    Mean,
    /// The first token that the mask keeps.
    Cls,
    /// The last token that the mask keeps.
    LastToken,
}
