//! Sentence encoders.

use super::*;
use crate::backbone::{Output, Pooling};
use crate::preprocess::TextSpec;

/// A text model in `onnx/` with these files around it.
fn text_with(outputs: &[Value], files: &[(&str, &str)], overrides: &Overrides) -> Result<(usize, Output), String> {
    let folder = tempfile::tempdir().unwrap();
    text_graph(&folder.path().join("onnx/model.onnx"), outputs);
    write(&folder, "tokenizer.json", r#"{"version": "1.0", "truncation": null}"#);
    for (name, text) in files {
        write(&folder, name, text);
    }
    let backbone = open(folder.path(), overrides, "m").map_err(|e| e.to_string())?;
    assert!(backbone.tokenizer.is_some());
    match backbone.preprocessing {
        Preprocessing::Text(TextSpec { max_length }) => Ok((max_length, backbone.output)),
        Preprocessing::Image(_) => panic!("a text model"),
    }
}

/// `modules.json` with the given modules after the encoder, and a pooling of one mode.
fn sentence(modules: &[&str], mode: &'static str) -> Vec<(&'static str, String)> {
    let rest = modules.iter().enumerate().map(|(i, name)| {
        let path = if *name == "Pooling" { "1_Pooling".into() } else { format!("{}_{name}", i + 1) };
        format!(
            r#", {{"idx": {0}, "name": "{0}", "path": "{path}", "type": "sentence_transformers.models.{name}"}}"#,
            i + 1
        )
    });
    let encoder = r#"{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}"#;
    let pooling = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken"]
        .map(|m| format!(r#", "pooling_mode_{m}": {}"#, m == mode));
    vec![
        ("modules.json", format!("[{encoder}{}]", rest.collect::<String>())),
        ("1_Pooling/config.json", format!(r#"{{"word_embedding_dimension": 8{}}}"#, pooling.concat())),
    ]
}

fn sentence_model(modules: &[&str], mode: &'static str, more: &[(&str, &str)]) -> Result<(usize, Output), String> {
    let owned = sentence(modules, mode);
    let mut files: Vec<(&str, &str)> = owned.iter().map(|(name, text)| (*name, text.as_str())).collect();
    files.extend(more);
    text_with(&[TOKENS], &files, &Overrides::default())
}

fn tokens(pooling: Pooling, normalize: bool) -> Output {
    Output { tensor: "last_hidden_state".into(), pooling, normalize }
}

#[test]
fn minilm_has_three_lengths_and_the_sentence_one_counts() {
    let files = [
        ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": false}"#),
        ("tokenizer_config.json", r#"{"model_max_length": 512}"#),
        ("config.json", r#"{"model_type": "bert", "max_position_embeddings": 512}"#),
        ("tokenizer.json", r#"{"truncation": {"direction": "Right", "max_length": 128}}"#),
    ];
    assert_eq!(
        sentence_model(&["Pooling", "Normalize"], "mean_tokens", &files),
        Ok((256, tokens(Pooling::Mean, true)))
    );
}

#[test]
fn mpnet_positions_start_after_the_padding() {
    let files = [
        ("config.json", r#"{"model_type": "mpnet", "max_position_embeddings": 514}"#),
        ("tokenizer_config.json", r#"{"model_max_length": 1000000000000000019884624838656}"#),
    ];
    assert_eq!(
        sentence_model(&["Pooling", "Normalize"], "mean_tokens", &files),
        Ok((512, tokens(Pooling::Mean, true)))
    );
}

#[test]
fn a_length_beyond_learnt_positions_is_refused() {
    let with = |config, length| {
        let flags = Overrides { max_length: Some(length), ..Default::default() };
        text_with(&[SENTENCE], &[("config.json", config)], &flags).map(|(length, _)| length)
    };
    let roberta = r#"{"model_type": "roberta", "max_position_embeddings": 514}"#;
    assert_eq!(with(roberta, 512), Ok(512));
    let error = with(roberta, 513).unwrap_err();
    assert!(error.contains("513 tokens") && error.contains("512 positions"), "{error}");
    assert_eq!(with(r#"{"model_type": "modernbert", "max_position_embeddings": 512}"#, 513), Ok(513));
}

#[test]
fn bge_takes_cls_gte_means_without_normalising() {
    let bert = [
        ("sentence_bert_config.json", r#"{"max_seq_length": null, "do_lower_case": true}"#),
        ("tokenizer_config.json", r#"{"model_max_length": 512}"#),
        ("config.json", r#"{"model_type": "bert", "max_position_embeddings": 512}"#),
    ];
    assert_eq!(sentence_model(&["Pooling", "Normalize"], "cls_token", &bert), Ok((512, tokens(Pooling::Cls, true))));
    assert_eq!(sentence_model(&["Pooling"], "mean_tokens", &bert), Ok((512, tokens(Pooling::Mean, false))));
    assert_eq!(sentence_model(&["Pooling"], "lasttoken", &bert), Ok((512, tokens(Pooling::LastToken, false))));
}

#[test]
fn e5_is_cut_where_its_xlm_roberta_ends() {
    let files = [
        ("config.json", r#"{"model_type": "xlm-roberta", "max_position_embeddings": 514}"#),
        ("tokenizer_config.json", r#"{"model_max_length": 512}"#),
        ("tokenizer.json", r#"{"truncation": null}"#),
    ];
    assert_eq!(
        sentence_model(&["Pooling", "Normalize"], "mean_tokens", &files),
        Ok((512, tokens(Pooling::Mean, true)))
    );
}

#[test]
fn modules_outside_the_graph_and_other_poolings_are_refused() {
    let length = [("sentence_bert_config.json", r#"{"max_seq_length": 128}"#)];
    let error = sentence_model(&["Pooling", "Dense"], "mean_tokens", &length).unwrap_err();
    assert!(error.contains("Dense is not part of the ONNX file"), "{error}");
    assert!(sentence_model(&["Pooling"], "max_tokens", &length).unwrap_err().contains("pooling max"));
    assert!(sentence_model(&["Pooling"], "no_such_mode", &length).unwrap_err().contains("no pooling mode"));
    let both = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#;
    let more = [length[0], ("1_Pooling/config.json", both)];
    assert!(sentence_model(&["Pooling"], "mean_tokens", &more).unwrap_err().contains("cls + mean"));
    let outside = r#"[{"idx": 1, "name": "1", "path": "../../etc", "type": "sentence_transformers.models.Pooling"}]"#;
    let more = [length[0], ("modules.json", outside)];
    assert!(sentence_model(&["Pooling"], "mean_tokens", &more).unwrap_err().contains("outside the model"));
    let named = [length[0], ("1_Pooling/config.json", r#"{"pooling_mode": "cls"}"#)];
    assert_eq!(sentence_model(&["Pooling"], "mean_tokens", &named), Ok((128, tokens(Pooling::Cls, false))));
}

#[test]
fn a_text_model_without_modules_asks_for_its_pooling() {
    let length = ("tokenizer_config.json", r#"{"model_max_length": 77}"#);
    let free = Overrides::default();
    assert!(text_with(&[TOKENS], &[length], &free).unwrap_err().contains("--pooling"));
    let mean = Overrides { pooling: Some(Pooling::Mean), normalize: Some(true), ..Default::default() };
    assert_eq!(text_with(&[TOKENS], &[length], &mean), Ok((77, tokens(Pooling::Mean, true))));
    let ready = Output { tensor: "sentence_embedding".into(), pooling: Pooling::None, normalize: false };
    assert_eq!(text_with(&[TOKENS, SENTENCE], &[length], &free), Ok((77, ready.clone())));
    assert!(text_with(&[SENTENCE], &[], &free).unwrap_err().contains("--max-length"));
    let long = Overrides { max_length: Some(40), ..Default::default() };
    assert_eq!(text_with(&[SENTENCE], &[length], &long), Ok((40, ready)));
}

#[test]
fn the_tokenizer_is_asked_for_when_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("onnx").join("model.onnx");
    text_graph(&file, &[SENTENCE]);
    write(&folder, "config.json", r#"{"max_position_embeddings": 512}"#);
    let error = open(&file, &Overrides::default(), "m").unwrap_err().to_string();
    assert!(error.contains("tokenizer.json") && error.contains("--tokenizer"), "{error}");
    write(&folder, "elsewhere/t.json", "{}");
    let tokenizer = folder.path().join("elsewhere/t.json");
    let flags = Overrides { tokenizer: Some(tokenizer.clone()), ..Default::default() };
    assert_eq!(open(&file, &flags, "m").unwrap().tokenizer, Some(tokenizer));
    // A bare file in a folder `onnx` belongs to the folder around it.
    write(&folder, "tokenizer.json", "{}");
    assert_eq!(open(&file, &Overrides::default(), "m").unwrap().tokenizer, Some(folder.path().join("tokenizer.json")));
    let flags = Overrides { tokenizer: Some(folder.path().join("nowhere.json")), ..Default::default() };
    assert!(open(&file, &flags, "m").unwrap_err().to_string().contains("--tokenizer"));
}
