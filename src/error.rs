//! The one error type. Every variant names the path, row or tensor it is about.

use std::path::{Path, PathBuf};

/// A result of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, worded for the person who has to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was attempted: "read", "create", "write", "rename", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is not what its name or header says.
    #[error("{} is not usable: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// An ONNX graph or tensor is not as needed.
    #[error("model {model}: {reason}")]
    Model {
        /// Name or path of the model.
        model: String,
        /// The node, tensor or shape, and what was expected.
        reason: String,
    },
    /// A model ran, and its device has not the memory for a batch of this size: a smaller one may do.
    #[error("model {model} ran out of memory: {reason}")]
    OutOfMemory {
        /// Name or path of the model.
        model: String,
        /// ONNX Runtime's own words.
        reason: String,
    },
    /// The command or call was wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The user's data cannot be used as asked (one class only, no rows, a missing column, ...).
    #[error("{0}")]
    Data(String),
    /// ONNX Runtime could not be found or loaded.
    #[error("{0}")]
    Runtime(String),
    /// A device or execution provider cannot run here.
    #[error("device {device} cannot run here: {cause}")]
    Device {
        /// What was asked for.
        device: String,
        /// What is missing.
        cause: String,
    },
    /// Something could not be fetched.
    #[error("cannot fetch {what}: {reason}")]
    Fetch {
        /// Package, file or address.
        what: String,
        /// The cause and the way out.
        reason: String,
    },
    /// A file's content is not the expected one.
    #[error("{what} has sha256 {got}, expected {expected}; it was not kept")]
    Checksum {
        /// The file.
        what: String,
        /// The hexadecimal digest that was expected.
        expected: String,
        /// The hexadecimal digest of what came.
        got: String,
    },
    /// The output is already there.
    #[error("{} already exists; give another -o, or --overwrite to replace it", .0.display())]
    Exists(PathBuf),
    /// A run cannot be continued: its inputs are not what they were.
    #[error("{} cannot be continued: {difference}; give another -o, or --overwrite to start afresh", .folder.display())]
    InputsChanged {
        /// The folder of the run.
        folder: PathBuf,
        /// What was there and what is now.
        difference: String,
    },
    /// Two artifacts do not belong together.
    #[error("{what} do not match: expected {expected}, got {got}")]
    Mismatch {
        /// What was compared.
        what: String,
        /// From the first artifact.
        expected: String,
        /// From the second.
        got: String,
    },
    /// The user pressed Ctrl-C or the process was asked to end.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err` on an operation on `path`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// A file that is not what it should be.
    pub fn malformed(path: impl AsRef<Path>, reason: impl std::fmt::Display) -> Error {
        Error::Malformed { path: path.as_ref().to_path_buf(), reason: reason.to_string() }
    }

    /// A file that stands where one of ours would go, and must stay: `reason` says why, and what to do.
    pub fn in_the_way(path: impl AsRef<Path>, reason: impl std::fmt::Display) -> Error {
        Error::Usage(format!("{} is in the way: {reason}", path.as_ref().display()))
    }

    /// A model that is not as needed.
    pub fn model(model: impl std::fmt::Display, reason: impl std::fmt::Display) -> Error {
        Error::Model { model: model.to_string(), reason: reason.to_string() }
    }

    /// Something that could not be fetched.
    pub fn fetch(what: impl std::fmt::Display, reason: impl std::fmt::Display) -> Error {
        Error::Fetch { what: what.to_string(), reason: reason.to_string() }
    }
}
