//! Training a tail: epochs over cached activations, the best average of the weights kept.

#[cfg(test)]
mod tests;

use std::path::Path;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::activations::Activations;
use super::array::{Array, Value};
use super::average::{Average, values};
use super::checkpoint::{Checkpoint, State};
use super::loss::{cross_entropy, smoothed};
use super::mixup::{Mixup, identity, mixed};
use super::optimiser::{Optimiser, Pace, clip};
use super::program::Program;
use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::eval::{Calibration, Method};
use crate::progress::Progress;

/// How a tail is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Times that every sample is seen, at most. Default 10.
    pub epochs: usize,
    /// Samples a step. Default 16.
    pub batch: usize,
    /// The greatest learning rate; each weight's [`Pace`] multiplies it. Default 1e-4.
    pub rate: f64,
    /// The share of all steps in which the rate rises. Default 0.1.
    pub warm_up: f64,
    /// The share of the targets that all classes have alike. Default 0.
    pub label_smoothing: f64,
    /// The length that all gradients together are cut to. Default 1.
    pub clip: f64,
    /// Epochs that weights are averaged over: the averages are what is judged and kept; 0 averages none. Default 1.
    pub average: f64,
    /// Epochs without a better loss on what is held out, after which training ends. Default 3.
    pub patience: usize,
    /// Dropout before the head. Default: none.
    pub dropout: Option<Dropout>,
    /// Mixing of features before the head. Default: none.
    pub mixup: Option<Mixup>,
    /// What is drawn at random is drawn from it. Default 0.
    pub seed: u64,
}

/// Values of a vector that are left out at random, the others raised to make up for it (Srivastava et al. 2014). The program's
/// last input, or with mixup the one before, is what the vector is multiplied with: see [`Tail::with_factor`](super::Tail::with_factor).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// The share that is left out.
    pub share: f64,
    /// Length of the vector.
    pub width: usize,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 16,
            rate: 1e-4,
            warm_up: 0.1,
            label_smoothing: 0.0,
            clip: 1.0,
            average: 1.0,
            patience: 3,
            dropout: None,
            mixup: None,
            seed: 0,
        }
    }
}

/// What there is to learn from.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// The boundary's tensors of each sample, in the order of the program's inputs.
    pub activations: &'a Activations,
    /// The class of each sample.
    pub labels: &'a [usize],
    /// How many classes there are.
    pub classes: usize,
    /// What to learn from: for each the samples that are views of it, one of which is drawn in each epoch.
    pub train: &'a [Vec<usize>],
    /// The samples that tell when to stop.
    pub held_out: &'a [usize],
}

/// What an epoch came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The mean loss over the epoch, with smoothed labels, dropout and mixup; none before the first.
    pub training_loss: Option<f64>,
    /// The mean cross-entropy in nats on what is held out, of logits divided by [`temperature`](Self::temperature): a network that learns
    /// from few rows grows too sure of itself long before it stops getting better.
    pub held_out_loss: f64,
    /// The temperature, of 1 or more, at which that is least (Guo et al. 2017).
    pub temperature: f64,
    /// The share of it that is classified rightly.
    pub held_out_accuracy: f64,
}

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if let Some(loss) = self.training_loss {
            write!(f, "training loss {loss:.4}, ")?;
        }
        write!(f, "validation loss {:.4}, accuracy {:.4}", self.held_out_loss, self.held_out_accuracy)
    }
}

/// A trained tail.
#[derive(Debug)]
pub struct Tuned {
    /// The program with the averaged weights of the best epoch.
    pub program: Program<f32>,
    /// The state before training, then every epoch.
    pub history: Vec<Epoch>,
    /// The place in the history with the least loss on what is held out: 0 when training made nothing better, and then the weights are
    /// those that there were.
    pub best: usize,
    /// Why it ended.
    pub end: End,
}

impl Tuned {
    /// Divides the leaves of these names – matrix and intercepts of the last layer – by the temperature of the best epoch: the logits
    /// of the program are then those whose loss was told.
    pub fn cool(&mut self, names: &[&str]) {
        let inverse = self.history.get(self.best).map_or(1.0, |best| 1.0 / best.temperature) as f32;
        for leaf in self.program.leaves_mut().iter_mut().filter(|leaf| names.contains(&leaf.name())) {
            leaf.values_mut().into_iter().for_each(|values| values.values_mut().iter_mut().for_each(|v| *v *= inverse));
        }
    }
}

/// Why a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// After all epochs.
    Epochs,
    /// After as many epochs without a better one as patience allows.
    Patience,
    /// The user asked for it.
    Interrupted,
}

impl Training {
    /// Checks that the settings make sense.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the setting.
    pub fn check(&self) -> Result<()> {
        let share = |name: &str, value: f64| match (0.0..1.0).contains(&value) {
            true => Ok(()),
            false => Err(Error::Usage(format!("{name} is {value}, and must be at least 0 and less than 1"))),
        };
        share("the warm-up", self.warm_up)?;
        share("label smoothing", self.label_smoothing)?;
        share("dropout", self.dropout.map_or(0.0, |dropout| dropout.share))?;
        let positive = |name: &str, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Error::Usage(format!("{name} is {value}, and must be greater than 0"))),
        };
        positive("alpha of mixup", self.mixup.map_or(1.0, |mixup| mixup.alpha))?;
        positive("the learning rate", self.rate)?;
        positive("the limit of gradients", self.clip)?;
        positive("the number of epochs", self.epochs as f64)?;
        positive("the batch size", self.batch as f64)?;
        positive("patience", self.patience as f64)?;
        match self.average >= 0.0 && self.average.is_finite() {
            true => Ok(()),
            false => Err(Error::Usage(format!(
                "the epochs that weights are averaged over are {}, and must be 0 or more",
                self.average
            ))),
        }
    }

    /// Trains the leaves of `program`, each at its pace; the program gives `[n, classes]` logits. With a checkpoint, the
    /// state is written there after every epoch, and a training that was broken off goes on from it and comes to the same:
    /// `fingerprint` says what it is of.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Error::Data`] when there is nothing to learn from or to hold out, or training diverges; what
    /// reading activations, the program or the checkpoint fail with.
    pub fn fit(
        &self,
        mut program: Program<f32>,
        paces: Vec<Pace>,
        examples: Examples,
        checkpoint: Option<(&Path, &str)>,
        progress: &dyn Progress,
    ) -> Result<Tuned> {
        self.check()?;
        self.check_examples(&examples)?;
        let first: Vec<usize> = examples.train.iter().map(|views| views[0]).collect();
        let steps_an_epoch = batches(examples.activations, &first, self.batch).len();
        let mut average = Average::new(&program, self.average * steps_an_epoch as f64);
        let mut optimiser = Optimiser::new(&program, paces, steps_an_epoch);
        let mut state = State {
            fingerprint: checkpoint.map_or_else(String::new, |(_, fingerprint)| fingerprint.to_owned()),
            names: program.leaves().iter().map(|leaf| leaf.name().to_owned()).collect(),
            steps: 0,
            history: Vec::new(),
            best_epoch: 0,
        };
        let mut best = values(&program);
        let sizes: Vec<usize> = best.iter().map(Vec::len).collect();
        let found = checkpoint.map(|(path, _)| Checkpoint::read(path, &state, &sizes)).transpose()?.flatten();
        if let Some(found) = found {
            set(&mut program, &found.weights)?;
            optimiser.restore(found.moments, found.state.steps);
            average.restore(found.average);
            (best, state) = (found.best, found.state);
        } else {
            state.history.push(self.judged(&program, &examples, None)?);
        }
        progress.begin("tuning: epochs done", None);
        progress.advance(state.history.len() as u64 - 1);
        if state.history.len() > 1 {
            progress.note(&format!("going on after epoch {}", state.history.len() - 1));
        }
        let mut end = End::Epochs;
        while state.history.len() <= self.epochs {
            if state.history.len() - 1 - state.best_epoch >= self.patience {
                end = End::Patience;
                break;
            }
            let moving = (&mut program, &mut optimiser, &mut average);
            let loss = match self.epoch(moving, &examples, &state.history, progress) {
                Err(Error::Interrupted) => {
                    end = End::Interrupted;
                    break;
                }
                loss => loss?,
            };
            average.exchange(&mut program);
            let epoch = self.judged(&program, &examples, Some(loss))?;
            let least = state.history[state.best_epoch].held_out_loss;
            state.history.push(epoch);
            if epoch.held_out_loss < least {
                state.best_epoch = state.history.len() - 1;
                best = values(&program);
            }
            average.exchange(&mut program);
            state.steps = optimiser.steps();
            if let Some((path, _)) = checkpoint {
                let moments = optimiser.moments().to_vec();
                let (weights, average) = (values(&program), average.weights().to_vec());
                Checkpoint { state: state.clone(), weights, average, best: best.clone(), moments }.write(path)?;
            }
            progress.advance(1);
            progress.note(&format!("epoch {}: {epoch}", state.history.len() - 1));
        }
        progress.end();
        set(&mut program, &best)?;
        Ok(Tuned { program, history: state.history, best: state.best_epoch, end })
    }

    fn check_examples(&self, examples: &Examples) -> Result<()> {
        let Examples { activations, labels, classes, train, held_out } = examples;
        if train.is_empty() || held_out.is_empty() {
            let reason =
                format!("{} samples to learn from and {} held out: both are needed", train.len(), held_out.len());
            return Err(Error::Data(reason));
        }
        if train.iter().any(Vec::is_empty) {
            return Err(Error::Data("a sample to learn from has no views".into()));
        }
        let bad = train
            .iter()
            .flatten()
            .chain(*held_out)
            .find(|&&i| i >= activations.len() || labels.get(i).is_none_or(|l| l >= classes));
        match bad {
            Some(i) => Err(Error::Data(format!("sample {i} has no activations or no label among {classes}"))),
            None => Ok(()),
        }
    }

    /// The epoch after these, of which the first is the state before training: its mean loss. What is drawn depends on the seed and
    /// the epoch alone.
    fn epoch(
        &self,
        (program, optimiser, average): (&mut Program<f32>, &mut Optimiser, &mut Average),
        examples: &Examples,
        before: &[Epoch],
        progress: &dyn Progress,
    ) -> Result<f64> {
        let epoch = before.len();
        let mut rng =
            fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(epoch as u64));
        let view = |views: &Vec<usize>| if views.len() > 1 { views[rng.usize(..views.len())] } else { views[0] };
        let mut order: Vec<usize> = examples.train.iter().map(view).collect();
        rng.shuffle(&mut order);
        let mut batches = batches(examples.activations, &order, self.batch);
        rng.shuffle(&mut batches);
        let steps = batches.len() * self.epochs;
        let schedule = Schedule { warm_up: (steps as f64 * self.warm_up) as usize, steps };
        let mut total = 0.0;
        for (i, samples) in batches.iter().enumerate() {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let mut inputs = examples.activations.batch(samples)?;
            inputs.extend(self.dropout.map(|dropout| dropout.factors(samples.len(), &mut rng)));
            let labels: Vec<usize> = samples.iter().map(|&i| examples.labels[i]).collect();
            let mut shares = smoothed(&labels, examples.classes, self.label_smoothing);
            if let Some(mixup) = self.mixup {
                let matrix = mixup.matrix(samples.len(), &mut rng);
                shares = mixed(&matrix, &shares);
                inputs.push(matrix.into());
            }
            let trace = program.record(inputs)?;
            let (loss, gradient) = cross_entropy(logits(trace.outputs())?, &shares).map_err(Error::Data)?;
            if !loss.is_finite() {
                return Err(Error::Data(format!("the loss is {loss} in epoch {epoch}: lower the learning rate")));
            }
            let mut gradients = program.backward(trace, vec![Some(gradient)])?;
            optimiser.withhold(&mut gradients);
            clip(&mut gradients, self.clip);
            optimiser.step(program, &gradients, self.rate * schedule.at((epoch - 1) * batches.len() + i));
            average.take(program, optimiser.steps_of_each());
            total += loss * samples.len() as f64;
            let last =
                before.last().map_or_else(String::new, |last| format!(", validation {:.4}", last.held_out_accuracy));
            let done = (epoch - 1) as f64 + (i + 1) as f64 / batches.len() as f64;
            progress.state(&format!("epoch {epoch}, loss {loss:.4}{last}"), Some(done / self.epochs as f64));
        }
        Ok(total / examples.train.len() as f64)
    }

    /// How the program does on what is held out.
    fn judged(&self, program: &Program<f32>, examples: &Examples, training_loss: Option<f64>) -> Result<Epoch> {
        let (mut said, mut truth, mut right) = (Vec::new(), Vec::new(), 0);
        for samples in batches(examples.activations, examples.held_out, self.batch) {
            let mut inputs = examples.activations.batch(&samples)?;
            inputs.extend(self.dropout.map(|_| Value::Real(Array::scalar(1.0))));
            inputs.extend(self.mixup.map(|_| Value::Real(identity(samples.len()))));
            let outputs = program.run(inputs)?;
            let logits = logits(&outputs)?;
            let labels = samples.iter().map(|&i| examples.labels[i]);
            let rows = logits.values().chunks_exact(examples.classes);
            right += rows.zip(labels.clone()).filter(|(row, label)| is_first_maximum(row, *label)).count();
            said.extend_from_slice(logits.values());
            truth.extend(labels);
        }
        let n = truth.len();
        let said = ArrayView2::from_shape((n, examples.classes), &said).map_err(|e| Error::Data(e.to_string()))?;
        let fitted = Calibration::fit(Method::Temperature, said, &truth)?;
        let temperature = fitted.temperature().unwrap_or(1.0).max(1.0);
        let cooled =
            Array::new(vec![n, examples.classes], said.iter().map(|z| (f64::from(*z) / temperature) as f32).collect());
        let shares = smoothed(&truth, examples.classes, 0.0);
        let (held_out_loss, _) = cooled.and_then(|cooled| cross_entropy(&cooled, &shares)).map_err(Error::Data)?;
        Ok(Epoch { training_loss, held_out_loss, temperature, held_out_accuracy: right as f64 / n as f64 })
    }
}

impl Dropout {
    fn factors(self, rows: usize, rng: &mut fastrand::Rng) -> Value<f32> {
        let kept = (1.0 / (1.0 - self.share)) as f32;
        let mut factors = Array::filled(&[rows, self.width], 0.0);
        factors.values_mut().iter_mut().filter(|_| rng.f64() >= self.share).for_each(|f| *f = kept);
        Value::Real(factors)
    }
}

fn logits(outputs: &[Value<f32>]) -> Result<&Array<f32>> {
    let first = outputs.first().ok_or_else(|| Error::Data("the program gives nothing".into()))?;
    first.real().map_err(Error::Data)
}

fn is_first_maximum(row: &[f32], place: usize) -> bool {
    let (before, from) = row.split_at(place);
    before.iter().all(|z| *z < row[place]) && from.iter().all(|z| *z <= row[place])
}

/// The samples in their order, in batches of samples of one size.
fn batches(activations: &Activations, order: &[usize], size: usize) -> Vec<Vec<usize>> {
    let mut by_shape: std::collections::BTreeMap<usize, Vec<usize>> = Default::default();
    order.iter().for_each(|&sample| by_shape.entry(activations.shape(sample)).or_default().push(sample));
    by_shape.values().flat_map(|samples| samples.chunks(size).map(<[usize]>::to_vec)).collect()
}

fn set(program: &mut Program<f32>, values: &[Vec<f32>]) -> Result<()> {
    for (leaf, values) in program.leaves_mut().iter_mut().zip(values) {
        if let Some(known) = leaf.values_mut() {
            *known = Array::new(known.dims().to_vec(), values.clone()).map_err(Error::Data)?;
        }
    }
    Ok(())
}
