//! How candidates are told apart.

use ndarray::{Array1, Array2};
use serde::Serialize;

use super::Passed;
use super::candidate::Candidate;
use crate::adapt::linear::first_greatest;
use crate::adapt::method::Method;
use crate::error::{Error, Result};

/// What was tried, and what is taken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The name of the method that is taken.
    pub chosen: &'static str,
    /// What decided.
    pub reason: Reason,
    /// All that could be tried, in the order they were given in.
    pub candidates: Vec<Candidate>,
    /// Those that could not.
    pub passed: Vec<Passed>,
    /// The target rows that they were tried on.
    #[serde(skip)]
    pub rows: Vec<usize>,
}

impl Choice {
    pub(super) fn of(mut candidates: Vec<Candidate>, passed: Vec<Passed>, rows: Vec<usize>) -> Result<Self> {
        agree(&mut candidates);
        let known = |candidate: &Candidate| candidate.criteria.known_log_loss.map(|loss| -loss);
        let (chosen, reason) = match candidates.iter().any(|candidate| known(candidate).is_some()) {
            true => {
                let losses: Vec<f64> =
                    candidates.iter().map(|candidate| known(candidate).unwrap_or(f64::NEG_INFINITY)).collect();
                (first_greatest(losses.iter().copied().collect::<Array1<f64>>().view()), Reason::KnownRows)
            }
            false => unsupervised(&candidates),
        };
        let Some(chosen) = candidates.get(chosen).map(|chosen| chosen.method) else {
            let why: Vec<String> =
                passed.iter().map(|passed| format!("{}: {}", passed.method, passed.reason)).collect();
            return Err(Error::Data(format!("no method of adaptation could be tried: {}", why.join("; "))));
        };
        Ok(Self { chosen, reason, candidates, passed, rows })
    }
}

/// The candidate of the best mean rank by agreement with all and by circular validation; of "none" where it is not better than that in
/// both. The two err in different ways: the first follows the many, the second judges each by itself, on labels that are known.
fn unsupervised(candidates: &[Candidate]) -> (usize, Reason) {
    let agreement: Vec<f64> = candidates.iter().map(|candidate| candidate.criteria.ensemble_agreement).collect();
    let circular: Vec<f64> =
        candidates.iter().map(|candidate| candidate.criteria.circular.unwrap_or(f64::NEG_INFINITY)).collect();
    let ranks: Array1<f64> = ranks(&agreement).iter().zip(ranks(&circular)).map(|(a, b)| -(a + b)).collect();
    let best = if ranks.is_empty() { 0 } else { first_greatest(ranks.view()) };
    match candidates.iter().position(|candidate| candidate.method == Method::Unadapted.name()) {
        Some(none) if best == none || agreement[best] <= agreement[none] || circular[best] <= circular[none] => {
            (none, Reason::NothingBetter)
        }
        _ => (best, Reason::Unsupervised),
    }
}

/// How many values are greater than each, and half of those that are equal to it: 0 is the best.
fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let greater = values.iter().filter(|other| *other > value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        greater + 0.5 * (equal - 1.0)
    };
    values.iter().map(rank).collect()
}

/// Tells each how far it agrees with all of them together.
fn agree(candidates: &mut [Candidate]) {
    let Some(first) = candidates.first() else { return };
    let mut sum = Array2::<f64>::zeros(first.probabilities.dim());
    candidates.iter().for_each(|candidate| sum += &candidate.probabilities);
    let together: Vec<usize> = sum.rows().into_iter().map(first_greatest).collect();
    for candidate in candidates {
        let said = candidate.probabilities.rows().into_iter().map(first_greatest);
        let same = said.zip(&together).filter(|(said, together)| said == *together).count();
        candidate.criteria.ensemble_agreement = same as f64 / together.len() as f64;
    }
}

/// What a choice was decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The log loss on target rows whose class is known.
    KnownRows,
    /// Nothing speaks clearly enough for another method than none.
    NothingBetter,
    /// The criteria that need no labels.
    Unsupervised,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::Criteria;

    fn candidate(method: &'static str, first: f64, circular: Option<f64>, known_log_loss: Option<f64>) -> Candidate {
        let row = [first, 1.0 - first];
        Candidate {
            method,
            criteria: Criteria {
                entropy: 0.0,
                mutual_information: 0.0,
                density: 0.0,
                circular,
                importance_weighted_error: None,
                deep_embedded_error: None,
                effective_rows: None,
                ensemble_agreement: 0.0,
                known_log_loss,
                known_accuracy: None,
            },
            probabilities: Array2::from_shape_fn((4, 2), |(_, class)| row[class]),
        }
    }

    fn chosen(candidates: Vec<Candidate>) -> (&'static str, Reason) {
        let choice = Choice::of(candidates, Vec::new(), (0..4).collect()).unwrap();
        (choice.chosen, choice.reason)
    }

    #[test]
    fn a_method_must_be_better_than_none_in_both() {
        let none = candidate("none", 0.4, Some(0.8), None);
        let others = |circular| [candidate("coral", 0.9, circular, None), candidate("kmm", 0.9, Some(0.5), None)];
        let with = |circular| std::iter::once(none.clone()).chain(others(circular)).collect();
        assert_eq!(chosen(with(Some(0.9))), ("coral", Reason::Unsupervised));
        assert_eq!(chosen(with(Some(0.8))), ("none", Reason::NothingBetter));
        assert_eq!(chosen(with(None)), ("none", Reason::NothingBetter));
        // Alike in all: the first, which is none.
        assert_eq!(chosen(vec![none.clone(), candidate("em", 0.4, Some(0.8), None)]), ("none", Reason::NothingBetter));
    }

    #[test]
    fn known_rows_decide_where_there_are_some() {
        let none = candidate("none", 0.9, Some(0.9), Some(0.5));
        assert_eq!(chosen(vec![none, candidate("em", 0.1, None, Some(0.2))]), ("em", Reason::KnownRows));
    }

    #[test]
    fn without_a_candidate_the_reasons_are_told() {
        let passed = vec![Passed { method: "coral", reason: "too few rows".into() }];
        let error = Choice::of(Vec::new(), passed, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("coral: too few rows"), "{error}");
    }
}
