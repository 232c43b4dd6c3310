//! The figures of a report by name, for pages and terminals alike.

use crate::eval::{Interval, MultiLabelReport, Report};

/// A figure that sums up all rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its 95 % interval, where there is one.
    pub interval: Option<Interval>,
}

fn figure(name: &str, value: f64, interval: Option<Interval>) -> Figure {
    Figure { name: name.to_owned(), value, interval }
}

/// The figures of a report, those that matter most first.
pub fn figures(report: &Report) -> Vec<Figure> {
    let mut figures = vec![
        figure("accuracy", report.accuracy, Some(report.accuracy_interval)),
        figure("balanced accuracy", report.balanced_accuracy, report.balanced_accuracy_interval),
        figure("macro F1", report.macro_f1, report.macro_f1_interval),
        figure("Matthews correlation", report.mcc, report.mcc_interval),
        figure("log loss", report.log_loss, report.log_loss_interval),
        figure("Brier score", report.brier, report.brier_interval),
        figure("calibration error", report.ece, report.ece_interval),
    ];
    figures.extend(report.roc_auc.map(|auc| figure("ROC AUC", auc, report.roc_auc_interval)));
    figures
        .extend(report.average_precision.map(|ap| figure("average precision", ap, report.average_precision_interval)));
    figures.extend(
        report.top_k.map(|top| figure(&format!("top-{} accuracy", top.k), top.accuracy, Some(top.accuracy_interval))),
    );
    figures
}

/// The figures of a report on rows of any number of labels, those that matter most first.
pub fn multi_label_figures(report: &MultiLabelReport) -> Vec<Figure> {
    let mut figures = vec![
        figure("subset accuracy", report.accuracy, Some(report.accuracy_interval)),
        figure("micro F1", report.micro_f1, report.micro_f1_interval),
        figure("macro F1", report.macro_f1, report.macro_f1_interval),
        figure("log loss", report.log_loss, report.log_loss_interval),
    ];
    let areas = [
        ("macro ROC AUC", report.roc_auc, report.roc_auc_interval),
        ("micro ROC AUC", report.micro_roc_auc, report.micro_roc_auc_interval),
        ("macro average precision", report.average_precision, report.average_precision_interval),
        ("micro average precision", report.micro_average_precision, report.micro_average_precision_interval),
    ];
    figures.extend(areas.into_iter().filter_map(|(name, value, interval)| Some(figure(name, value?, interval))));
    figures
}
