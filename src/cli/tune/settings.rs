//! How the tail is trained: the flags.

use std::num::NonZeroUsize;

use super::super::inputs::{count, json_word};
use super::pass::Store;
use super::subject::CutAt;
use crate::error::{Error, Result};
use crate::tune::{Dropout, Kept, Pace, Tail, Training};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Tuning")]
pub(super) struct TuningArgs {
    /// Tune the last N blocks. A block begins at a tensor that all values go through and where a residual connection leaves, with a
    /// product or a convolution behind it; of transformers attention and what follows it are one
    #[arg(long, value_name = "N", value_parser = count, default_value = "1", conflicts_with = "from")]
    blocks: NonZeroUsize,
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
        if !(self.cache_limit > 0.0 && self.cache_limit.is_finite()) {
            return wrong("--cache-limit", "above 0", self.cache_limit);
        }
        self.training(1, 0).check()
    }

    pub(super) fn cut_at(&self) -> CutAt {
        self.from.clone().map_or(CutAt::Blocks(self.blocks.get()), CutAt::Tensor)
    }

    /// The training of a head that reads embeddings of this width.
    pub(super) fn training(&self, width: usize, seed: u64) -> Training {
        Training {
            epochs: self.epochs.get(),
            batch: self.batch.get(),
            rate: self.rate,
            label_smoothing: self.label_smoothing,
            patience: self.patience.get(),
            dropout: (self.dropout != 0.0).then_some(Dropout { share: self.dropout, width }),
            seed,
            ..Training::default()
        }
    }

    pub(super) fn paces(&self, tail: &Tail) -> Vec<Pace> {
        tail.weights().iter().map(|weight| Pace::of(weight.role, self.weight_decay, self.pull)).collect()
    }

    /// What the paces depend on.
    pub(super) fn strengths(&self) -> [f64; 2] {
        [self.weight_decay, self.pull]
    }

    pub(super) fn kept(&self) -> Kept {
        self.cache
    }

    pub(super) fn store(&self) -> Store {
        Store { kept: self.cache, limit: (self.cache_limit * 1e9) as u64 }
    }
}
