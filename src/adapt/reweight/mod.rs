//! Methods that weigh the source rows so that they stand for the target.

mod discriminator;
mod kliep;
mod kmm;
mod nonnegative;
mod weights;

pub use discriminator::{Discriminator, Judged};
pub use kliep::Kliep;
pub use kmm::MeanMatching;
pub use weights::effective_sample_size;
