//! Heads: what is fitted on features, and the solver that fits it.

mod certificate;
mod head_onnx;
mod lbfgs;
mod linear;
mod linfa_solver;
mod logistic;
mod objective;
mod precondition;
mod real;
mod samples;
mod standardize;

pub use certificate::Certificate;
pub use head_onnx::{HeadFile, HeadKind};
pub use linear::{Input, LinearHead};
pub use logistic::{CheckedLogistic, FittedLogistic, Logistic, Solver};
pub use samples::{ClassWeight, Samples};
pub use standardize::Scaling;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod hard_cases;
