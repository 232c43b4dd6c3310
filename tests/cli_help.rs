//! Every verb explains itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assert_cmd::Command;

fn output(arguments: &[&str], code: i32) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("ENGRAFT_")) {
        command.env_remove(name);
    }
    let assert = command.args(arguments).assert().code(code);
    let output = assert.get_output();
    (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// The names in the list of commands of a help text.
fn commands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = list.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    names.map(|l| l.split_whitespace().next().unwrap().to_owned()).filter(|n| n != "help").collect()
}

#[test]
fn every_verb_has_an_example() {
    let verbs = commands(&output(&["--help"], 0).0);
    for verb in [
        "setup",
        "doctor",
        "models",
        "embed",
        "train",
        "tune",
        "eval",
        "predict",
        "inspect",
        "audit",
        "suggest",
        "rank",
        "curve",
        "shift",
        "graph",
        "demo",
        "completions",
    ] {
        assert!(verbs.iter().any(|v| v == verb), "{verb} is not in {verbs:?}");
    }
    for verb in &verbs {
        let (help, stderr) = output(&[verb, "--help"], 0);
        assert!(help.contains("Example"), "{verb}: {help}");
        assert!(help.contains(&format!("engraft {verb}")), "{verb}: {help}");
        assert_eq!(stderr, "");
    }
    for action in commands(&output(&["models", "--help"], 0).0) {
        output(&["models", &action, "--help"], 0);
    }
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_right() {
    assert!(output(&[], 2).1.contains("Usage"));
    assert!(output(&["embedd"], 2).1.contains("embed"));
    assert!(output(&["embed", "photos"], 2).1.contains("--output"));
    assert!(output(&["doctor", "--device", "gpu"], 2).1.contains("cuda"));
    assert!(output(&["train", "x.parquet", "-o", "h.onnx", "--max-rejects", "many"], 2).1.contains("percentage"));
    assert!(output(&["doctor", "-q", "-v"], 2).1.contains("cannot be used with"));
}

#[test]
fn flags_can_be_given_by_the_environment() {
    let mut list = Command::new(env!("CARGO_BIN_EXE_engraft"));
    let assert = list.args(["models", "list"]).env("ENGRAFT_JSON", "true").assert().success();
    let models: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(models.as_array().unwrap().len(), 5);
    Command::new(env!("CARGO_BIN_EXE_engraft")).arg("doctor").env("ENGRAFT_DEVICE", "gpu").assert().code(2);
}

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let script = output(&["completions", shell], 0).0;
        assert!(script.contains("embed") && script.contains("predict") && script.contains("max-rejects"), "{shell}");
    }
}
