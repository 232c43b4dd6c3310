//! A small multilayer perceptron: builder, checked parameters, fit.

mod activation;
mod head;
mod network;
#[cfg(test)]
mod tests;

use std::f64::consts::PI;
use std::num::NonZeroUsize;

use linfa::ParamGuard;
use ndarray::{Array2, ArrayView2, Axis};

pub use activation::Activation;
pub(crate) use activation::GELU;
pub use head::MlpHead;

use self::network::Network;
use super::adamw::{AdamW, Moments};
use super::fitted::Head;
use super::standardize::{Scaler, Scaling};
use super::training::{count_classes, positive};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::source::grouped_split;

/// Fewest and most rows a step; between them an epoch has [`STEPS`].
const BATCH: [usize; 2] = [16, 256];
const STEPS: usize = 32;
/// One row in so many is held out to tell when to stop.
const HELD_OUT: usize = 10;
/// Epochs without a better loss on the rows held out after which a fit ends.
const PATIENCE: usize = 10;

/// A multilayer perceptron with one hidden layer, fitted by AdamW with a cosine schedule.
///
/// A tenth of each class' rows (rounded down) is held out; the weights of the epoch with the least cross-entropy there are kept, and
/// ten epochs without a better one end the fit. Where no class has ten rows, all are fitted for all epochs. Where rows are grouped,
/// whole groups are held out, a tenth of the rows or as near as groups allow; where none can be, all are fitted for all epochs.
///
/// ```
/// use engraft::head::Mlp;
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 1.0], [0.2, 0.9], [1.0, 0.1], [0.8, 0.0]];
/// let fitted = Mlp::new().fit_watched(x.view(), &[0, 0, 1, 1], &())?;
/// assert_eq!(fitted.head.classify(x.view())?, array![0, 0, 1, 1]);
/// # Ok::<(), engraft::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp(CheckedMlp);

/// The parameters of [`Mlp`] after their check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedMlp {
    width: NonZeroUsize,
    activation: Activation,
    scaling: Scaling,
    epochs: NonZeroUsize,
    learning_rate: f64,
    weight_decay: f64,
    label_smoothing: f64,
    dropout: f64,
    seed: u64,
}

/// A fitted head and how the fit went.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedMlp {
    /// The head, in the space of raw embeddings.
    pub head: Head,
    /// For each epoch, the mean loss over its steps, smoothing and dropout included.
    pub training_loss: Vec<f64>,
    /// After each epoch, the cross-entropy of the rows held out; empty where none are.
    pub held_out_loss: Vec<f64>,
    /// The epoch, from 0, whose weights the head has.
    pub best_epoch: usize,
}

impl Default for Mlp {
    fn default() -> Self {
        Self(CheckedMlp {
            width: NonZeroUsize::MIN.saturating_add(255),
            activation: Activation::default(),
            scaling: Scaling::default(),
            epochs: NonZeroUsize::MIN.saturating_add(99),
            learning_rate: 1e-3,
            weight_decay: 1e-2,
            label_smoothing: 0.0,
            dropout: 0.0,
            seed: 0,
        })
    }
}

impl Mlp {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Size of the hidden layer; 256 by default.
    pub fn width(mut self, width: NonZeroUsize) -> Self {
        self.0.width = width;
        self
    }

    /// What happens between the layers; GELU by default.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.0.activation = activation;
        self
    }

    /// How features are scaled; standardised by default.
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.0.scaling = scaling;
        self
    }

    /// Most passes over the data; 100 by default.
    pub fn epochs(mut self, epochs: NonZeroUsize) -> Self {
        self.0.epochs = epochs;
        self
    }

    /// Size of the first step, which falls to 0 along half a cosine; 1e-3 by default.
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.0.learning_rate = rate;
        self
    }

    /// Share of the weights that a step of size 1 takes away, 0 or more; 1e-2 by default.
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.0.weight_decay = decay;
        self
    }

    /// Share of each target that is spread evenly over the classes, at least 0 and below 1; 0 by default.
    pub fn label_smoothing(mut self, share: f64) -> Self {
        self.0.label_smoothing = share;
        self
    }

    /// Share of the hidden values that each step leaves out, at least 0 and below 1; 0 by default.
    pub fn dropout(mut self, share: f64) -> Self {
        self.0.dropout = share;
        self
    }

    /// Of the first weights, the rows held out, their order and the dropout; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }

    /// Checks the parameters and fits; see [`CheckedMlp::fit_watched`].
    ///
    /// # Errors
    /// [`Error::Usage`] when a parameter is out of range; those of the fit.
    pub fn fit_watched(&self, x: ArrayView2<f32>, labels: &[usize], progress: &dyn Progress) -> Result<FittedMlp> {
        self.check_ref()?.fit_watched(x, labels, progress)
    }

    /// Checks the parameters and fits; see [`CheckedMlp::fit_grouped`].
    ///
    /// # Errors
    /// As [`Mlp::fit_watched`].
    pub fn fit_grouped(
        &self,
        x: ArrayView2<f32>,
        (labels, groups): (&[usize], &[usize]),
        progress: &dyn Progress,
    ) -> Result<FittedMlp> {
        self.check_ref()?.fit_grouped(x, (labels, groups), progress)
    }
}

impl ParamGuard for Mlp {
    type Checked = CheckedMlp;
    type Error = Error;

    fn check_ref(&self) -> Result<&CheckedMlp> {
        positive("the learning rate", self.0.learning_rate)?;
        if !(self.0.weight_decay.is_finite() && self.0.weight_decay >= 0.0) {
            return Err(Error::Usage(format!("weight decay must be at least 0, got {}", self.0.weight_decay)));
        }
        for (name, share) in [("label smoothing", self.0.label_smoothing), ("dropout", self.0.dropout)] {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::Usage(format!("{name} must be at least 0 and below 1, got {share}")));
            }
        }
        Ok(&self.0)
    }

    fn check(self) -> Result<CheckedMlp> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl CheckedMlp {
    /// Fits a head on n×d features and n class indices `0..K` that each occur, on one thread.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows, no columns, fewer than two classes, a class without rows, or a value that is not
    /// finite; when the fit diverges. [`Error::Mismatch`] when there is another number of labels than rows.
    /// [`Error::Interrupted`].
    pub fn fit_watched(&self, x: ArrayView2<f32>, labels: &[usize], progress: &dyn Progress) -> Result<FittedMlp> {
        self.fit_on(x, labels, None, progress)
    }

    /// The same of rows in these n groups, of which none is both fitted and held out.
    ///
    /// # Errors
    /// As [`CheckedMlp::fit_watched`]; [`Error::Data`] when there is another number of groups than rows.
    pub fn fit_grouped(
        &self,
        x: ArrayView2<f32>,
        (labels, groups): (&[usize], &[usize]),
        progress: &dyn Progress,
    ) -> Result<FittedMlp> {
        self.fit_on(x, labels, Some(groups), progress)
    }

    fn fit_on(
        &self,
        x: ArrayView2<f32>,
        labels: &[usize],
        groups: Option<&[usize]>,
        progress: &dyn Progress,
    ) -> Result<FittedMlp> {
        let classes = count_classes(x, labels)?;
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let sides = match groups {
            None => hold_out(labels, classes, &mut rng),
            Some(groups) => hold_out_groups(labels, groups, &mut rng)?,
        };
        progress.begin("fit", Some(self.epochs.get() as u64));
        let fitted = self.descend(x, (labels, classes), sides, &mut rng, progress);
        progress.end();
        fitted
    }

    fn descend(
        &self,
        x: ArrayView2<f32>,
        (labels, classes): (&[usize], usize),
        (mut rows, held_out): (Vec<usize>, Vec<usize>),
        rng: &mut fastrand::Rng,
        progress: &dyn Progress,
    ) -> Result<FittedMlp> {
        let scaler = Scaler::fit(self.scaling, x);
        let batch = |rows: &[usize], smoothing: f64| {
            let raw = x.select(Axis(0), rows);
            let mut features = Array2::<f32>::zeros(raw.dim());
            scaler.apply(raw.view(), features.view_mut());
            let mut targets = Array2::from_elem((rows.len(), classes), (smoothing / classes as f64) as f32);
            rows.iter().zip(targets.rows_mut()).for_each(|(&row, mut to)| to[labels[row]] += (1.0 - smoothing) as f32);
            (features, targets)
        };
        let mut network = Network::<f32>::random(x.ncols(), self.width.get(), classes, rng);
        let mut moments = vec![Moments::default(); network.values().count()];
        let size = (rows.len() / STEPS).clamp(BATCH[0], BATCH[1]);
        let steps = (rows.len().div_ceil(size) * self.epochs.get()) as f64;
        let mut step = 0.0;
        let (mut training_loss, mut held_out_loss) = (Vec::new(), Vec::new());
        let mut best = (f64::INFINITY, 0, network.clone());
        for epoch in 0..self.epochs.get() {
            rng.shuffle(&mut rows);
            let mut total = 0.0;
            for rows in rows.chunks(size) {
                if progress.interrupted() {
                    return Err(Error::Interrupted);
                }
                let (features, targets) = batch(rows, self.label_smoothing);
                let kept = self.kept(rows.len(), rng);
                let (loss, gradient) = network.loss(features.view(), targets.view(), self.activation, kept.as_ref());
                let rate = self.learning_rate * 0.5 * (1.0 + (PI * step / steps).cos());
                step += 1.0;
                network.descend(&gradient, AdamW::step(step as i32, rate), &mut moments, self.weight_decay);
                total += loss * rows.len() as f64;
            }
            training_loss.push(total / rows.len() as f64);
            let mut loss = 0.0;
            for rows in held_out.chunks(BATCH[1]) {
                let (features, targets) = batch(rows, 0.0);
                loss += network.cross_entropy(features.view(), targets.view(), self.activation);
            }
            if !(total + loss).is_finite() {
                return Err(Error::Data("the fit diverged: lower the learning rate, or scale the features".into()));
            }
            progress.advance(1);
            if held_out.is_empty() {
                best = (loss, epoch, network.clone());
                continue;
            }
            held_out_loss.push(loss / held_out.len() as f64);
            if loss < best.0 {
                best = (loss, epoch, network.clone());
            } else if epoch - best.1 >= PATIENCE {
                break;
            }
        }
        let (_, best_epoch, network) = best;
        let head = MlpHead::unscaled(network, &scaler, self.activation)?.into();
        Ok(FittedMlp { head, training_loss, held_out_loss, best_epoch })
    }

    /// What the hidden values of a step are multiplied by: 0 or, to keep their mean, 1/(1 − dropout).
    fn kept(&self, rows: usize, rng: &mut fastrand::Rng) -> Option<Array2<f32>> {
        (self.dropout > 0.0).then(|| {
            Array2::from_shape_simple_fn((rows, self.width.get()), || {
                if rng.f64() < self.dropout { 0.0 } else { (1.0 / (1.0 - self.dropout)) as f32 }
            })
        })
    }
}

/// Rows to fit on and rows to hold out, a tenth of each class.
fn hold_out(labels: &[usize], classes: usize, rng: &mut fastrand::Rng) -> (Vec<usize>, Vec<usize>) {
    let mut of_class = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(row, &label)| of_class[label].push(row));
    let (mut fitted, mut held_out) = (Vec::new(), Vec::new());
    for mut rows in of_class {
        rng.shuffle(&mut rows);
        let count = rows.len() / HELD_OUT;
        held_out.extend(rows.drain(..count));
        fitted.extend(rows);
    }
    (fitted, held_out)
}

/// The same by whole groups.
fn hold_out_groups(labels: &[usize], groups: &[usize], rng: &mut fastrand::Rng) -> Result<(Vec<usize>, Vec<usize>)> {
    let names: Vec<Option<String>> = labels.iter().map(|label| Some(label.to_string())).collect();
    match grouped_split(&names, groups, 1.0 / HELD_OUT as f64, rng.u64(..)) {
        Ok(split) => Ok((split.train, split.test)),
        // Each group has all rows of some class.
        Err(_) if groups.len() == labels.len() => Ok(((0..labels.len()).collect(), Vec::new())),
        Err(e) => Err(e),
    }
}
