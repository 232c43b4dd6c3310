//! Samples in, embeddings out: read → decode → batch → run → write, overlapped and bounded.

mod backend;
mod buckets;
mod extraction;
mod feed;
mod form;
mod inputs;
mod latency;
mod meter;
mod options;
mod pipeline;
mod share;
mod sizes;
mod synthetic;
mod trace;
mod verify;
mod work;
mod writer;

pub use extraction::{Extraction, Stages, Summary};
pub use feed::{Batch, Feed};
pub use latency::{Latency, latency};
pub use meter::{Limit, StageRate};
pub use options::Options;
pub use verify::{Verified, verify};
pub use writer::Sink;
