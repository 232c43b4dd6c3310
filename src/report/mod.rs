//! The evaluation, or an adaptation, as one HTML page that needs nothing beside itself: no network, light and dark, printable.

mod adaptation;
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
mod plane;
mod preview;
mod provenance;
mod reliability;
mod training;

pub use adaptation::{AdaptationPage, DomainMap, PageTable, render_adaptation};
pub use embedding::{EmbeddingMap, MOST_POINTS};
pub use figures::{Figure, figures, multi_label_figures};
pub use mistakes::{MOST_MISTAKES, MOST_PREVIEWS, wanted, worst};
pub use page::{CurvePoint, Page, Row, render};
pub use preview::Preview;
