//! A BERT encoder as an ONNX graph around its safetensors weights, of whatever depth and width `config.json` says.
//!
//! Devlin et al., "BERT" (2018), as Hugging Face's `BertModel` computes it.

mod config;
mod encoder;

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use self::config::Config;
use self::encoder::Encoder;
use super::weights::{Element, Tensor, Weights};
use crate::error::{Error, Result};
use crate::onnx::{self, GraphBuilder};

/// The graph: `input_ids`, `attention_mask`, `token_type_ids`, all int64 `[batch,sequence]`, → `last_hidden_state
/// [batch,sequence,hidden]`. The pooler and the heads of pre-training are left out. `weights` and `config` are the
/// contents of `model.safetensors` and `config.json` in `folder`.
///
/// # Errors
/// When the config asks for something else than a BERT encoder, or a weight is missing, of another shape, not of a
/// float type, or of a layer that the config does not have.
pub(super) fn build(weights: &[u8], config: &str, folder: &Path) -> Result<onnx::Model> {
    let (config, activation) = Config::read(config, &folder.join("config.json"))?;
    let weights = read(weights, &folder.join("model.safetensors"))?;
    let prefix = if weights.contains("bert.embeddings.word_embeddings.weight") { "bert." } else { "" };
    let encoder = Encoder { graph: GraphBuilder::new("bert"), weights, prefix, config, activation };
    let (model, weights) = encoder.build()?;
    weights.finish(|name| {
        let inner = name.strip_prefix(prefix).unwrap_or(name);
        // Checkpoints of older transformers store the numbers 0, 1, 2, ... .
        inner.ends_with(".position_ids") || !(inner.starts_with("embeddings.") || inner.starts_with("encoder."))
    })?;
    Ok(model)
}

fn read<'a>(bytes: &'a [u8], origin: &Path) -> Result<Weights<'a>> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| Error::malformed(origin, e))?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let element = match view.dtype() {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::Bf16,
            Dtype::I64 => Element::I64,
            other => return Err(Error::malformed(origin, format!("tensor {name} holds {other:?}, not floats"))),
        };
        let tensor = Tensor::dense(view.shape().to_vec(), element, view.data());
        let tensor = tensor.map_err(|reason| Error::malformed(origin, format!("tensor {name}: {reason}")))?;
        tensors.push((name, tensor));
    }
    Ok(Weights::new(origin, tensors))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use safetensors::tensor::TensorView;
    use serde_json::{Value, json};

    use super::*;
    use crate::onnx::build::OPSET;

    fn config(change: &[(&str, Value)]) -> String {
        let mut config = json!({
            "model_type": "bert", "hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 6, "vocab_size": 5, "max_position_embeddings": 7, "type_vocab_size": 2,
            "layer_norm_eps": 1e-12, "hidden_act": "gelu", "torch_dtype": "float32"
        });
        for (key, value) in change {
            config[*key] = value.clone();
        }
        config.to_string()
    }

    /// Names and shapes of a BertModel's weights, as transformers writes them.
    fn shapes() -> Vec<(String, Vec<usize>)> {
        let norm = |name: &str| [(format!("{name}.weight"), vec![4]), (format!("{name}.bias"), vec![4])];
        let linear = |name: String, input, output| {
            [(format!("{name}.weight"), vec![output, input]), (format!("{name}.bias"), vec![output])]
        };
        let mut all = vec![("embeddings.position_ids".to_owned(), vec![1, 7])];
        for (table, rows) in [("word", 5), ("position", 7), ("token_type", 2)] {
            all.push((format!("embeddings.{table}_embeddings.weight"), vec![rows, 4]));
        }
        all.extend(norm("embeddings.LayerNorm"));
        for layer in 0..2 {
            let name = |part: &str| format!("encoder.layer.{layer}.{part}");
            for part in ["self.query", "self.key", "self.value", "output.dense"] {
                all.extend(linear(name(&format!("attention.{part}")), 4, 4));
            }
            all.extend(linear(name("intermediate.dense"), 4, 6));
            all.extend(linear(name("output.dense"), 6, 4));
            all.extend(norm(&name("attention.output.LayerNorm")).into_iter().chain(norm(&name("output.LayerNorm"))));
        }
        all.extend(linear("pooler.dense".to_owned(), 4, 4));
        all
    }

    /// Every value is 1.5, which all float types hold exactly.
    fn file(tensors: &[(String, Vec<usize>)], dtype: Dtype) -> Vec<u8> {
        let value: &[u8] = match dtype {
            Dtype::F32 => &[0, 0, 0xc0, 0x3f],
            Dtype::F16 => &[0, 0x3e],
            _ => &[0xc0, 0x3f],
        };
        let values = value.repeat(64);
        let views = tensors.iter().map(|(name, shape)| {
            let length = shape.iter().product::<usize>() * value.len();
            (name.as_str(), TensorView::new(dtype, shape.clone(), &values[..length]).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn built(tensors: &[(String, Vec<usize>)], config: &str) -> Result<onnx::Model> {
        build(&file(tensors, Dtype::F32), config, Path::new("m"))
    }

    #[test]
    fn every_tensor_is_defined_before_it_is_used_and_once() {
        for activation in ["gelu", "gelu_new", "relu"] {
            let model = built(&shapes(), &config(&[("hidden_act", json!(activation))])).unwrap();
            assert_eq!(onnx::opset(&model), OPSET);
            let graph = model.graph.unwrap();
            let inputs = graph.input.iter().map(|v| v.name());
            let mut known: HashSet<&str> = inputs.collect();
            assert!(graph.initializer.iter().all(|t| known.insert(t.name())));
            for node in &graph.node {
                assert!(node.input.iter().all(|name| known.contains(name.as_str())), "{node:?}");
                assert!(node.output.iter().all(|name| known.insert(name)), "{node:?}");
            }
            assert!(known.contains("last_hidden_state"));
            let used: HashSet<&str> = graph.node.iter().flat_map(|n| &n.input).map(String::as_str).collect();
            assert!(graph.initializer.iter().all(|t| used.contains(t.name())));
        }
    }

    #[test]
    fn prefixed_old_and_half_precision_checkpoints_give_the_same_graph() {
        let model = built(&shapes(), &config(&[])).unwrap();
        let rename = |change: &dyn Fn(&str) -> String| {
            shapes().into_iter().map(|(name, shape)| (change(&name), shape)).collect::<Vec<_>>()
        };
        let mut prefixed = rename(&|name| format!("bert.{name}"));
        prefixed.push(("cls.predictions.bias".to_owned(), vec![5]));
        assert!(built(&prefixed, &config(&[])).unwrap() == model);
        let old = rename(&|n| n.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"));
        assert!(built(&old, &config(&[])).unwrap() == model);
        for dtype in [Dtype::F16, Dtype::BF16] {
            assert!(build(&file(&shapes(), dtype), &config(&[]), Path::new("m")).unwrap() == model);
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_named() {
        let error = |tensors: &[_], change: &[_]| built(tensors, &config(change)).unwrap_err().to_string();
        let mut short = shapes();
        short.retain(|(name, _)| name != "encoder.layer.1.output.dense.bias");
        assert!(error(&short, &[]).contains("it has no tensor encoder.layer.1.output.dense.bias"));
        let shallow = error(&shapes(), &[("num_hidden_layers", json!(1))]);
        assert!(shallow.contains("no place in the graph, encoder.layer.1.attention"), "{shallow}");
        let wide = error(&shapes(), &[("vocab_size", json!(6))]);
        assert!(wide.contains("word_embeddings.weight has shape [5, 4], expected [6, 4]"), "{wide}");
        assert!(build(b"\xff", &config(&[]), Path::new("m")).unwrap_err().to_string().contains("model.safetensors"));
    }

    #[test]
    fn what_is_not_a_bert_encoder_is_refused_by_key() {
        for (key, value) in [
            ("model_type", json!("roberta")),
            ("position_embedding_type", json!("relative_key")),
            ("hidden_act", json!("silu")),
            ("is_decoder", json!(true)),
            ("num_attention_heads", json!(3)),
            ("hidden_size", json!(0)),
            ("vocab_size", json!(1u64 << 60)),
            ("layer_norm_eps", json!(-1.0)),
        ] {
            let error = built(&shapes(), &config(&[(key, value)])).unwrap_err().to_string();
            assert!(error.contains("config.json") && error.contains(key), "{error}");
        }
        let error = build(&[], "{\"model_type\": \"bert\"}", Path::new("m")).unwrap_err().to_string();
        assert!(error.contains("missing field `hidden_size`"), "{error}");
    }
}
