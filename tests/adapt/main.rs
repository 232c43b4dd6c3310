//! Domain adaptation against the named peers; the scripts are in `tests/golden/adapt/`.

#[path = "../support/close.rs"]
mod close;
mod hard_cases;
mod label_shift;
mod moments;
mod reweight;
mod self_training;
mod shift;
mod subspace;
mod test_time;
mod transport;

use engraft::adapt::{Adapted, Domains, Lesson, Linear, Method};
use engraft::head::{Logistic, Samples, Scaling};
use ndarray::{Array2, ArrayView2};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A pair of domains as `domains.py` lists it.
#[derive(Deserialize)]
struct Pair {
    columns: usize,
    source: Vec<f32>,
    labels: Vec<usize>,
    target: Vec<f32>,
}

impl Pair {
    fn source(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.source.len() / self.columns, self.columns), &self.source).unwrap()
    }

    fn target(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.target.len() / self.columns, self.columns), &self.target).unwrap()
    }

    fn domains(&self) -> Domains<'_> {
        Domains::new(self.source(), &self.labels, self.target()).unwrap()
    }
}

/// The cases of a golden file, of which there are so many.
fn cases<Case: DeserializeOwned>(golden: &str, count: usize) -> Vec<Case> {
    #[derive(Deserialize)]
    struct Golden<Case> {
        cases: Vec<Case>,
    }
    let golden: Golden<Case> = serde_json::from_str(golden).unwrap();
    assert_eq!(golden.cases.len(), count);
    golden.cases
}

/// scikit-learn's `LogisticRegression()`.
fn logistic(lesson: Lesson) -> engraft::Result<Linear> {
    let fit = Logistic::new().alpha(1.0).scaling(Scaling::None).tolerance(1e-9);
    let samples = Samples::new(lesson.x, lesson.labels);
    let samples = match lesson.weights {
        Some(weights) => samples.weighted(weights),
        None => samples,
    };
    let head = fit.fit_samples(samples, &())?.head;
    Ok(Linear { weights: head.weights().to_owned(), intercepts: head.intercepts().to_owned() })
}

/// For methods that need no head.
fn unneeded(_: Lesson) -> engraft::Result<Linear> {
    panic!("no head is needed")
}

fn fit(method: Method, domains: &Domains) -> Adapted {
    method.fit(domains, &unneeded, &()).unwrap()
}

/// What a head would be fitted on.
fn trained_on(adapted: &Adapted, domains: &Domains) -> Array2<f32> {
    adapted.training_set(domains, &()).unwrap().x.into_owned()
}
