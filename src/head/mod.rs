//! Heads: what is fitted on features, and the solver that fits it.

mod adamw;
mod calibrator;
mod centroid;
mod certificate;
mod descent;
mod detector;
mod fitted;
mod graph;
mod head_onnx;
mod knn;
mod lbfgs;
mod linear;
mod linfa_solver;
mod link;
mod logistic;
mod mlp;
mod objective;
mod precondition;
mod real;
mod residuals;
mod ridge;
mod samples;
mod search;
mod standardize;
mod stretches;
mod sweep;
mod training;

pub use crate::logits::softmax;
pub(crate) use adamw::{AdamW, Moments};
pub use calibrator::{CalibrationFigures, CalibrationRecord, Calibrator};
pub use centroid::{Centroid, Distance};
pub use certificate::Certificate;
pub use detector::{Detector, Strangeness};
pub use fitted::Head;
pub(crate) use head_onnx::{EXPORT_KEY, HEAD_KEY};
pub use head_onnx::{HeadFile, HeadKind, Scored};
pub use knn::{CheckedKnn, FittedKnn, Knn, KnnHead, KnnPoint, Neighbours};
pub use linear::{Input, LinearHead};
pub use link::{Link, THRESHOLD, sigmoid};
pub use logistic::{CheckedLogistic, FittedLogistic, Logistic, Solver};
pub use mlp::{Activation, CheckedMlp, FittedMlp, Mlp, MlpHead};
pub(crate) use real::Real;
pub use ridge::{CheckedRidge, FittedRidge, LeaveOneOut, Ridge, RidgePoint, leave_one_out};
pub use samples::{ClassWeight, Samples};
pub(crate) use search::{Candidates, Neighbour, search};
pub use standardize::Scaling;
pub use sweep::Swept;

#[cfg(test)]
mod contract;
#[cfg(test)]
pub(crate) mod goldens;
#[cfg(test)]
mod hard_cases;
#[cfg(test)]
mod multi_label;
