//! Methods that build a new head from the target rows and what the source's head says of them.

mod centroids;
mod confidence;
mod prototypes;
mod templates;

pub use centroids::Centroids;
pub use prototypes::Prototypes;
pub use templates::Templates;

use super::adapted::{Adapted, Serving, Training};
use super::domains::Domains;
use super::linear::{Learn, Lesson, Linear};
use crate::error::Result;
use crate::logits::first_maximum;

/// The head of the source rows as they are.
fn source_head(domains: &Domains, learn: &Learn) -> Result<Linear> {
    learn(Lesson { x: domains.source, labels: domains.labels, weights: None })
}

/// `head` in the place of any other, as confident on the target rows as `reference` is.
fn served_by(domains: &Domains, head: Linear, reference: &Linear) -> Adapted {
    let head = confidence::as_confident(head, reference, domains.target);
    let said = head.probabilities(domains.target);
    let before = reference.probabilities(domains.target);
    let changed = said.rows().into_iter().zip(before.rows()).filter(|(a, b)| first_maximum(*a) != first_maximum(*b));
    let mut adapted = Adapted::new(Training::Source, Serving::Head(head));
    adapted.figures.push(("relabelled", changed.count() as f64));
    adapted.labelled = Some(said);
    adapted
}
