//! The evaluation as one HTML page that needs nothing beside itself: no network, light and dark, printable.

mod chart;
mod classes;
mod confusion;
mod curve;
mod embedding;
mod figures;
mod headline;
mod ink;
mod map;
mod mistakes;
mod page;
mod provenance;
mod reliability;

pub use embedding::{EmbeddingMap, MOST_POINTS};
pub use figures::{Figure, figures};
pub use mistakes::{MOST_MISTAKES, worst};
pub use page::{CurvePoint, Page, Preview, Row, render};
