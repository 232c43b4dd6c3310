//! Which of several ONNX files.

use std::fmt::Display;

use crate::error::{Error, Result};

/// The names that exporters give to the plain, full-precision model.
const STANDARD: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// Chooses among the files of a folder or repository, given relative to its root with `/`: the `explicit` one, else
/// `model.onnx`, else `onnx/model.onnx`, else the only `.onnx` file in the root or in `onnx/`. `what` is named in errors.
///
/// # Errors
/// When the explicit file is not there, there is no ONNX file, or several and none has a standard name.
pub fn choose_onnx<'a>(files: &[&'a str], explicit: Option<&str>, what: impl Display) -> Result<&'a str> {
    let candidates: Vec<&str> = files.iter().copied().filter(|file| is_candidate(file)).collect();
    if let Some(explicit) = explicit {
        let found = files.iter().copied().find(|file| *file == explicit);
        return found.ok_or_else(|| Error::model(what, format!("it has no file {explicit}; {}", told(&candidates))));
    }
    if let Some(standard) = STANDARD.iter().find_map(|name| candidates.iter().copied().find(|c| c == name)) {
        return Ok(standard);
    }
    match candidates[..] {
        [only] => Ok(only),
        [] => Err(Error::model(what, "it has no .onnx file, in its root or in onnx/; export the model to ONNX first")),
        _ => Err(Error::model(what, format!("which ONNX file? Name one with --onnx-file; {}", told(&candidates)))),
    }
}

fn is_candidate(file: &str) -> bool {
    file.ends_with(".onnx") && (!file.contains('/') || file.strip_prefix("onnx/").is_some_and(|f| !f.contains('/')))
}

fn told(candidates: &[&str]) -> String {
    if candidates.is_empty() { "it has no .onnx file".into() } else { format!("it has {}", candidates.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_names_come_first_then_the_only_one() {
        let choose = |files: &[&'static str]| choose_onnx(files, None, "m").map_err(|e| e.to_string());
        assert_eq!(choose(&["onnx/model.onnx", "model.onnx", "a.onnx"]), Ok("model.onnx"));
        assert_eq!(choose(&["onnx/model_q4.onnx", "onnx/model.onnx", "onnx/model_fp16.onnx"]), Ok("onnx/model.onnx"));
        assert_eq!(choose(&["config.json", "onnx/encoder.onnx", "deep/er/model.onnx"]), Ok("onnx/encoder.onnx"));
        let error = choose(&["a.onnx", "onnx/b.onnx"]).unwrap_err();
        assert!(error.contains("--onnx-file") && error.contains("a.onnx, onnx/b.onnx"), "{error}");
        assert!(choose(&["model.safetensors"]).unwrap_err().contains("no .onnx file"));
    }

    #[test]
    fn an_explicit_file_wins_or_is_missed() {
        let files = ["model.onnx", "onnx/model_fp16.onnx", "openvino/model.onnx"];
        assert_eq!(choose_onnx(&files, Some("openvino/model.onnx"), "m").unwrap(), "openvino/model.onnx");
        let error = choose_onnx(&files, Some("onnx/model_q4.onnx"), "m").unwrap_err().to_string();
        assert!(error.contains("no file onnx/model_q4.onnx") && error.contains("onnx/model_fp16.onnx"), "{error}");
    }
}
