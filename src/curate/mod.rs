//! Looking after a data set: labels that are wrong, samples that occur twice or leak, what to label next and
//! what it would bring. Arrays in,
//! findings out.

mod calibrate;
mod check;
mod curve;
mod detect;
mod duplicates;
mod label_errors;
mod out_of_fold;
mod outliers;
mod similarity;
mod suggest;

pub use calibrate::{Calibrated, calibrate};
pub use curve::{ShotPoint, Shots, few_shot_curve, forecast};
pub use detect::{energy_detector, knn_detector, mahalanobis_detector, vim_detector};
pub use duplicates::{DuplicateGroup, Leak, Likeness, duplicates, leaks};
pub use label_errors::{LabelFilter, confident_joint, label_errors, normalized_margin, self_confidence};
pub use out_of_fold::{FitHead, Judge, Known, judge_out_of_fold, out_of_fold, out_of_fold_logits};
pub(crate) use out_of_fold::{Part, for_each_fold};
pub use outliers::{Isolation, isolation, robust_z};
pub use suggest::{Suggestion, k_centre, margins, typicality};
