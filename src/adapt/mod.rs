//! Domain adaptation on frozen features: a labelled source domain, and a target domain whose labels are unknown.
//!
//! Every [`Method`] takes the same [`Domains`] and gives the same [`Adapted`]: the rows to fit a head on, and what stands around
//! that head when it serves target rows.
//!
//! ```
//! use engraft::adapt::{Coral, Domains, Lesson, Linear, Method};
//! use engraft::head::Logistic;
//! use ndarray::array;
//!
//! let source = array![[0.0_f32, 0.1], [0.2, 0.0], [2.0, 2.1], [2.2, 2.0]];
//! let target = array![[5.0_f32, 0.1], [5.4, 0.0], [9.0, 2.1], [9.4, 2.0]];
//! let domains = Domains::new(source.view(), &[0, 0, 1, 1], target.view())?;
//! let learn = |lesson: Lesson| {
//!     let head = Logistic::new().fit_watched(lesson.x, lesson.labels, &())?.head;
//!     Ok(Linear { weights: head.weights().to_owned(), intercepts: head.intercepts().to_owned() })
//! };
//! let adapted = Method::Coral(Coral::default()).fit(&domains, &learn, &())?;
//! let head = adapted.served(&domains, &learn, &())?;
//! assert!(head.probabilities(target.view())[[3, 1]] > 0.5);
//! # Ok::<(), engraft::Error>(())
//! ```

mod adapted;
mod affine;
mod choose;
mod domains;
mod kernel;
mod label_shift;
mod linear;
mod method;
mod moments;
mod out_of_fold;
mod reweight;
mod self_training;
mod shift;
mod subspace;
mod test_time;
mod transport;

pub use adapted::{Adapted, Serving, Training, TrainingSet};
pub use affine::Affine;
pub use choose::{
    Candidate, Choice, Criteria, Passed, Reason, WeightedRisk, choose, mean_entropy, mutual_information,
    soft_neighbourhood_density,
};
pub use domains::{Domains, together};
pub use label_shift::{LabelShift, PriorEstimator, Priors, black_box_priors, likeliest_priors};
pub use linear::{Learn, Lesson, Linear};
pub use method::{Group, Method};
pub use moments::{Coral, LinearTransport, Shrinkage};
pub use reweight::{Discriminator, Judged, Kliep, MeanMatching, effective_sample_size};
pub use self_training::{LabelSpreading, PseudoLabels};
pub use shift::{
    ClassShift, Discrepancy, Separability, Shift, ShiftOptions, class_shifts, mean_discrepancy, separability,
};
pub use subspace::{Dimension, SubspaceAlignment, TransferComponents};
pub use test_time::{Centroids, Prototypes, Templates};
pub use transport::{JointTransport, SinkhornTransport};
