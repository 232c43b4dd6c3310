//! What a tuning came to.

use std::path::PathBuf;

use serde::Serialize;

use super::super::results::table;
use crate::counted::counted;
use crate::eval::{Interval, PairedComparison, Report};
use crate::export::Agreement;
use crate::tune::{End, Epoch};

/// What was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Delivered {
    Tuned,
    Probe,
}

/// How good a model is on the rows that were held out.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    accuracy: f64,
    accuracy_interval: Interval,
    macro_f1: f64,
    log_loss: f64,
}

impl From<&Report> for Figures {
    fn from(report: &Report) -> Self {
        let Report { accuracy, accuracy_interval, macro_f1, log_loss, .. } = *report;
        Self { accuracy, accuracy_interval, macro_f1, log_loss }
    }
}

/// Both models on the rows that were held out.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) probe: Figures,
    pub(super) tuned: Figures,
    /// The tuned model less the probe.
    pub(super) comparison: PairedComparison,
}

#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) model: PathBuf,
    pub(super) card: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tokenizer: Option<PathBuf>,
    /// Bytes of the model.
    pub(super) size: u64,
    pub(super) delivered: Delivered,
    /// Where the tail begins, how many of its tensors were trained, and how many numbers these have.
    pub(super) from: String,
    pub(super) trained_tensors: usize,
    pub(super) trained_parameters: usize,
    pub(super) classes: usize,
    pub(super) n_train: usize,
    pub(super) n_validation: usize,
    pub(super) n_held_out: usize,
    /// The tail here and in ONNX Runtime: the greatest difference of logits, as a share of the greatest.
    pub(super) gate_before: f64,
    pub(super) gate_after: f64,
    /// The state before training, then each epoch; held out are here the validation rows.
    pub(super) history: Vec<Epoch>,
    pub(super) best_epoch: usize,
    pub(super) end: End,
    /// Where rows were held out.
    #[serde(flatten)]
    pub(super) compared: Option<Compared>,
    pub(super) agreement: Agreement,
    pub(super) seconds: f64,
}

impl Outcome {
    pub(super) fn text(&self) -> String {
        let best = |epoch: usize| if epoch == self.best_epoch { "best" } else { "" };
        let row = |(epoch, state): (usize, &Epoch)| {
            vec![
                epoch.to_string(),
                state.training_loss.map_or_else(String::new, |loss| format!("{loss:.4}")),
                format!("{:.4}", state.held_out_loss),
                format!("{:.4}", state.held_out_accuracy),
                best(epoch).to_owned(),
            ]
        };
        let header = ["epoch", "training loss", "validation loss", "validation accuracy", ""];
        let history = table(&header, self.history.iter().enumerate().map(row));
        let compared = self.compared.as_ref().map_or_else(
            || "no rows were held out, so nothing says whether tuning paid".to_owned(),
            |compared| compared.text(self.n_held_out, self.best_epoch),
        );
        let what = match self.delivered {
            Delivered::Tuned => "the tuned model",
            Delivered::Probe => "the probe: tuning was no better on the validation rows",
        };
        let beside = self.tokenizer.iter().chain([&self.card]).map(|path| path.display().to_string());
        format!(
            "{history}\n\n{} behind {}, {:.2} million numbers, trained on {}, {} for validation\n\n{compared}\n\n\
             {:.1} MB, {what}: {}\nbeside it: {}",
            counted(self.trained_tensors, "tensor"),
            self.from,
            self.trained_parameters as f64 / 1e6,
            counted(self.n_train, "row"),
            self.n_validation,
            self.size as f64 / 1e6,
            self.model.display(),
            beside.collect::<Vec<_>>().join(", ")
        )
    }
}

impl Compared {
    fn text(&self, n: usize, best_epoch: usize) -> String {
        let row = |name: &str, figures: &Figures| {
            let [low, high] = figures.accuracy_interval;
            vec![
                name.to_owned(),
                format!("{:.4}   [{low:.4}, {high:.4}]", figures.accuracy),
                format!("{:.4}", figures.macro_f1),
                format!("{:.4}", figures.log_loss),
            ]
        };
        let on = format!("on {n} held-out rows");
        let header = [on.as_str(), "accuracy and 95 % interval", "macro F1", "log loss"];
        if best_epoch == 0 {
            let table = table(&header, [row("probe", &self.probe)]);
            return format!(
                "{table}\nno epoch was better on the validation rows than the probe that tuning started from"
            );
        }
        let rows = [row("probe", &self.probe), row("tuned", &self.tuned)];
        let PairedComparison { difference, difference_interval: [low, high], .. } = self.comparison;
        let verdict = match (low > 0.0, high < 0.0) {
            (true, _) => "tuning paid",
            (_, true) => "tuning made it worse: keep the probe, or tune with a lower --rate",
            _ => "the difference is within chance: tuning did not pay on these rows",
        };
        format!("{}\ntuned less probe: {difference:+.4}   [{low:+.4}, {high:+.4}]; {verdict}", table(&header, rows))
    }
}
