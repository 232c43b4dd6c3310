//! Transfer learning without a Python stack.
//!
//! Data flows one way, and the modules below stand in the order of the flow: a module may use
//! those above it and never those below (a test reads the imports and enforces it).
#![deny(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod error;

pub mod counted;

pub mod guard;

pub mod progress;

pub mod file;

pub mod footer;

mod eigen;

pub mod onnx;

pub mod source;

pub mod preprocess;

pub mod backbone;

pub mod features;

pub mod extract;

pub mod head;

pub mod eval;

pub mod curate;

pub mod rank;

pub mod tune;

pub mod export;

pub mod report;

pub mod cli;

#[cfg(test)]
#[path = "../tests/support/close.rs"]
mod close;

pub use error::{Error, Result};
