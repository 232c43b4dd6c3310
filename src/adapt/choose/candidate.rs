//! One method, tried on two domains and judged without the target's labels.

use ndarray::{Array2, Axis};
use serde::Serialize;

use super::super::adapted::{Adapted, Serving, Training};
use super::super::domains::Domains;
use super::super::linear::{Learn, Linear};
use super::super::method::Method;
use super::super::out_of_fold::out_of_fold;
use super::super::reweight::{Discriminator, effective_sample_size};
use super::criteria::{WeightedRisk, mean_entropy, mutual_information, soft_neighbourhood_density};
use crate::error::Result;
use crate::logits::first_maximum;
use crate::progress::Progress;

/// Folds of the source rows' losses.
const FOLDS: usize = 5;
/// Rows that a class must have been given for it to be learned from in reverse.
const REVERSIBLE: usize = 5;

/// A method with what can be said of it on these domains.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// As [`Method::name`] has it.
    pub method: &'static str,
    /// What its head says of the target.
    pub criteria: Criteria,
    /// m×K, of the target rows that it was tried on.
    #[serde(skip)]
    pub probabilities: Array2<f64>,
}

/// Figures of a head on a domain whose labels are unknown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Criteria {
    /// See [`mean_entropy`]: the lower the better.
    pub entropy: f64,
    /// See [`mutual_information`]: the higher the better.
    pub mutual_information: f64,
    /// See [`soft_neighbourhood_density`]: the higher the better.
    pub density: f64,
    /// Circular validation: the share of source rows that are right under a head that was adapted from the target, labelled as this
    /// head labels it, back to the source (Bruzzone and Marconcini, PAMI 32, 2010). None where the head gives fewer than two classes.
    pub circular: Option<f64>,
    /// [`WeightedRisk::importance_weighted`] of the errors on source rows out of fold: the lower the better. None where a method puts
    /// other rows, or another head, in their place.
    pub importance_weighted_error: Option<f64>,
    /// [`WeightedRisk::deep_embedded`] of the same.
    pub deep_embedded_error: Option<f64>,
    /// How many source rows those errors are worth: see [`effective_sample_size`].
    pub effective_rows: Option<f64>,
    /// The share of target rows that it gives the class which the mean of all candidates' probabilities gives: the higher the better
    /// (EnsV: Hu et al., "Towards reliable model selection for unsupervised domain adaptation", 2024).
    pub ensemble_agreement: f64,
    /// Mean log loss on the target rows whose class is known, which the judged head was not given; and the share it has right.
    pub known_log_loss: Option<f64>,
    /// The share of them that is right.
    pub known_accuracy: Option<f64>,
}

impl Candidate {
    /// Tries `method`. The head that is judged is not given the known target rows.
    ///
    /// # Errors
    /// As [`Method::fit`].
    pub fn try_on(
        method: &Method,
        domains: &Domains,
        learn: &Learn,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let known = domains.known;
        let domains = Domains { known: &[], ..*domains };
        let adapted = method.fit(&domains, learn, progress)?;
        let head = adapted.served(&domains, learn, progress)?;
        let probabilities = head.probabilities(domains.target);
        let said: Vec<usize> = probabilities.rows().into_iter().map(first_maximum).collect();
        let errors = errors(&adapted, &domains, learn, seed, progress)?;
        let risk = errors.as_ref().map(|(losses, weights)| WeightedRisk::of(losses, weights));
        let chance = |&(row, class): &(usize, usize)| probabilities[[row, class]].max(f64::MIN_POSITIVE).ln();
        let mean = |values: f64| (!known.is_empty()).then(|| values / known.len() as f64);
        Ok(Self {
            method: method.name(),
            criteria: Criteria {
                entropy: mean_entropy(probabilities.view()),
                mutual_information: mutual_information(probabilities.view()),
                density: soft_neighbourhood_density(probabilities.view(), progress)?,
                circular: circular(method, &domains, &said, learn, progress)?,
                importance_weighted_error: risk.map(|risk| risk.importance_weighted),
                deep_embedded_error: risk.map(|risk| risk.deep_embedded),
                effective_rows: errors.map(|(_, weights)| effective_sample_size(&weights)),
                ensemble_agreement: 0.0,
                known_log_loss: mean(-known.iter().map(chance).sum::<f64>()),
                known_accuracy: mean(known.iter().filter(|&&(row, class)| said[row] == class).count() as f64),
            },
            probabilities,
        })
    }
}

/// Whether the head errs on each source row, fitted without it, and how much the row counts in the target; none for methods that put
/// other rows or another head in the place of the source's.
fn errors(
    adapted: &Adapted,
    domains: &Domains,
    learn: &Learn,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
    if matches!(adapted.training, Training::Rows { .. }) || matches!(adapted.serving, Serving::Head(_)) {
        return Ok(None);
    }
    let set = adapted.training_set(domains, progress)?;
    let lesson = set.lesson();
    let logits = out_of_fold(lesson, domains.classes, (FOLDS, seed), learn, progress)?.mapv(f64::from);
    let logits = adapted.serving.corrected(logits);
    let weights = match &adapted.serving {
        Serving::Priors { logarithms, .. } => {
            of_mean_one(lesson.labels.iter().map(|&class| logarithms[class].exp()).collect())
        }
        _ => {
            let target = adapted.serving.features(domains.target, progress)?;
            let mapped = Domains::new(lesson.x.reborrow(), lesson.labels, target.view())?;
            match Discriminator::default().fit(&mapped, learn, progress)?.training {
                Training::Weighted(weights) => weights,
                _ => vec![1.0; lesson.labels.len()],
            }
        }
    };
    let wrong = logits
        .rows()
        .into_iter()
        .zip(lesson.labels)
        .map(|(row, &class)| f64::from(u8::from(first_maximum(row) != class)));
    Ok(Some((wrong.collect(), weights)))
}

fn of_mean_one(weights: Vec<f64>) -> Vec<f64> {
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    weights.into_iter().map(|weight| weight / mean).collect()
}

/// See [`Criteria::circular`].
fn circular(
    method: &Method,
    domains: &Domains,
    said: &[usize],
    learn: &Learn,
    progress: &dyn Progress,
) -> Result<Option<f64>> {
    let mut rows_of = vec![0; domains.classes];
    said.iter().for_each(|&class| rows_of[class] += 1);
    let kept: Vec<usize> = (0..domains.classes).filter(|&class| rows_of[class] >= REVERSIBLE).collect();
    if kept.len() < 2 {
        return Ok(None);
    }
    let place = |class: usize| kept.iter().position(|&kept| kept == class);
    let (rows, labels): (Vec<usize>, Vec<usize>) =
        said.iter().enumerate().filter_map(|(row, &class)| Some((row, place(class)?))).unzip();
    let target = domains.target.select(Axis(0), &rows);
    let reversed = Domains::new(target.view(), &labels, domains.source.reborrow())?;
    let head: Linear = method.fit(&reversed, learn, progress)?.served(&reversed, learn, progress)?;
    let probabilities: Array2<f64> = head.probabilities(domains.source);
    let right = probabilities
        .rows()
        .into_iter()
        .zip(domains.labels)
        .filter(|(row, class)| kept[first_maximum(row.view())] == **class);
    Ok(Some(right.count() as f64 / domains.labels.len() as f64))
}
