//! How the tail is trained: the flags.

use std::num::NonZeroUsize;

use super::super::inputs::{count, json_word};
use super::pass::Store;
use super::subject::{CutAt, Trainee};
use crate::error::{Error, Result};
use crate::tune::{Dropout, Kept, Mixup, Pace, Training, Weight};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Tuning")]
pub(super) struct TuningArgs {
    /// Tune the last N blocks. A block begins at a tensor that all values go through and where a residual connection leaves, with a
    /// product or a convolution behind it; of transformers attention and what follows it are one [default: 3, or as many
    /// as there are and can be tuned]
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "from")]
    blocks: Option<NonZeroUsize>,
    /// Tune everything behind this tensor instead, one of `engraft graph --cuts`
    #[arg(long, value_name = "TENSOR")]
    from: Option<String>,
    /// Times that every row is learned from, at most
    #[arg(long, value_name = "N", value_parser = count, default_value = "10")]
    epochs: NonZeroUsize,
    /// Rows in a step
    #[arg(long, value_name = "N", value_parser = count, default_value = "16")]
    batch: NonZeroUsize,
    /// The greatest learning rate of AdamW: it rises in the first tenth of the steps and falls by a cosine
    #[arg(long, value_name = "RATE", default_value_t = 1e-4)]
    rate: f64,
    /// What the rate is multiplied with for each block further from the end than the last
    #[arg(long, value_name = "TIMES", default_value_t = 1.0)]
    block_rate: f64,
    /// What the rate of the head is multiplied with
    #[arg(long, value_name = "TIMES", default_value_t = 1.0)]
    head_rate: f64,
    /// Epochs after which the next block is trained too, from the last backwards (gradual unfreezing); 0 trains all from the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    unfreeze: usize,
    /// Train two factors of this rank for each matrix instead of the matrix, and no biases but the head's (LoRA); what they come to
    /// is added to the matrices in the file
    #[arg(long, value_name = "RANK", value_parser = count)]
    lora: Option<NonZeroUsize>,
    /// The share of itself, times the rate, that a matrix or filter loses with each step
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    weight_decay: f64,
    /// How strongly weights are pulled to where they started (L2-SP)
    #[arg(long, value_name = "STRENGTH", default_value_t = 0.0)]
    pull: f64,
    /// The share of the targets that all classes have alike
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    label_smoothing: f64,
    /// The share of the embedding that is left out at random before the head
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    dropout: f64,
    /// Mix the embeddings of two rows and their classes, with shares from Beta(ALPHA, ALPHA); 0 mixes none, 0.2 to 0.4 are usual
    #[arg(long, value_name = "ALPHA", default_value_t = 0.0)]
    mixup: f64,
    /// Views of each image to learn from: as it is, and others cut out and mirrored at random; each takes as much disk
    #[arg(long, value_name = "N", value_parser = count, default_value = "1")]
    views: NonZeroUsize,
    /// Epochs of steps that weights – with --lora the factors – are averaged over: the averages are what is validated and delivered; 0
    /// averages none
    #[arg(long, value_name = "EPOCHS", default_value_t = 1.0)]
    average: f64,
    /// Epochs without a better loss on the validation rows after which training ends
    #[arg(long, value_name = "N", value_parser = count, default_value = "3")]
    patience: NonZeroUsize,
    /// Share of the rows to train on that tells when to stop
    #[arg(long, value_name = "FRACTION", default_value_t = 0.2)]
    pub(super) validation: f64,
    /// How what the trunk gives is kept on disk: f32, or f16 in half the space
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = json_word::<Kept>)]
    cache: Kept,
    /// Gigabytes that this may take
    #[arg(long, value_name = "GB", default_value_t = 20.0)]
    cache_limit: f64,
}

impl TuningArgs {
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |flag: &str, must: &str, got: f64| Err(Error::Usage(format!("{flag} must be {must}, got {got}")));
        if !(self.validation > 0.0 && self.validation < 1.0) {
            return wrong("--validation", "above 0 and below 1", self.validation);
        }
        for (flag, value) in [("--weight-decay", self.weight_decay), ("--pull", self.pull)] {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(flag, "0 or more", value);
            }
        }
        for (flag, value) in [("--block-rate", self.block_rate), ("--head-rate", self.head_rate)] {
            if !(value > 0.0 && value.is_finite()) {
                return wrong(flag, "above 0", value);
            }
        }
        if !(self.cache_limit > 0.0 && self.cache_limit.is_finite()) {
            return wrong("--cache-limit", "above 0", self.cache_limit);
        }
        self.training(1, 0).check()
    }

    pub(super) fn cut_at(&self) -> CutAt {
        match (&self.from, self.blocks) {
            (Some(tensor), _) => CutAt::Tensor(tensor.clone()),
            (None, Some(count)) => CutAt::Blocks(count.get()),
            (None, None) => CutAt::UsualBlocks,
        }
    }

    /// The training of a head that reads embeddings of this width.
    pub(super) fn training(&self, width: usize, seed: u64) -> Training {
        Training {
            epochs: self.epochs.get(),
            batch: self.batch.get(),
            rate: self.rate,
            label_smoothing: self.label_smoothing,
            average: self.average,
            patience: self.patience.get(),
            dropout: (self.dropout != 0.0).then_some(Dropout { share: self.dropout, width }),
            mixup: (self.mixup != 0.0).then_some(Mixup { alpha: self.mixup }),
            seed,
            ..Training::default()
        }
    }

    /// The rank of the factors that are trained for each matrix, if they are.
    pub(super) fn lora(&self) -> Option<usize> {
        self.lora.map(NonZeroUsize::get)
    }

    pub(super) fn views(&self) -> usize {
        self.views.get()
    }

    pub(super) fn paces(&self, trainee: &Trainee) -> Vec<Pace> {
        let pace = |(weight, depth): (&Weight, &usize)| {
            let pace = Pace::of(weight.role, self.weight_decay, self.pull);
            // The head and the last block are trained from the start, and at the whole rate.
            let further = depth.saturating_sub(1);
            let times = if *depth == 0 { self.head_rate } else { self.block_rate.powi(further as i32) };
            Pace { rate: times, frozen_epochs: self.unfreeze.saturating_mul(further), ..pace }
        };
        trainee.tail.weights().iter().zip(&trainee.depths).map(pace).collect()
    }

    /// What the paces depend on.
    pub(super) fn strengths(&self) -> (Option<usize>, usize, [f64; 4]) {
        (self.lora(), self.unfreeze, [self.weight_decay, self.pull, self.block_rate, self.head_rate])
    }

    pub(super) fn kept(&self) -> Kept {
        self.cache
    }

    pub(super) fn store(&self) -> Store {
        Store { kept: self.cache, limit: (self.cache_limit * 1e9) as u64 }
    }
}
