//! The report against scikit-learn's numbers: `tests/golden/eval/make_eval.py`.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use serde::Deserialize;

use super::{MultiLabelOptions, MultiLabelReport, Options, Report, group_scores};
use crate::close::{Tolerance, assert_close};

/// See `tests/golden/eval/make_eval.py`.
#[derive(Deserialize)]
struct Golden {
    labels: Vec<usize>,
    probabilities: Vec<Vec<f32>>,
    accuracy: f64,
    balanced_accuracy: f64,
    interval: [f64; 2],
    macro_f1: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    confusion: Vec<Vec<f64>>,
    log_loss: f64,
    top: usize,
    top_accuracy: f64,
    roc_auc: Option<f64>,
    average_precision: Option<f64>,
    micro_f1: f64,
    mcc: f64,
    brier: f64,
    ece: f64,
    reliability: Vec<(f64, Option<f64>, Option<f64>)>,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("../../tests/golden/eval/eval.json")).unwrap()
}

fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

fn names(classes: usize) -> Vec<String> {
    (0..classes).map(|class| format!("class {class}")).collect()
}

#[test]
fn metrics_are_scikit_learns() {
    for case in golden() {
        let probabilities = matrix(&case.probabilities);
        let classes = probabilities.ncols();
        let options = Options { top_k: case.top, resamples: 50, seed: 1 };
        let got = Report::new(&case.labels, probabilities.view(), &names(classes), options).unwrap();
        assert_close([got.accuracy, got.balanced_accuracy], [case.accuracy, case.balanced_accuracy], Tolerance::Close);
        assert_close(got.accuracy_interval, case.interval, Tolerance::Close);
        assert_close([got.macro_f1, got.log_loss], [case.macro_f1, case.log_loss], Tolerance::Close);
        assert_close(got.per_class.iter().map(|c| c.precision), case.precision, Tolerance::Close);
        assert_close(got.per_class.iter().map(|c| c.recall), case.recall, Tolerance::Close);
        assert_close(got.per_class.iter().map(|c| c.f1), case.f1, Tolerance::Close);
        assert_eq!(got.per_class.iter().map(|c| c.support).collect::<Vec<_>>(), case.support);
        assert_eq!(got.confusion, case.confusion);
        assert_close(got.roc_auc, case.roc_auc, Tolerance::Close);
        assert_close(got.average_precision, case.average_precision, Tolerance::Close);
        assert_close(
            [got.micro_f1, got.mcc, got.brier, got.ece],
            [case.micro_f1, case.mcc, case.brier, case.ece],
            Tolerance::Close,
        );
        for (bin, (count, confidence, accuracy)) in got.reliability.iter().zip(&case.reliability) {
            assert_eq!(bin.count, *count);
            assert_close(bin.confidence, *confidence, Tolerance::Close);
            assert_close(bin.accuracy, *accuracy, Tolerance::Close);
        }
        assert_eq!(got.reliability.len(), 15);
        match got.top_k {
            Some(top) => assert_close([top.accuracy], [case.top_accuracy], Tolerance::Close),
            None => assert!(case.top == 1),
        }
    }
}

#[test]
fn intervals_contain_the_value_and_shrink_with_rows() {
    let case = golden().remove(0);
    let report = |times: usize| {
        let labels = case.labels.repeat(times);
        let rows: Vec<Vec<f32>> = case.probabilities.iter().cycle().take(60 * times).cloned().collect();
        let probabilities = matrix(&rows);
        Report::new(&labels, probabilities.view(), &names(4), Options::default()).unwrap()
    };
    let (small, large) = (report(1), report(16));
    let widths = |report: &Report| {
        let values = [
            (report.balanced_accuracy, report.balanced_accuracy_interval),
            (report.macro_f1, report.macro_f1_interval),
            (report.mcc, report.mcc_interval),
            (report.log_loss, report.log_loss_interval),
            (report.brier, report.brier_interval),
            (report.roc_auc.unwrap(), report.roc_auc_interval),
            (report.average_precision.unwrap(), report.average_precision_interval),
        ];
        values
            .into_iter()
            .map(|(value, interval)| {
                let [low, high] = interval.unwrap();
                assert!(low < value && value < high);
                high - low
            })
            .collect::<Vec<_>>()
    };
    for (small, large) in widths(&small).into_iter().zip(widths(&large)) {
        // Sixteen times the rows: a quarter of the width.
        assert!((2.5..6.5).contains(&(small / large)), "{small} against {large}");
    }
    assert_eq!(report(1), small);
}

#[test]
fn repeats_are_means_and_narrow_no_interval() {
    let case = golden().remove(0);
    let first = matrix(&case.probabilities);
    // Each row's probabilities turned by a class.
    let second =
        ndarray::concatenate![ndarray::Axis(1), first.slice(ndarray::s![.., 1..]), first.slice(ndarray::s![.., ..1])];
    let options = Options { top_k: 2, ..Options::default() };
    let alone = |p: &Array2<f32>| Report::new(&case.labels, p.view(), &names(4), options).unwrap();
    let both = |p: &Array2<f32>, q: &Array2<f32>| {
        let stacked = ndarray::concatenate![ndarray::Axis(0), *p, *q];
        Report::repeated(&case.labels, stacked.view(), &names(4), options).unwrap()
    };
    let (a, b) = (alone(&first), alone(&second));
    let different = both(&first, &second);
    assert_eq!((different.n, different.repeats), (60, 2));
    let means =
        |get: &dyn Fn(&Report) -> f64| assert_close([get(&different)], [(get(&a) + get(&b)) / 2.0], Tolerance::Close);
    means(&|report| report.accuracy);
    means(&|report| report.log_loss);
    means(&|report| report.brier);
    means(&|report| report.balanced_accuracy);
    means(&|report| report.top_k.unwrap().accuracy);
    // The same said twice is worth no more than said once.
    let same = both(&first, &first);
    let figures = |report: &Report| {
        let value = serde_json::to_value(report).unwrap();
        let object = value.as_object().unwrap();
        let number = |value: &serde_json::Value| match value {
            serde_json::Value::Array(ends) => ends.iter().map(|end| end.as_f64().unwrap()).collect(),
            value => vec![value.as_f64().unwrap()],
        };
        let plain = object.iter().filter(|(name, value)| value.is_f64() || name.ends_with("_interval"));
        plain.flat_map(|(_, value)| number(value)).collect::<Vec<f64>>()
    };
    assert_eq!(figures(&a).len(), 30);
    assert_close(figures(&same), figures(&a), Tolerance::Close);
    assert_eq!(same.per_class, a.per_class);
    assert_eq!((&same.confusion, &same.reliability), (&a.confusion, &a.reliability));
    for (row, class) in different.confusion.iter().zip(&different.per_class) {
        assert_close([row.iter().sum::<f64>()], [class.support as f64], Tolerance::Close);
    }
    assert_close([different.reliability.iter().map(|bin| bin.count).sum::<f64>()], [60.0], Tolerance::Close);
    let mean = |place: [usize; 2]| (a.confusion[place[0]][place[1]] + b.confusion[place[0]][place[1]]) / 2.0;
    assert_close(
        [different.confusion[0][0], different.confusion[2][1]],
        [mean([0, 0]), mean([2, 1])],
        Tolerance::Close,
    );
    let stacked = ndarray::concatenate![ndarray::Axis(0), first, first.slice(ndarray::s![..7, ..])];
    assert!(Report::repeated(&case.labels, stacked.view(), &names(4), options).is_err());
}

#[test]
fn json_has_the_contracts_keys() {
    let case = golden().remove(0);
    let probabilities = matrix(&case.probabilities);
    let options = Options { top_k: 2, ..Options::default() };
    let report = Report::new(&case.labels, probabilities.view(), &names(4), options).unwrap();
    let json = serde_json::to_value(report).unwrap();
    for key in [
        "accuracy",
        "balanced_accuracy",
        "micro_f1",
        "macro_f1",
        "mcc",
        "log_loss",
        "brier",
        "ece",
        "roc_auc",
        "average_precision",
    ] {
        assert!(json[key].is_f64() && json[format!("{key}_interval")][1].is_f64(), "{key}");
    }
    assert_eq!(json["n"], 60);
    assert_eq!(json["top_k"]["k"], 2);
    assert_eq!(json["per_class"][3]["label"], "class 3");
    assert!(json["confusion"][0][0].is_u64() && json["reliability"][7]["count"].is_u64());
    assert_eq!(json["confusion"][0][0], 6);
}

#[test]
fn unusable_input_is_named() {
    let mut p = matrix(&[vec![0.5, 0.5], vec![0.9, 0.1]]);
    let message = |labels: &[usize], p: &Array2<f32>, classes| {
        Report::new(labels, p.view(), &names(classes), Options::default()).unwrap_err().to_string()
    };
    assert!(message(&[0], &p, 2).contains("2 rows of 2 classes cannot have 1 labels"));
    assert!(message(&[0, 1], &p, 3).contains("3 class names"));
    assert!(message(&[0, 2], &p, 2).contains("row 1 is of class 2"));
    assert!(message(&[], &Array2::zeros((0, 2)), 2).contains("0 rows"));
    p[[1, 0]] = f32::NAN;
    assert!(message(&[0, 1], &p, 2).contains("class 0 in row 1 is NaN"));
}

#[derive(Deserialize)]
struct MultiLabelGolden {
    targets: Vec<Vec<bool>>,
    scores: Vec<Vec<f32>>,
    accuracy: f64,
    log_loss: f64,
    micro_roc_auc: f64,
    micro_average_precision: f64,
    micro_f1: f64,
    macro_f1: f64,
    roc_auc: Vec<Option<f64>>,
    macro_roc_auc: f64,
    average_precision: Vec<Option<f64>>,
    macro_average_precision: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
}

#[test]
fn multi_label_metrics_are_scikit_learns() {
    let golden: MultiLabelGolden =
        serde_json::from_str(include_str!("../../tests/golden/eval/multi_label.json")).unwrap();
    let (n, classes) = (golden.targets.len(), golden.targets[0].len());
    let targets = Array2::from_shape_vec((n, classes), golden.targets.concat()).unwrap();
    let scores = matrix(&golden.scores);
    let options = MultiLabelOptions::default();
    let got = MultiLabelReport::new(targets.view(), scores.view(), &names(classes), options).unwrap();
    assert_close([got.accuracy, got.log_loss], [golden.accuracy, golden.log_loss], Tolerance::Close);
    assert_close(got.micro_roc_auc, [golden.micro_roc_auc], Tolerance::Close);
    assert_close(got.micro_average_precision, [golden.micro_average_precision], Tolerance::Close);
    for (value, interval) in [
        (Some(got.accuracy), Some(got.accuracy_interval)),
        (Some(got.micro_f1), got.micro_f1_interval),
        (Some(got.macro_f1), got.macro_f1_interval),
        (Some(got.log_loss), got.log_loss_interval),
        (got.roc_auc, got.roc_auc_interval),
        (got.micro_roc_auc, got.micro_roc_auc_interval),
        (got.average_precision, got.average_precision_interval),
        (got.micro_average_precision, got.micro_average_precision_interval),
    ] {
        let (value, [low, high]) = value.zip(interval).unwrap();
        assert!(low < value && value < high, "{value} [{low}, {high}]");
    }
    let none = MultiLabelOptions { resamples: 0, ..options };
    let bare = MultiLabelReport::new(targets.view(), scores.view(), &names(classes), none).unwrap();
    assert_eq!((bare.macro_f1_interval, bare.macro_f1), (None, got.macro_f1));
    assert_close([got.micro_f1, got.macro_f1], [golden.micro_f1, golden.macro_f1], Tolerance::Close);
    assert_close(got.roc_auc, [golden.macro_roc_auc], Tolerance::Close);
    assert_close(got.average_precision, [golden.macro_average_precision], Tolerance::Close);
    assert_close(got.per_label.iter().map(|l| l.precision), golden.precision, Tolerance::Close);
    assert_close(got.per_label.iter().map(|l| l.recall), golden.recall, Tolerance::Close);
    assert_eq!(got.per_label.len(), classes);
    for (label, (roc, precision)) in got.per_label.iter().zip(golden.roc_auc.iter().zip(golden.average_precision)) {
        assert_close(label.roc_auc, *roc, Tolerance::Close);
        assert_close(label.average_precision, precision, Tolerance::Close);
    }
    let refused = |targets: Array2<bool>, scores: &Array2<f32>| {
        MultiLabelReport::new(targets.view(), scores.view(), &names(classes), options).unwrap_err().to_string()
    };
    assert!(refused(Array2::default((1, classes)), &scores).contains(&format!("1×{classes} targets")));
    let mut holed = scores.clone();
    for bad in [f32::NAN, 1.1, -0.1] {
        holed[[3, 1]] = bad;
        assert!(refused(targets.clone(), &holed).contains(&format!("label 1 in row 3 is {bad}")));
    }
}

#[test]
fn groups_are_scored_as_if_alone() {
    let case = golden().remove(0);
    let group = |row: usize| if row.is_multiple_of(3) { "b" } else { "a" };
    let groups: Vec<&str> = (0..60).map(group).collect();
    let got = group_scores(&groups, &case.labels, matrix(&case.probabilities).view()).unwrap();
    assert_eq!(got.iter().map(|g| (g.group.as_str(), g.n)).collect::<Vec<_>>(), [("a", 40), ("b", 20)]);
    for scores in got {
        let rows: Vec<usize> = (0..60).filter(|&row| group(row) == scores.group).collect();
        let labels: Vec<usize> = rows.iter().map(|&row| case.labels[row]).collect();
        let probabilities: Vec<Vec<f32>> = rows.iter().map(|&row| case.probabilities[row].clone()).collect();
        let options = Options { resamples: 0, ..Options::default() };
        let alone = Report::new(&labels, matrix(&probabilities).view(), &names(4), options).unwrap();
        assert_eq!((scores.accuracy, scores.macro_f1), (alone.accuracy, alone.macro_f1));
        assert_eq!(scores.accuracy_interval, alone.accuracy_interval);
    }
    let message = group_scores(&["a"], &case.labels, matrix(&case.probabilities).view()).unwrap_err().to_string();
    assert!(message.contains("1 groups for 60 rows"));
}

proptest! {
    #[test]
    fn orders_of_rows_and_of_classes_change_nothing(seed: u64) {
        let case = golden().remove(3);
        let options = Options { resamples: 0, ..Options::default() };
        let report = |labels: &[usize], p: &Array2<f32>| Report::new(labels, p.view(), &names(5), options).unwrap();
        let p = matrix(&case.probabilities);
        let (mut rows, mut classes): (Vec<usize>, Vec<usize>) = ((0..40).collect(), (0..5).collect());
        let mut rng = fastrand::Rng::with_seed(seed);
        rng.shuffle(&mut rows);
        rng.shuffle(&mut classes);
        // Class c becomes place[c].
        let place = |class: usize| classes.iter().position(|&c| c == class).unwrap();
        let labels: Vec<usize> = rows.iter().map(|&row| place(case.labels[row])).collect();
        let moved = report(&labels, &p.select(Axis(0), &rows).select(Axis(1), &classes));
        let numbers = |r: &Report| {
            let ece = [r.ece, r.roc_auc.unwrap(), r.average_precision.unwrap()];
            [[r.accuracy, r.balanced_accuracy, r.macro_f1].as_slice(), &[r.mcc, r.log_loss, r.brier], &ece].concat()
        };
        assert_close(numbers(&moved), numbers(&report(&case.labels, &p)), Tolerance::Close);
    }
}
