//! Samples in, embeddings out: read → decode → batch → run → write, overlapped and bounded.

mod embedder;
mod extraction;
mod pipeline;
mod verify;

pub use embedder::{Embedded, Embedder};
pub use extraction::{Extraction, Limit, Options, Summary};
pub use pipeline::Sink;
pub use verify::{Verified, verify};
