//! How candidates are told apart.

use ndarray::Array2;
use serde::Serialize;

use super::Passed;
use super::candidate::Candidate;
use crate::adapt::linear::first_greatest;
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
        let best = |score: &dyn Fn(&Candidate) -> f64| {
            candidates.iter().max_by(|a, b| score(a).total_cmp(&score(b))).map(|best| best.method)
        };
        let known = |candidate: &Candidate| candidate.criteria.known_log_loss.map_or(f64::NEG_INFINITY, |loss| -loss);
        let (chosen, reason) = match candidates.first().and_then(|any| any.criteria.known_log_loss) {
            Some(_) => (best(&known), Reason::KnownRows),
            None => (best(&|candidate| candidate.criteria.ensemble_agreement), Reason::Unsupervised),
        };
        let chosen = chosen.ok_or_else(|| {
            let why: Vec<String> =
                passed.iter().map(|passed| format!("{}: {}", passed.method, passed.reason)).collect();
            Error::Data(format!("no method of adaptation could be tried: {}", why.join("; ")))
        })?;
        Ok(Self { chosen, reason, candidates, passed, rows })
    }
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
