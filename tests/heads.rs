//! Every head's ONNX graph, run by ONNX Runtime, computes what the head computes, and `train` fits each of them.

#[path = "support/close.rs"]
mod close;
mod support;

use close::{Tolerance, assert_close};
use engraft::backbone::{Device, Provider, Runtime, Session, SessionOptions, Tensor};
use engraft::features::{Existing, FeatureSet};
use engraft::head::HeadFile;
use ndarray::{Array2, Axis, s};
use support::{engraft, json, says};

/// The first 600 optdigits.
fn digits() -> FeatureSet {
    support::digits().select(&(0..600).collect::<Vec<_>>())
}

#[test]
fn each_head_is_trained_and_runs_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let features = folder.path().join("digits.parquet");
    let set = digits();
    set.write(&features, Existing::Refuse).unwrap();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    for (kind, certified) in [("logistic", true), ("ridge", true), ("centroid", false), ("knn", false), ("mlp", false)]
    {
        let path = folder.path().join(format!("{kind}.onnx"));
        let trained = json(engraft().arg("train").arg(&features).args(["--head", kind, "-o"]).arg(&path));
        assert!(trained["accuracy"].as_f64().unwrap() > 0.8, "{kind}: {trained}");
        assert_eq!(trained.get("certificate").is_some(), certified, "{kind}");

        let head = HeadFile::read(&path).unwrap().head;
        let (logits, probabilities) =
            (head.logits(set.matrix.view()).unwrap(), head.probabilities(set.matrix.view()).unwrap());
        let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
        // Logits of k-NN are logarithms of similarities divided by a small temperature: what rounding is left is 1/T as large.
        let tolerance = if kind == "knn" { Tolerance::Within(1e-4) } else { Tolerance::Approximate };
        for (output, native) in [("logits", logits), ("probabilities", probabilities)] {
            let (mut session, _) = Session::open(runtime, &path, output, &options).unwrap();
            for rows in [0..1, 0..64, 100..600] {
                let x = set.matrix.slice(s![rows.clone(), ..]).to_owned();
                let (shape, got) =
                    session.run(&[("embedding", Tensor::F32(&[x.nrows(), 64], x.as_slice().unwrap()))]).unwrap();
                assert_eq!(shape, [x.nrows(), 10]);
                assert_close(got, native.slice_axis(Axis(0), rows.into()).iter().copied(), tolerance);
            }
        }
    }
}

#[test]
fn calibration_is_part_of_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    let features = folder.path().join("digits.parquet");
    let runtime = Runtime::load(None, &support::home()).unwrap();
    for classes in [2, 10] {
        let mut set = digits();
        for (row, label) in set.labels.iter_mut().enumerate() {
            // One in ten is wrong, so that confidence is worth correcting.
            let digit: usize = label.as_deref().unwrap().parse().unwrap();
            *label = Some(((digit + usize::from(row % 10 == 0)) % classes).to_string());
        }
        set.write(&features, Existing::Replace).unwrap();
        for method in ["temperature", "platt", "isotonic"] {
            let path = folder.path().join(format!("{method}-{classes}.onnx"));
            let flags = ["--head", "ridge", "--calibrate", method, "--cv", "3", "-o"];
            let trained = json(engraft().arg("train").arg(&features).args(flags).arg(&path));
            let figure = |when: &str, name: &str| trained["calibration"][when][name].as_f64().unwrap();
            assert_eq!(trained["calibration"]["rows"], 600);
            assert!(figure("after", "ece") < figure("before", "ece"), "{trained}");
            // As scikit-learn's own does here: a row that it is certain of and wrong about costs 16 nats.
            let worse = figure("after", "log_loss") > figure("before", "log_loss");
            assert_eq!(trained["calibration"]["log_loss_worse"], worse);
            assert_eq!(worse, method == "isotonic" && classes == 2, "{trained}");
            // What is reported is of the calibrated probabilities, by calibrations that have not seen the row.
            let reported = trained["log_loss"].as_f64().unwrap();
            assert!((reported - figure("after", "log_loss")).abs() < 0.05, "{trained}");

            let head = HeadFile::read(&path).unwrap();
            let native = head.probabilities(set.matrix.view()).unwrap();
            let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
            let (mut session, _) = Session::open(runtime, &path, "probabilities", &options).unwrap();
            let x = set.matrix.as_slice().unwrap();
            let (shape, got) = session.run(&[("embedding", Tensor::F32(&[600, 64], x))]).unwrap();
            assert_eq!(shape, [600, classes]);
            assert_close(got, native.iter().copied(), Tolerance::Approximate);
        }
    }
    set_of_one_row_is_told(&features, folder.path());
}

/// A class of one row has no curve of its own; one temperature serves it too.
fn set_of_one_row_is_told(features: &std::path::Path, folder: &std::path::Path) {
    let mut set = digits();
    set.labels[0] = Some("alone".into());
    set.write(features, Existing::Replace).unwrap();
    let train = |method: &str| {
        let mut command = engraft();
        command.arg("train").arg(features).args(["--holdout", "0", "--calibrate", method, "-o"]);
        command.arg(folder.join(format!("alone-{method}.onnx")));
        command
    };
    says(&mut train("platt"), 1, &["alone", "one row"]);
    assert_eq!(json(&mut train("temperature"))["calibration"]["rows"], 599);
}

#[test]
fn prediction_sets_hold_the_true_class_as_often_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let set = digits();
    // Exchangeable rows: in the file, which goes through the digits in turn, every other row is of other digits.
    let mut order: Vec<usize> = (0..600).collect();
    fastrand::Rng::with_seed(0).shuffle(&mut order);
    let (known, new) = (order[..300].to_vec(), order[300..].to_vec());
    set.select(&known).write(&file("known.parquet"), Existing::Refuse).unwrap();
    set.select(&new).write(&file("new.parquet"), Existing::Refuse).unwrap();
    for rule in ["lac", "class-lac", "aps", "raps"] {
        let head = file(&format!("{rule}.onnx"));
        let flags = ["--conformal", rule, "--coverage", "0.95", "--calibrate", "temperature", "-o"];
        let trained = json(engraft().arg("train").arg(file("known.parquet")).args(flags).arg(&head));
        assert!(trained["conformal_coverage"].is_number(), "{trained}");
        let judged = json(engraft().arg("eval").arg(&head).arg(file("new.parquet")));
        let figure = |name: &str| judged[name].as_f64().unwrap();
        let interval: [f64; 2] = serde_json::from_value(judged["conformal_coverage_interval"].clone()).unwrap();
        assert!(interval[0] <= figure("conformal_coverage") && interval[1] >= 0.95, "{rule}: {interval:?}");
        // APS, not randomised, takes many classes to be sure of 95 %: it leaves some out all the same.
        assert!((0.9..9.0).contains(&figure("mean_set_size")), "{rule}: {}", figure("mean_set_size"));

        let output = engraft().args(["predict", "--json"]).arg(&head).arg(file("new.parquet")).assert().success();
        let text = support::stdout(&output);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let sets: Vec<&Vec<serde_json::Value>> =
            lines.iter().map(|line| line["prediction_set"].as_array().unwrap()).collect();
        let mean = sets.iter().map(|set| set.len()).sum::<usize>() as f64 / 300.0;
        assert!((mean - figure("mean_set_size")).abs() < 1e-9, "{rule}");
        let holds = |(row, named): (&usize, &&Vec<serde_json::Value>)| {
            named.iter().any(|label| label.as_str() == set.labels[*row].as_deref())
        };
        let covered = new.iter().zip(&sets).filter(|&pair| holds(pair)).count();
        assert!((covered as f64 / 300.0 - figure("conformal_coverage")).abs() < 1e-9, "{rule}");
    }
    let mut wrong = engraft();
    wrong.arg("train").arg(file("known.parquet")).args(["--conformal", "lac", "--coverage", "1", "-o"]);
    says(wrong.arg(file("wrong.onnx")), 2, &["--coverage"]);
}

#[test]
fn strange_rows_are_told_by_the_graph_and_by_predict() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (set, mut strange) = (digits(), digits());
    set.write(&file("known.parquet"), Existing::Refuse).unwrap();
    let mean = set.matrix.mean_axis(Axis(0)).unwrap();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    for (score, scaling) in
        [("energy", "standardize"), ("mahalanobis", "none"), ("vim", "standardize"), ("vim", "l2"), ("knn", "l2")]
    {
        // What is no digit more than another has little energy in its logits; what is far from all has a distance.
        strange.matrix = match score {
            "energy" => Array2::from_shape_fn((600, 64), |(_, column)| mean[column]),
            _ => Array2::from_shape_fn((600, 64), |(row, column)| ((row * 31 + column * 17) % 23) as f32),
        };
        strange.write(&file("strange.parquet"), Existing::Replace).unwrap();
        let path = file(&format!("{score}-{scaling}.onnx"));
        let flags = ["--holdout", "0", "--scaling", scaling, "--ood", score, "-o"];
        let trained = json(engraft().arg("train").arg(file("known.parquet")).args(flags).arg(&path));
        let threshold = trained["ood_threshold"].as_f64().unwrap();
        let marked = |input: &str| -> (Vec<f64>, usize) {
            let output = engraft().args(["predict", "--json"]).arg(&path).arg(file(input)).assert().success();
            let text = support::stdout(&output);
            let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for line in &lines {
                assert_eq!(line["out_of_distribution"], line["ood_score"].as_f64().unwrap() > threshold);
            }
            let scores = lines.iter().map(|line| line["ood_score"].as_f64().unwrap()).collect();
            (scores, lines.iter().filter(|line| line["out_of_distribution"] == true).count())
        };
        let (scores, known) = marked("known.parquet");
        // The threshold keeps 95 % of rows that were not trained on: of those that were, no fewer.
        assert!(known <= 40, "{score}: {known}");
        let (_, far) = marked("strange.parquet");
        assert!(far > 4 * known, "{score}, {scaling}: {far} strange rows told, {known} known ones");
        let judged = json(engraft().arg("eval").arg(&path).arg(file("strange.parquet")));
        if score == "knn" {
            let mut eval = engraft();
            eval.arg("eval").arg(&path).arg(file("strange.parquet")).arg("--report").arg(file("report.html"));
            let said = support::stdout(&eval.assert().success());
            let page = std::fs::read_to_string(file("report.html")).unwrap();
            assert!([said, page].iter().all(|text| text.contains("marked out of distribution")));
        }
        assert_eq!(judged["out_of_distribution"].as_f64().unwrap(), far as f64 / 600.0);
        let interval: [f64; 2] = serde_json::from_value(judged["out_of_distribution_interval"].clone()).unwrap();
        assert!(interval[0] < far as f64 / 600.0 && far as f64 / 600.0 <= interval[1]);
        let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
        let (mut session, _) = Session::open(runtime, &path, "ood_score", &options).unwrap();
        let x = set.matrix.as_slice().unwrap();
        let (shape, got) = session.run(&[("embedding", Tensor::F32(&[600, 64], x))]).unwrap();
        assert_eq!(shape, [600]);
        let scaled = |score: f64| score / threshold.abs();
        assert_close(
            got.iter().map(|&v| scaled(f64::from(v))),
            scores.into_iter().map(scaled),
            Tolerance::Within(1e-4),
        );
    }
}

#[test]
fn a_head_is_chosen_and_judged_on_rows_that_did_not_choose_it() {
    let folder = tempfile::tempdir().unwrap();
    let features = folder.path().join("digits.parquet");
    let set = digits();
    // A class of one row is trained on, not tested.
    let mut rows: Vec<usize> = (0..120).filter(|&row| set.labels[row].as_deref() != Some("7")).collect();
    rows.push((0..120).find(|&row| set.labels[row].as_deref() == Some("7")).unwrap());
    set.select(&rows).write(&features, Existing::Refuse).unwrap();
    let path = folder.path().join("head.onnx");
    let trained = json(
        engraft().arg("train").arg(&features).args(["--head", "auto", "--scaling", "l2", "--cv", "3", "-o"]).arg(&path),
    );
    let tried = trained["choice"]["heads"].as_array().unwrap();
    let names: Vec<&str> = tried.iter().map(|head| head["head"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 7);
    assert!(names[0] == "centroid" && names[6] == "mlp" && names[3] == "logistic, alpha 0.1", "{names:?}");
    // The simplest within one standard error of the best.
    let figure = |head: &serde_json::Value, key: &str| head[key].as_f64().unwrap();
    let best = tried.iter().find(|head| head["against_best"].is_null()).unwrap();
    let least = figure(best, "accuracy") - figure(best, "standard_error");
    let chosen = tried.iter().find(|head| figure(head, "accuracy") >= least).unwrap();
    assert_eq!(trained["choice"]["head"], chosen["head"]);
    assert_eq!(trained["n_train"], rows.len());
    assert_eq!(trained["n"], rows.len() - 1);
    assert!(trained["accuracy"].as_f64().unwrap() > 0.8, "{trained}");
    assert_eq!(HeadFile::read(&path).unwrap().labels.len(), 10);

    let mut train = engraft();
    train.arg("train").arg(&features).args(["--head", "auto", "--alpha", "1", "-o", "other.onnx"]);
    says(&mut train, 2, &["--alpha", "auto"]);
}

#[test]
fn flags_of_another_head_are_refused() {
    for (kind, flag, value) in [
        ("ridge", "--solver", "linfa"),
        ("ridge", "--tolerance", "1e-3"),
        ("centroid", "--alpha", "1"),
        ("knn", "--scaling", "l2"),
        ("mlp", "--max-iterations", "3"),
        ("mlp", "--ood", "vim"),
        ("knn", "--ood", "energy"),
    ] {
        let mut train = engraft();
        train.args(["train", "missing.parquet", "-o", "head.onnx", "--head", kind, flag, value]);
        says(&mut train, 2, &[flag, kind]);
    }
}

/// Digits whose labels are what they are: even, 5 or more, prime. 1 is none of these.
fn properties_of_digits() -> FeatureSet {
    let mut set = digits();
    for label in &mut set.labels {
        let digit: u32 = label.as_deref().unwrap().parse().unwrap();
        let all = [("even", digit.is_multiple_of(2)), ("large", digit >= 5), ("prime", [2, 3, 5, 7].contains(&digit))];
        let names: Vec<&str> = all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
        *label = Some(if names.is_empty() { ";".to_owned() } else { names.join("; ") });
    }
    set
}

#[test]
fn rows_of_any_number_of_labels_are_trained_judged_and_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (set, known, new, head) =
        (properties_of_digits(), file("known.parquet"), file("new.parquet"), file("head.onnx"));
    let mut some = set.select(&(0..450).collect::<Vec<_>>());
    some.labels[7] = None;
    some.write(&known, Existing::Refuse).unwrap();
    let others = set.select(&(450..600).collect::<Vec<_>>());
    others.write(&new, Existing::Refuse).unwrap();
    let train = |flags: &[&str]| {
        let mut command = engraft();
        command.arg("train").arg(&known).args(["--label-separator", ";", "--overwrite", "-o"]).arg(&head).args(flags);
        command
    };
    let checked = |report: &serde_json::Value| {
        for name in ["accuracy", "micro_f1", "macro_f1", "log_loss", "roc_auc", "average_precision", "micro_roc_auc"] {
            let value = report[name].as_f64().unwrap();
            let interval: [f64; 2] = serde_json::from_value(report[format!("{name}_interval")].clone()).unwrap();
            assert!(interval[0] <= value && value <= interval[1], "{name} {value} {interval:?}");
        }
        let labels: Vec<&str> =
            report["per_label"].as_array().unwrap().iter().map(|l| l["label"].as_str().unwrap()).collect();
        assert_eq!(labels, ["even", "large", "prime"]);
        assert!(report["macro_f1"].as_f64().unwrap() > 0.8, "{report}");
        assert!(report["accuracy"].as_f64().unwrap() > 0.6 && report["roc_auc"].as_f64().unwrap() > 0.9, "{report}");
    };
    // By cross-validation on all rows that have a label; that of digit 1 is an empty set, and no missing one.
    let folded = json(&mut train(&["--cv", "3"]));
    checked(&folded);
    assert_eq!((&folded["n"], &folded["n_train"]), (&449.into(), &449.into()));
    // By a fifth that is held out, the same one each time.
    let trained = json(&mut train(&[]));
    checked(&trained);
    assert_eq!(trained["n"].as_u64().unwrap() + trained["n_train"].as_u64().unwrap(), 449);
    assert!(trained["n"].as_u64().unwrap().abs_diff(90) <= 2, "{trained}");
    assert_eq!((&trained["classes"], &trained["certificate"]["converged"]), (&3.into(), &true.into()));
    assert_eq!(json(&mut train(&[]))["log_loss"], trained["log_loss"]);
    assert_eq!(json(&mut train(&["--holdout", "0"])).get("accuracy"), None);

    let judged = json(engraft().arg("eval").arg(&head).arg(&new));
    checked(&judged);
    assert_eq!(judged["n"], 150);
    let text = support::stdout(&engraft().arg("eval").arg(&head).arg(&new).assert().success());
    for word in ["subset accuracy", "micro F1", "macro ROC AUC", "average precision", "even", "large", "prime"] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }

    let predicted = engraft().arg("predict").arg(&head).arg(&new).arg("--json").assert().success().get_output().clone();
    let rows: Vec<serde_json::Value> =
        String::from_utf8(predicted.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let exact = rows.iter().zip(&others.labels).filter(|(row, label)| {
        let mut names: Vec<String> = serde_json::from_value(row["labels"].clone()).unwrap();
        names.sort();
        names.join("; ") == label.as_deref().unwrap().trim_matches(';')
    });
    assert_eq!(exact.count() as f64 / 150.0, judged["accuracy"].as_f64().unwrap());
    for row in &rows {
        let top = row["top"].as_array().unwrap();
        let probability = |choice: &serde_json::Value| choice["probability"].as_f64().unwrap();
        assert!(top.iter().all(|choice| probability(choice) >= 0.5), "{row}");
        assert!(top.windows(2).all(|w| probability(&w[0]) >= probability(&w[1])), "{row}");
        assert_eq!(top.len(), row["labels"].as_array().unwrap().len());
    }
    assert!(rows.iter().any(|row| row["labels"].as_array().unwrap().is_empty()));
    let lines = engraft().arg("predict").arg(&head).arg(&new).args(["--top-k", "2"]).assert().success();
    let lines = support::stdout(&lines);
    assert!(lines.lines().count() == 150 && lines.lines().all(|line| line.split('\t').count() == 5), "{lines}");

    // The graph computes what the head computes.
    let native = HeadFile::read(&head).unwrap().probabilities(others.matrix.view()).unwrap();
    let runtime = Runtime::load(None, &support::home()).unwrap();
    let options = SessionOptions::new(Device::Only(Provider::Cpu), 1);
    let (mut session, _) = Session::open(runtime, &head, "probabilities", &options).unwrap();
    let x = others.matrix.as_slice().unwrap();
    let (shape, got) = session.run(&[("embedding", Tensor::F32(&[150, 64], x))]).unwrap();
    assert_eq!(shape, [150, 3]);
    assert_close(got, native.iter().copied(), Tolerance::Approximate);
    what_has_no_meaning_with_many_labels_is_refused(&known, &head);
}

fn what_has_no_meaning_with_many_labels_is_refused(known: &std::path::Path, head: &std::path::Path) {
    for flags in [
        &["--head", "knn"][..],
        &["--calibrate", "platt"],
        &["--conformal", "lac"],
        &["--ood", "energy"],
        &["--class-weight", "balanced"],
        &["--solver", "linfa"],
        &["--cv", "3", "--repeats", "2"],
    ] {
        let mut train = engraft();
        train.arg("train").arg(known).args(["--label-separator", ";", "--overwrite", "-o"]).arg(head).args(flags);
        let flag = if flags.len() == 4 { flags[2] } else { flags[0] };
        says(&mut train, 2, &[flag, "--label-separator", "one class each"]);
    }
    says(engraft().arg("eval").arg(head).arg(known).args(["--report", "r.html"]), 2, &["--report", "one class a row"]);
    says(engraft().arg("suggest").arg(known).arg("--head").arg(head), 2, &["suggest --head", "one class a row"]);
    // No label at all, one label, and one that every row has.
    let mut set = properties_of_digits();
    let odd = known.with_file_name("odd.parquet");
    for (cell, code, words) in [
        (";", 1, ["0 labels", "two or more"]),
        ("a", 1, ["1 label", "two or more"]),
        ("a;b", 1, ["every row", "\"a\""]),
    ] {
        set.labels.fill(Some(cell.to_owned()));
        set.write(&odd, Existing::Replace).unwrap();
        let mut train = engraft();
        train.arg("train").arg(&odd).args(["--label-separator", ";", "--overwrite", "-o"]).arg(head);
        says(&mut train, code, &words);
    }
    // Labels that the head does not know are passed over, and told.
    let mut set = properties_of_digits();
    set.labels[0] = Some("even;round".to_owned());
    set.write(&odd, Existing::Replace).unwrap();
    says(engraft().arg("eval").arg(head).arg(&odd), 0, &["passed over: 1 label", "round", "1 row"]);
}

#[test]
fn a_calibration_that_does_harm_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut set = digits();
    for (row, label) in set.labels.iter_mut().enumerate() {
        let digit: usize = label.as_deref().unwrap().parse().unwrap();
        *label = Some(((digit + usize::from(row % 10 == 0)) % 2).to_string());
    }
    set.write(&file("digits.parquet"), Existing::Refuse).unwrap();
    for (method, harm) in [("isotonic", true), ("temperature", false)] {
        let mut train = engraft();
        train.arg("train").arg(file("digits.parquet")).args(["--head", "ridge", "--calibrate", method, "--cv", "3"]);
        let said = train.arg("-o").arg(file(&format!("{method}.onnx"))).assert().success();
        let text = support::stdout(&said);
        assert_eq!(text.contains("CALIBRATION MADE THE LOG LOSS WORSE"), harm, "{method}: {text}");
    }
}
