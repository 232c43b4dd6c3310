//! Methods that label target rows and learn from them.

mod neighbours;
mod pseudo;
mod spreading;

pub use pseudo::PseudoLabels;
pub use spreading::LabelSpreading;
