//! Which method, without the target's labels.

mod candidate;
mod criteria;
mod rule;

pub use candidate::{Candidate, Criteria};
pub use criteria::{WeightedRisk, mean_entropy, mutual_information, soft_neighbourhood_density};
pub use rule::{Choice, Reason};

use fastrand::Rng;
use ndarray::{Array2, Axis};
use serde::Serialize;

use super::domains::{Domains, drawn};
use super::linear::Learn;
use super::method::Method;
use super::shift::Shift;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Rows of a domain that methods are tried on at most: some compare every row with every other.
const MOST_ROWS: usize = 2_000;

/// A method that could not be tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Passed {
    /// Its name.
    pub method: &'static str,
    /// Why.
    pub reason: String,
}

/// Tries methods and chooses one. Of more than 2,000 rows of a domain as many are drawn with `seed`, every class of the source keeping its
/// share; known target rows stay. `shift` is how the domains differ: where that is by the shares of the classes alone, methods that move
/// rows are passed over, for they take the shares to be the same (of ten classes of Fashion-MNIST with other shares, transport came
/// back best and was 26 points worse on the target).
///
/// # Errors
/// When no method is left, or "do not adapt" is not among them and cannot be tried; those of `learn`; [`Error::Interrupted`].
pub fn choose(
    methods: &[Method],
    (domains, shift): (&Domains, &Shift),
    learn: &Learn,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Choice> {
    let drawn = Drawn::of(domains, seed);
    let domains = &drawn.domains()?;
    let (mut candidates, mut passed) = (Vec::new(), Vec::new());
    progress.begin("trying methods", Some(methods.len() as u64));
    for method in methods {
        if shift.is_of_shares_alone() && method.group().moves_rows() {
            let reason = "the domains differ by the shares of their classes alone".to_owned();
            passed.push(Passed { method: method.name(), reason });
            progress.advance(1);
            continue;
        }
        match Candidate::try_on(method, domains, learn, seed, progress) {
            Ok(candidate) => candidates.push(candidate),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => passed.push(Passed { method: method.name(), reason: e.to_string() }),
        }
        progress.advance(1);
    }
    progress.end();
    Choice::of(candidates, passed, drawn.rows, drawn.labels.len())
}

/// Some rows of both domains.
struct Drawn {
    source: Array2<f32>,
    labels: Vec<usize>,
    target: Array2<f32>,
    known: Vec<(usize, usize)>,
    /// Which target rows these are.
    rows: Vec<usize>,
}

impl Drawn {
    fn of(domains: &Domains, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut rows_of = vec![Vec::new(); domains.classes];
        domains.labels.iter().enumerate().for_each(|(row, &class)| rows_of[class].push(row));
        let share = MOST_ROWS as f64 / domains.labels.len() as f64;
        let source = rows_of.into_iter().flat_map(|rows| {
            let most = (share * rows.len() as f64).ceil().max(2.0) as usize;
            drawn(rows.into_iter(), most, &mut rng)
        });
        let mut source: Vec<usize> = source.collect();
        source.sort_unstable();
        let is_known = |row: &usize| domains.known.iter().any(|(known, _)| known == row);
        let (mut target, others): (Vec<usize>, Vec<usize>) = (0..domains.target.nrows()).partition(is_known);
        target.extend(drawn(others.into_iter(), MOST_ROWS.saturating_sub(target.len()).max(1), &mut rng));
        target.sort_unstable();
        let place = |row: usize| target.binary_search(&row).ok();
        Self {
            labels: source.iter().map(|&row| domains.labels[row]).collect(),
            source: domains.source.select(Axis(0), &source),
            known: domains.known.iter().filter_map(|&(row, class)| Some((place(row)?, class))).collect(),
            target: domains.target.select(Axis(0), &target),
            rows: target,
        }
    }

    fn domains(&self) -> Result<Domains<'_>> {
        Domains::new(self.source.view(), &self.labels, self.target.view())?.with_known(&self.known)
    }
}
