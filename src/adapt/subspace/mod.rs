//! Methods that compare the domains in fewer dimensions.

mod alignment;
mod components;
mod dimension;

pub use alignment::SubspaceAlignment;
pub use components::TransferComponents;
pub use dimension::Dimension;
