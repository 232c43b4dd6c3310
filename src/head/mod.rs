//! Heads: what is fitted on features, and the solver that fits it.

mod certificate;
mod eigen;
mod head_onnx;
mod lbfgs;
mod linear;
mod linfa_solver;
mod logistic;
mod objective;
mod precondition;
mod real;
mod ridge;
mod standardize;
mod training;

pub use certificate::Certificate;
pub use head_onnx::{HeadFile, HeadKind};
pub use linear::{Input, LinearHead};
pub use logistic::{CheckedLogistic, FittedLogistic, Logistic, Solver};
pub use ridge::{CheckedRidge, FittedRidge, LeaveOneOut, Ridge, RidgePoint, leave_one_out};
pub use standardize::Scaling;

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod hard_cases;
