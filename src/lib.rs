//! Transfer learning without a Python stack.
//!
//! Data flows one way, and the modules below stand in the order of the flow: a module may use
//! those above it and never those below (a test reads the imports and enforces it).
#![deny(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
// A build that only predicts leaves much of what it shares with the others unused.
#![cfg_attr(not(feature = "full"), allow(dead_code, unused_imports))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod error;

pub mod counted;

pub mod guard;

pub mod progress;

pub mod file;

#[cfg(feature = "full")]
pub mod footer;

mod eigen;

mod product;

mod cholesky;

mod logits;

pub mod onnx;

pub mod source;

pub mod preprocess;

pub mod backbone;

pub mod features;

pub mod extract;

pub mod head;

pub mod eval;

#[cfg(feature = "full")]
pub mod curate;

#[cfg(feature = "full")]
pub mod rank;

#[cfg(feature = "full")]
pub mod adapt;

#[cfg(feature = "full")]
pub mod tune;

pub mod export;

#[cfg(feature = "full")]
pub mod report;

#[cfg(feature = "full")]
pub mod cli;
/// The command line of a build that only predicts.
#[cfg(not(feature = "full"))]
#[path = "cli/edge.rs"]
pub mod cli;

#[cfg(test)]
#[path = "../tests/support/close.rs"]
mod close;

pub use error::{Error, Result};
