//! Tokens and embeddings of real texts equal those of Python's tokenizers, NumPy and ONNX Runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use engraft::backbone::{
    Backbone, Device, Overrides, Pooling, Provider, Runtime, Session, SessionOptions, Tensor, normalize_rows, registry,
};
use engraft::preprocess::{Preprocessing, TextPreprocessor, TextSpec};
use ndarray::Array2;
use support::{cosine, embed, engraft, golden, home, least_cosine, package_files};

const MODEL: &str = "all-minilm-l6-v2";

const TABLES: [(&str, &str); 2] = [
    (
        "additional_resources/hutto_ICWSM_2014.tar.gz!tweets_GroundTruth.txt",
        "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f",
    ),
    (
        "additional_resources/hutto_ICWSM_2014.tar.gz!movieReviewSnippets_GroundTruth.txt",
        "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
    ),
];

/// A hundred tweets and a hundred sentences of film reviews, evenly spread over their tables.
fn sentences() -> Vec<String> {
    let folder = package_files("vaderSentiment", "0.5", &TABLES, "sentences");
    let tables = [("tweets_GroundTruth.txt", 42), ("movieReviewSnippets_GroundTruth.txt", 106)];
    let sentences = tables.into_iter().flat_map(|(table, step)| {
        let text = std::fs::read_to_string(folder.join(table)).unwrap();
        let lines = text.split("\r\n").step_by(step).take(100);
        lines.map(|line| line.splitn(3, '\t').nth(2).unwrap().to_owned()).collect::<Vec<_>>()
    });
    sentences.collect()
}

fn write_table(path: &Path, texts: &[String]) {
    let lines: String = texts.iter().map(|text| format!("{}\n", serde_json::json!({ "text": text }))).collect();
    std::fs::write(path, lines).unwrap();
}

#[test]
fn embeddings_equal_pythons_whatever_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("sentences.jsonl");
    let texts = sentences();
    assert_eq!(texts.len(), 200);
    write_table(&table, &texts);
    let bytes = std::fs::read(golden("sentences/all-minilm-l6-v2.bin")).unwrap();
    let want: Vec<f32> = bytes.as_chunks().0.iter().map(|b| f32::from(i16::from_le_bytes(*b)) / 32767.0).collect();
    for batch_size in ["1", "7", "32"] {
        let features = embed(&table, MODEL, &["--batch-size", batch_size]);
        let least = least_cosine(&features, &want);
        println!("batches of {batch_size}: least cosine {least:.8}");
        assert!(least >= 0.99999, "batches of {batch_size}: {least}");
    }
}

#[test]
fn the_smaller_model_is_near_the_full_one() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("sentences.jsonl");
    write_table(&table, &sentences()[..32]);
    let full = embed(&table, MODEL, &[]);
    let least = least_cosine(&embed(&table, "all-minilm-l6-v2-int8", &[]), full.matrix.as_slice().unwrap());
    println!("int8 to fp32: least cosine {least:.6}");
    assert!((0.998..0.999_999).contains(&least), "{least}");
}

#[test]
fn tokens_equal_pythons() {
    engraft().args(["models", "pull", MODEL]).assert().success();
    let text = std::fs::read_to_string(golden("text/minilm.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let max_length = golden["max_length"].as_u64().unwrap() as usize;
    let file = home().model(MODEL).join("tokenizer.json");
    let tokenizer = TextPreprocessor::from_file(&file, &TextSpec { max_length }).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 61);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!(serde_json::json!(encoded.ids), case["ids"], "{text:?}");
        assert_eq!(encoded.truncated, case["truncated"], "{text:?}");
    }
}

#[test]
fn lines_of_standard_input_are_embedded_and_long_ones_counted() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("lines.npy");
    let long = "word ".repeat(300);
    let lines =
        format!("This is an example sentence\nA man is eating food.\nA man is eating a piece of bread.\n{long}\n");
    let mut command = engraft();
    command.args(["embed", "-", "--model", MODEL, "-o"]).arg(&output).write_stdin(lines);
    let summary = support::json(&mut command);
    assert_eq!((&summary["rows"], &summary["truncated"]), (&4.into(), &1.into()), "{summary}");
    let features = engraft::features::FeatureSet::read(&output).unwrap();
    let row = |i: usize| features.matrix.row(i).to_vec();
    let reference = engraft::backbone::registry::reference(MODEL).unwrap();
    assert_eq!(reference.texts[0], "This is an example sentence");
    assert!(cosine(&row(0), &reference.embeddings[0]) > 0.99999);
    let (related, unrelated) = (cosine(&row(1), &row(2)), cosine(&row(1), &row(3)));
    assert!(related > 0.7 && unrelated < 0.3, "{related} {unrelated}");
}

/// Texts of several lengths in one batch through the output that the overrides choose.
fn vectors(model: &str, overrides: &Overrides, texts: &[String]) -> (Backbone, Array2<f32>) {
    let backbone = registry::resolve(model, overrides, &home(), &()).unwrap();
    let runtime = Runtime::load(None, &home()).unwrap();
    let (tensor, cpu) = (&backbone.output.tensor, Device::Only(Provider::Cpu));
    let (mut session, _) = Session::open(runtime, &backbone.model, tensor, &SessionOptions::new(cpu, 1)).unwrap();
    let Preprocessing::Text(spec) = &backbone.preprocessing else { panic!("a text backbone") };
    let tokenizer = TextPreprocessor::from_file(backbone.tokenizer.as_deref().unwrap(), spec).unwrap();
    let encoded: Vec<_> = texts.iter().map(|text| tokenizer.encode(text).unwrap()).collect();
    let batch = tokenizer.batch(&encoded);
    let shape = [batch.rows, batch.columns];
    let inputs = [
        ("input_ids", Tensor::I64(&shape, &batch.input_ids)),
        ("attention_mask", Tensor::I64(&shape, &batch.attention_mask)),
        ("token_type_ids", Tensor::I64(&shape, &batch.token_type_ids)),
    ];
    let (shape, values) = session.run(&inputs).unwrap();
    let mut matrix = backbone.output.pooling.pool(&values, &shape, Some(&batch.attention_mask)).unwrap();
    if backbone.output.normalize {
        normalize_rows(&mut matrix);
    }
    (backbone, matrix)
}

fn layers(numbers: &[i64]) -> Overrides {
    Overrides { layers: Some(numbers.to_vec()), ..Default::default() }
}

#[test]
fn a_layer_inside_equals_pytorchs() {
    let texts = registry::reference(MODEL).unwrap().texts;
    let text = std::fs::read_to_string(golden("text/layer3.json")).unwrap();
    let want: Vec<Vec<f32>> = serde_json::from_str(&text).unwrap();
    let named = Overrides { output_name: Some("layer3".into()), ..Default::default() };
    let (backbone, matrix) = vectors(MODEL, &named, &texts);
    let least = matrix.outer_iter().zip(&want).map(|(got, want)| cosine(&got.to_vec(), want)).fold(1.0, f64::min);
    assert!(want.len() == texts.len() && least > 0.999_999, "{least}");
    // The later layers are not in the copy, which is made once.
    let whole = home().model(MODEL).join("model.onnx");
    assert!(backbone.model.metadata().unwrap().len() < whole.metadata().unwrap().len());
    assert_eq!(vectors(MODEL, &layers(&[-4]), &texts), (backbone, matrix));
}

#[test]
fn the_last_layer_is_the_default() {
    let texts = registry::reference(MODEL).unwrap().texts;
    let default = vectors(MODEL, &Overrides::default(), &texts);
    let said = Overrides { pooling: Some(Pooling::Mean), normalize: Some(true), ..layers(&[-1]) };
    assert_eq!(vectors(MODEL, &said, &texts), default);
    let file = Overrides { output_name: Some("last_hidden_state".into()), layers: None, max_length: Some(256), ..said };
    let path = home().model(MODEL).join("model.onnx");
    assert_eq!(vectors(path.to_str().unwrap(), &file, &texts).1, default.1);
}

#[test]
fn layers_are_joined_in_the_order_asked_for() {
    // The last one is long, and slow.
    let texts = &registry::reference(MODEL).unwrap().texts[..3];
    let poolings = [Pooling::Mean, Pooling::Cls, Pooling::LastToken];
    for (model, poolings) in [(MODEL, &poolings[..]), ("all-minilm-l6-v2-int8", &poolings[..1])] {
        for &pooling in poolings {
            let of = |numbers: &[i64]| {
                let plain = Overrides { pooling: Some(pooling), normalize: Some(false), ..layers(numbers) };
                vectors(model, &plain, texts).1
            };
            let parts = [of(&[-1]), of(&[-2])];
            let want = ndarray::concatenate(ndarray::Axis(1), &[parts[0].view(), parts[1].view()]).unwrap();
            let joined = of(&[-1, -2]);
            assert_eq!(joined.dim(), (texts.len(), 768));
            for (got, want) in joined.iter().zip(&want) {
                assert!((got - want).abs() < 1e-5, "{model} {pooling:?}: {got} {want}");
            }
        }
    }
    // What a feature set remembers of the output leads to the same vectors again.
    let (backbone, matrix) = vectors(MODEL, &layers(&[2, 4]), texts);
    assert_eq!(backbone.output.tensor, "layer2,layer4");
    let recalled = Overrides { output_name: Some(backbone.output.tensor.clone()), ..Default::default() };
    assert_eq!(vectors(MODEL, &recalled, texts), (backbone, matrix));
}
