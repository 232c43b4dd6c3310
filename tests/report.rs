//! `eval --report`: the page, opened in headless Chromium.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use engraft::eval::{Options, Report, argmax};
use engraft::features::Existing;
use engraft::report::{EmbeddingMap, MOST_PREVIEWS, Page, Preview, Row, figures, render, wanted};
use ndarray::Array2;
use serde_json::Value;
use support::{cache, engraft, home, json, says, some_emoji};

const CNN: &str = "efficientnet-lite0";
/// What Chromium finds on a page, in light and dark, wide and narrow.
fn open(page: &Path) -> Vec<Value> {
    let packages = support::browser();
    let lock = home().lock("browser-runs", &()).unwrap();
    let pictures = cache().join("report-pictures").join(page.file_stem().unwrap());
    std::fs::create_dir_all(&pictures).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/open_page.mjs");
    let run = support::browsing(&packages).arg(script).arg(&packages).arg(page).arg(&pictures).assert().success();
    drop(lock);
    let found: Vec<Value> = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(found.len(), 4);
    for view in &found {
        let none: [String; 0] = [];
        assert_eq!(view["errors"], serde_json::json!(none), "{view}");
        assert_eq!(view["requests"], serde_json::json!(none), "{view}");
        assert_eq!(view["overflow"], 0, "the page is wider than {}", view["width"]);
    }
    assert_ne!(found[0]["ground"], found[2]["ground"], "light and dark are the same");
    assert_ne!(found[0]["ink"], found[2]["ink"], "light and dark are the same");
    found
}

fn sections(view: &Value) -> Vec<&str> {
    view["sections"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect()
}

#[test]
fn the_page_of_images_shows_all_that_it_is_asked_for() {
    let folder = tempfile::Builder::new().prefix("report").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    some_emoji(&at("train"), 0..8);
    some_emoji(&at("test"), 8..14);
    for set in ["train", "test"] {
        let mut embed = engraft();
        embed.arg("embed").arg(at(set)).args(["--model", CNN, "-o"]).arg(at(&format!("{set}.parquet")));
        embed.assert().success();
    }
    let mut train = engraft();
    train.arg("train").arg(at("train.parquet")).arg("-o").arg(at("head.onnx")).args(["--holdout", "0"]);
    train.assert().success();

    let page = at("emoji.html");
    let eval = || {
        let mut eval = engraft();
        eval.arg("eval").arg(at("head.onnx")).arg(at("test.parquet")).arg("--report").arg(&page);
        eval.arg("--samples").arg(at("test")).arg("--curve").arg(at("train.parquet"));
        eval
    };
    let report = json(&mut eval());
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
    let accuracy = 100.0 * report["accuracy"].as_f64().unwrap();
    let mistakes = 42 - (accuracy * 0.42).round() as usize;
    for view in open(&page) {
        assert_eq!(
            sections(&view),
            ["headline", "confusion", "classes", "reliability", "curve", "map", "mistakes", "provenance"]
        );
        // The matrix, the bars, the diagram, the curve, and two maps.
        assert_eq!(view["charts"], 6);
        assert!(view["shapes"].as_u64().unwrap() > 200, "{view}");
        assert_eq!((&view["gallery"], &view["decoded"]), (&mistakes.into(), &mistakes.into()));
        assert_eq!((&view["tip"]["shown"], &view["tip"]["pictures"]), (&true.into(), &1.into()), "{}", view["tip"]);
        assert_eq!(view["tip"]["points"], 42);
        let text = view["text"].as_str().unwrap();
        for word in [&format!("{accuracy:.1} %"), "95 % interval", CNN, "engraft eval", "--curve", "Animals & Nature"] {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
    // It is not replaced unless asked, and then by the same.
    says(&mut eval(), 2, &["already exists", "--overwrite"]);
    eval().arg("--overwrite").assert().success();
    let again = std::fs::read_to_string(&page).unwrap();
    assert_eq!(again.replace(" --overwrite", ""), html.replace(" --json", ""));
    // Of features alone: no samples, no curve.
    let bare = at("bare.html");
    let mut eval = engraft();
    eval.arg("eval").arg(at("head.onnx")).arg(at("test.parquet")).arg("--report").arg(&bare).assert().success();
    let bare = std::fs::read_to_string(&bare).unwrap();
    assert!(!bare.contains("data:image") && !bare.contains("id=\"curve\""));
}

#[test]
fn hostile_texts_and_labels_are_shown_and_do_nothing() {
    let folder = tempfile::Builder::new().prefix("report").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let labels =
        ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>", "\u{202e}שלום عالم", &"long ".repeat(2000)];
    let texts =
        ["</script><script>alert(3)</script>", "it's \"quoted\" & <b>bold</b>", "مرحبا بالعالم", &"word ".repeat(2000)];
    let mut csv = csv::Writer::from_path(at("t.csv")).unwrap();
    csv.write_record(["id", "label", "text"]).unwrap();
    for i in 0..48 {
        // The labels say nothing of the texts, so that many are wrong.
        csv.write_record([&format!("<b>{i}</b>\u{2028}"), labels[i / 3 % 4], &format!("{} {i}", texts[i % 4])])
            .unwrap();
    }
    csv.flush().unwrap();
    let mut train = engraft();
    train.arg("train").arg(at("t.csv")).args([
        "--model",
        "all-minilm-l6-v2",
        "--id-column",
        "id",
        "--holdout",
        "0.5",
        "-o",
    ]);
    train.arg(at("head.onnx")).args(["--label-column", "label"]).assert().success();
    let page = at("hostile.html");
    let mut eval = engraft();
    eval.arg("eval").arg(at("head.onnx")).arg(at("t.csv")).args(["--id-column", "id", "--label-column", "label"]);
    eval.arg("--report").arg(&page).assert().success();
    assert!(std::fs::metadata(&page).unwrap().len() < 500_000);
    for view in open(&page) {
        // The points and the page's own.
        assert_eq!(view["scripts"], 2, "{view}");
        assert_eq!((&view["pictures"], &view["tip"]["shown"]), (&0.into(), &true.into()));
        let text = view["text"].as_str().unwrap();
        assert!(text.contains("<script>alert(1)</script>") && text.contains("שלום"), "{text}");
        assert!(!text.contains('\u{202e}') && text.len() < 100_000);
    }
}

#[test]
fn the_page_of_an_adaptation_shows_both_domains() {
    let folder = tempfile::Builder::new().prefix("report").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let all = support::digits();
    let source = all.select(&(0..300).collect::<Vec<_>>());
    let mut target = all.select(&(300..600).collect::<Vec<_>>());
    target
        .matrix
        .indexed_iter_mut()
        .for_each(|((_, pixel), value)| *value = 3.0 + *value * (1.0 + 0.1 * (pixel % 8) as f32));
    source.write(&at("source.parquet"), Existing::Refuse).unwrap();
    target.write(&at("target.parquet"), Existing::Refuse).unwrap();
    let train = |method: &str, page: &Path| {
        let mut train = engraft();
        train
            .arg("train")
            .arg(at("source.parquet"))
            .arg("--target")
            .arg(at("target.parquet"))
            .args(["--adapt", method]);
        train.arg("-o").arg(at("head.onnx")).arg("--report").arg(page);
        train
    };
    // What moves the features has a map after it; what does not says so.
    for (method, planes) in [("auto", 4), ("em", 2)] {
        let page = at(&format!("adaptation-{method}.html"));
        let trained = json(train(method, &page).arg("--overwrite"));
        let moved = ["standardize", "coral", "linear-ot", "subspace", "tca", "sinkhorn", "jdot"];
        let done = trained["adaptation"]["method"].as_str().unwrap();
        assert_eq!(moved.contains(&done), planes == 4, "{done}");
        let accuracy = format!("accuracy {:.1} % on 300 labelled", 100.0 * trained["accuracy"].as_f64().unwrap());
        for view in open(&page) {
            let tried = ["candidates"].into_iter().filter(|_| method == "auto");
            let expected: Vec<&str> =
                ["headline", "shift"].into_iter().chain(tried).chain(["map", "provenance"]).collect();
            assert_eq!((sections(&view), &view["charts"]), (expected, &planes.into()));
            let text = view["text"].as_str().unwrap();
            let stays = text.contains("The features stay where they are");
            assert_eq!((text.contains(&accuracy), stays), (true, planes == 2), "{text}");
            for word in [done, "a classifier tells the domains apart", "discs are source rows", "engraft train"] {
                assert!(text.contains(word), "{word:?} is not in {text}");
            }
        }
        says(&mut train(method, &page), 2, &["already exists", "--overwrite"]);
    }
}

#[test]
fn the_page_of_many_rows_and_classes_stays_small() {
    const ROWS: usize = 60_000;
    const CLASSES: usize = 100;
    let folder = tempfile::Builder::new().prefix("report").tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let labels: Vec<usize> = (0..ROWS).map(|row| row % CLASSES).collect();
    let mut probabilities = Array2::from_shape_fn((ROWS, CLASSES), |(row, class)| {
        random.f32() + if labels[row] == class { 1.5 * random.f32() } else { 0.0 }
    });
    for mut row in probabilities.rows_mut() {
        row.mapv_inplace(|x| x.powi(8));
        let sum = row.sum();
        row /= sum;
    }
    let names: Vec<String> = (0..CLASSES).map(|class| format!("class number {class}")).collect();
    let options = Options { resamples: 0, ..Options::default() };
    let report = Report::new(&labels, probabilities.view(), &names, options).unwrap();
    let features = Array2::from_shape_fn((ROWS, 8), |(row, i)| random.f32() + ((labels[row] >> i) & 1) as f32);
    let map = EmbeddingMap::new(features.view(), 0).unwrap();
    let row = |(row, predicted): (usize, usize)| Row {
        id: format!("a/rather/long/path/of/a/file/{row}.png"),
        label: labels[row],
        predicted,
        confidence: probabilities[[row, predicted]],
        label_probability: probabilities[[row, labels[row]]],
    };
    let rows: Vec<Row> = argmax(probabilities.view()).into_iter().enumerate().map(row).collect();
    let shown = wanted(&rows, &map);
    assert_eq!(shown.len(), MOST_PREVIEWS);
    let preview = |row: usize| (row, Preview::Text(format!("text {row} ").repeat(50)));
    let page = Page {
        title: "many".into(),
        command: "engraft eval".into(),
        figures: figures(&report),
        report,
        facts: Vec::new(),
        curve: Vec::new(),
        training: Vec::new(),
        rows,
        previews: shown.into_iter().map(preview).collect(),
        map: Some(map),
    };
    let html = render(&page).unwrap();
    assert!(html.len() < 4_000_000, "{} bytes", html.len());
    let path = folder.path().join("many.html");
    std::fs::write(&path, &html).unwrap();
    for view in open(&path) {
        let text = view["text"].as_str().unwrap();
        assert!(text.contains("3000 rows, drawn at random from 60000"), "{text}");
        assert!(text.contains("The first 40 of"), "{text}");
        assert_eq!((&view["gallery"], &view["tip"]["points"]), (&48.into(), &3000.into()));
    }
}
