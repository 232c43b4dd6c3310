//! What every method gives: rows to fit a head on, and what is done to a target row to serve it.

use std::borrow::Cow;

use ndarray::{Array1, Array2, ArrayView2, Axis, CowArray, Ix2};

use super::affine::Affine;
use super::domains::Domains;
use super::linear::{Lesson, Linear};
use crate::error::Result;
use crate::progress::Progress;

/// An adaptation of two domains to one another.
///
/// A head is fitted on [`Adapted::training_set`]; what serves the target domain is that head with [`Adapted::serving`] around it,
/// which for a linear head is one linear head again: [`Adapted::served`].
#[derive(Debug, Clone, PartialEq)]
pub struct Adapted {
    /// What a head is to be fitted on.
    pub training: Training,
    /// What stands around the head, or in its place, when it serves.
    pub serving: Serving,
    /// What the method itself says of the target rows at hand, m×K probabilities; for methods that label them.
    pub labelled: Option<Array2<f64>>,
    /// The share of each class in the target, where the method estimates them.
    pub priors: Option<Vec<f64>>,
    /// Numbers that tell how it went, by a name in snake_case.
    pub figures: Vec<(&'static str, f64)>,
    /// What the user should know, in words.
    pub notes: Vec<String>,
}

/// What a head is fitted on.
#[derive(Debug, Clone, PartialEq)]
pub enum Training {
    /// The source rows as they are.
    Source,
    /// The source rows, mapped towards the target: serving costs nothing.
    Mapped(Affine),
    /// The source rows, each moved on its own: n×k features. Unless a map serves, they lie where target rows do.
    Moved(Array2<f32>),
    /// The source rows as they are, each counting so much; 1 on average.
    Weighted(Vec<f64>),
    /// Other rows in the place of the source's.
    Rows {
        /// Features, as wide as the domains'.
        x: Array2<f32>,
        /// Class indices.
        labels: Vec<usize>,
        /// How much each row counts.
        weights: Vec<f64>,
    },
}

/// What stands around the head when it serves.
#[derive(Debug, Clone, PartialEq)]
pub enum Serving {
    /// Nothing: target rows reach it as they are.
    AsIs,
    /// A map of target rows, which folds into the first layer of a head.
    Mapped(Affine),
    /// Logits z become `scale·z + logarithms`: calibrated, and corrected by the logarithms of the K ratios of target to source priors.
    /// Both fold into a linear head.
    Priors {
        /// One over the temperature; above 0.
        scale: f64,
        /// K.
        logarithms: Vec<f64>,
    },
    /// This linear head, whatever was fitted.
    Head(Linear),
}

/// Rows to fit a head on.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSet<'a> {
    /// n×k features.
    pub x: CowArray<'a, f32, Ix2>,
    /// n class indices.
    pub labels: Cow<'a, [usize]>,
    /// How much each row counts; all alike where there are none.
    pub weights: Option<Cow<'a, [f64]>>,
}

impl TrainingSet<'_> {
    /// The same, borrowed.
    pub fn lesson(&self) -> Lesson<'_> {
        Lesson { x: self.x.view(), labels: &self.labels, weights: self.weights.as_deref() }
    }
}

impl Serving {
    /// The n×k features that the head gets for n×d features of the target domain.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    ///
    /// # Panics
    /// When the features have another width than the domains.
    pub fn features<'x>(&self, x: ArrayView2<'x, f32>, progress: &dyn Progress) -> Result<CowArray<'x, f32, Ix2>> {
        Ok(match self {
            Serving::AsIs | Serving::Priors { .. } | Serving::Head(_) => x.into(),
            Serving::Mapped(map) => map.apply(x, progress)?.into(),
        })
    }

    /// The m×K logits that stand at the end for m×K logits of the head: others only where the priors are.
    pub fn corrected(&self, mut logits: Array2<f64>) -> Array2<f64> {
        if let Serving::Priors { scale, logarithms } = self {
            for mut row in logits.rows_mut() {
                row.iter_mut().zip(logarithms).for_each(|(z, log)| *z = *z * scale + log);
            }
        }
        logits
    }

    /// The one linear head of raw target features that does what this does with `fitted`.
    pub fn around(&self, fitted: &Linear) -> Linear {
        match self {
            Serving::AsIs => fitted.clone(),
            Serving::Mapped(map) => map.fold(fitted),
            Serving::Priors { scale, logarithms } => {
                let logarithms = logarithms.iter().copied().collect::<Array1<f64>>();
                Linear {
                    weights: fitted.weights.mapv(|w| (f64::from(w) * scale) as f32),
                    intercepts: (fitted.intercepts.mapv(|b| f64::from(b) * scale) + logarithms).mapv(|b| b as f32),
                }
            }
            Serving::Head(head) => head.clone(),
        }
    }
}

impl Adapted {
    pub(super) fn new(training: Training, serving: Serving) -> Self {
        Self { training, serving, labelled: None, priors: None, figures: Vec::new(), notes: Vec::new() }
    }

    /// Whether the features of either domain are others afterwards.
    pub fn moves(&self) -> bool {
        matches!(self.training, Training::Mapped(_) | Training::Moved(_)) || matches!(self.serving, Serving::Mapped(_))
    }

    /// Where the source rows lie, n×k, among what [`Serving::features`] gives for target rows.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    ///
    /// # Panics
    /// When the domains are not those that were adapted.
    pub fn source<'a>(&'a self, domains: &'a Domains, progress: &dyn Progress) -> Result<CowArray<'a, f32, Ix2>> {
        Ok(match &self.training {
            Training::Mapped(map) => map.apply(domains.source, progress)?.into(),
            Training::Moved(x) => x.view().into(),
            Training::Source | Training::Weighted(_) | Training::Rows { .. } => domains.source.view().into(),
        })
    }

    /// The rows to fit a head on, with the known target rows behind them, each counting 1.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::Error::Interrupted).
    ///
    /// # Panics
    /// When the domains are not those that were adapted.
    pub fn training_set<'a>(&'a self, domains: &'a Domains, progress: &dyn Progress) -> Result<TrainingSet<'a>> {
        let mut labels = Cow::Borrowed(domains.labels);
        let mut weights = None;
        let mut x = match &self.training {
            Training::Source | Training::Mapped(_) | Training::Moved(_) => self.source(domains, progress)?,
            Training::Weighted(given) => {
                weights = Some(Cow::Borrowed(&given[..]));
                self.source(domains, progress)?
            }
            Training::Rows { x, labels: own, weights: given } => {
                labels = Cow::Borrowed(own);
                weights = Some(Cow::Borrowed(given));
                x.view().into()
            }
        };
        if !domains.known.is_empty() {
            let rows: Vec<usize> = domains.known.iter().map(|&(row, _)| row).collect();
            let known = domains.target.select(Axis(0), &rows);
            let known = self.serving.features(known.view(), progress)?;
            let mut all = x.into_owned();
            all.append(Axis(0), known.view()).map_err(|e| crate::Error::Data(e.to_string()))?;
            x = all.into();
            labels.to_mut().extend(domains.known.iter().map(|&(_, class)| class));
            if let Some(weights) = &mut weights {
                weights.to_mut().resize(labels.len(), 1.0);
            }
        }
        Ok(TrainingSet { x, labels, weights })
    }

    /// The linear head of raw target features that `learn` and the adaptation make together.
    ///
    /// # Errors
    /// Those of `learn`; [`Error::Interrupted`](crate::Error::Interrupted).
    pub fn served(&self, domains: &Domains, learn: &super::Learn, progress: &dyn Progress) -> Result<Linear> {
        if let Serving::Head(head) = &self.serving {
            return Ok(head.clone());
        }
        let fitted = learn(self.training_set(domains, progress)?.lesson())?;
        Ok(self.serving.around(&fitted))
    }
}
