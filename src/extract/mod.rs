//! Samples in, embeddings out: read → decode → batch → run → write, overlapped and bounded.

mod embedder;
mod pipeline;
mod verify;

pub use embedder::{Embedded, Embedder};
pub use pipeline::{Extraction, Limit, Options, Sink, Summary};
pub use verify::{Verified, verify};
