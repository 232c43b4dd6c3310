//! Evaluation: arrays in, numbers out.
//!
//! Classes are indices `0..K`. A test row whose label is not among the classes of the head has no index: the caller has to
//! decide whether such rows are left out (and say how many) or refuse the data; here they cannot be expressed.

mod bootstrap;
mod calibration;
mod comparison;
mod conformal;
mod confusion;
mod division;
mod draws;
mod few_shot;
mod folds;
mod forecast;
#[cfg(test)]
mod goldens;
mod groups;
mod interval;
mod judgeable;
mod ledoit_wolf;
mod multi_label;
mod ood;
mod ranking;
mod reliability;
mod report;
mod row_counts;
mod rows;
mod stratify;
mod student;

pub use calibration::{Calibration, Method};
pub use comparison::{FoldComparison, PairedComparison};
pub use conformal::{Conformal, Rule, coverage, mean_size};
pub use confusion::{ClassScores, Confusion};
pub use division::Division;
pub use draws::DrawnAccuracy;
pub use few_shot::FewShot;
pub use folds::{Fold, Folds};
pub use forecast::{CurvePoint, Forecast, LearningCurve};
pub use groups::{GroupScores, group_scores};
pub use interval::{Interval, percentile, wilson};
pub use judgeable::Judgeable;
pub(crate) use ledoit_wolf::ledoit_wolf;
pub use multi_label::{LabelReport, MultiLabelOptions, MultiLabelReport};
pub(crate) use ood::Vim;
pub use ood::{Detection, KEPT, Ood, Score};
pub use reliability::ReliabilityBin;
pub use report::{ClassReport, Options, Report, TopK};
pub use rows::argmax;
pub use stratify::{fold_label_sets, hold_out_label_sets};
