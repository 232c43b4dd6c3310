//! A BERT encoder as an ONNX graph around its safetensors weights, of whatever depth and width `config.json` says.
//!
//! Devlin et al., "BERT" (2018), as Hugging Face's `BertModel` computes it. The nodes follow the patterns that ONNX
//! Runtime's optimiser fuses (attention, bias + GELU, skip + layer normalisation).

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::weights::{Element, Tensor, Weights};
use crate::error::{Error, Result};
use crate::onnx::build::{Dim, attr_float, attr_int, attr_ints};
use crate::onnx::{self, DataType, GraphBuilder};

/// Added to the attention scores of padding. `exp` of it is exactly zero in f32, and no sum with a score overflows.
const MASKED: f32 = -1e9;
/// No published encoder comes near; keeps products of sizes far from overflow.
const MAX_SIZE: usize = 1 << 24;

/// The keys of `config.json` that decide the graph. Those without a default must be there.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    #[serde(default)]
    is_decoder: bool,
    #[serde(default)]
    add_cross_attention: bool,
}

fn absolute() -> String {
    "absolute".to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Activation {
    /// `x/2 · (1 + erf(x/√2))`.
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    GeluTanh,
    Relu,
}

impl Config {
    fn read(text: &str, origin: &Path) -> Result<(Self, Activation)> {
        let config: Config = serde_json::from_str(text).map_err(|e| Error::malformed(origin, e))?;
        let refuse = |key: &str, value: &str, can: &str| {
            Err(Error::malformed(origin, format!("{key} is {value}; a BERT encoder can be built with {can}")))
        };
        let activation = match config.hidden_act.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => return refuse("hidden_act", other, "gelu, gelu_new or relu"),
        };
        let sizes = [
            ("hidden_size", config.hidden_size),
            ("num_hidden_layers", config.num_hidden_layers),
            ("num_attention_heads", config.num_attention_heads),
            ("intermediate_size", config.intermediate_size),
            ("vocab_size", config.vocab_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("type_vocab_size", config.type_vocab_size),
        ];
        if let Some((key, value)) = sizes.into_iter().find(|(_, n)| !(1..=MAX_SIZE).contains(n)) {
            return refuse(key, &value.to_string(), "1 to 16777216");
        }
        if config.model_type != "bert" {
            return refuse("model_type", &config.model_type, "bert");
        }
        if config.position_embedding_type != "absolute" {
            return refuse("position_embedding_type", &config.position_embedding_type, "absolute");
        }
        if config.is_decoder || config.add_cross_attention {
            return refuse("is_decoder or add_cross_attention", "true", "false");
        }
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            let heads = config.num_attention_heads.to_string();
            return refuse("num_attention_heads", &heads, "a divisor of hidden_size");
        }
        if !(config.layer_norm_eps.is_finite() && config.layer_norm_eps > 0.0) {
            return refuse("layer_norm_eps", &config.layer_norm_eps.to_string(), "a positive number");
        }
        Ok((config, activation))
    }
}

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
    let mut encoder = Encoder { graph: GraphBuilder::new("bert"), weights, prefix, config, activation };
    encoder.constants();
    let mut x = encoder.embeddings()?;
    for layer in 0..encoder.config.num_hidden_layers {
        x = encoder.layer(&x, layer)?;
    }

    let Encoder { graph, weights, prefix, .. } = encoder;
    weights.finish(|name| {
        let inner = name.strip_prefix(prefix).unwrap_or(name);
        // Checkpoints of older transformers store the numbers 0, 1, 2, ... .
        inner.ends_with(".position_ids") || !(inner.starts_with("embeddings.") || inner.starts_with("encoder."))
    })?;
    Ok(graph.finish())
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

/// The graph so far and the weights still to be placed.
struct Encoder<'a> {
    graph: GraphBuilder,
    weights: Weights<'a>,
    /// Before every name in the file.
    prefix: &'static str,
    config: Config,
    activation: Activation,
}

impl Encoder<'_> {
    /// Inputs, output, the constants that every layer uses, and the mask that is added to attention scores.
    fn constants(&mut self) {
        let tokens = [Dim::Named("batch"), Dim::Named("sequence")];
        for name in ["input_ids", "attention_mask", "token_type_ids"] {
            self.graph.input(name, DataType::Int64, &tokens);
        }
        let hidden = Dim::Fixed(self.config.hidden_size as i64);
        self.graph.output("last_hidden_state", DataType::Float, &[tokens[0], tokens[1], hidden]);

        let (heads, hidden) = (self.config.num_attention_heads as i64, self.config.hidden_size as i64);
        let head = hidden / heads;
        let g = &mut self.graph;
        // Zero keeps the batch and the sequence as they are.
        g.tensor_i64("shape/split", &[4], &[0, 0, heads, head]);
        g.tensor_i64("shape/join", &[3], &[0, 0, hidden]);
        g.tensor_f32("scale", &[], &[(head as f32).sqrt()]);
        g.tensor_f32("half", &[], &[0.5]);
        g.tensor_f32("one", &[], &[1.0]);
        match self.activation {
            Activation::Gelu => drop(g.tensor_f32("sqrt2", &[], &[std::f32::consts::SQRT_2])),
            Activation::GeluTanh => {
                g.tensor_f32("three", &[], &[3.0]);
                g.tensor_f32("gelu/cubic", &[], &[0.044_715]);
                g.tensor_f32("gelu/scale", &[], &[(2.0 * std::f32::consts::FRAC_1_PI).sqrt()]);
            }
            Activation::Relu => {}
        }

        g.tensor_i64("axis/1", &[1], &[1]);
        g.tensor_i64("axis/2", &[1], &[2]);
        g.tensor_f32("masked", &[], &[MASKED]);
        let mask = g.node("Unsqueeze", &["attention_mask", "axis/1"], "mask/head", vec![]);
        let mask = g.node("Unsqueeze", &[&mask, "axis/2"], "mask/query", vec![]);
        let float = vec![attr_int("to", DataType::Float as i64)];
        let mask = g.node("Cast", &[&mask], "mask/float", float);
        let mask = g.node("Sub", &["one", &mask], "mask/padding", vec![]);
        g.node("Mul", &[&mask, "masked"], "mask", vec![]);
    }

    /// Word, position and token type, summed and normalised. More tokens than positions fail when the graph runs.
    fn embeddings(&mut self) -> Result<String> {
        let words = self.table("word_embeddings", self.config.vocab_size)?;
        let positions = self.table("position_embeddings", self.config.max_position_embeddings)?;
        let types = self.table("token_type_embeddings", self.config.type_vocab_size)?;
        let g = &mut self.graph;
        let words = g.node("Gather", &[&words, "input_ids"], "embeddings/words", vec![]);
        let types = g.node("Gather", &[&types, "token_type_ids"], "embeddings/types", vec![]);
        let length = vec![attr_int("start", 1), attr_int("end", 2)];
        let length = g.node("Shape", &["input_ids"], "embeddings/length", length);
        g.tensor_i64("axis/0", &[1], &[0]);
        let slice = [positions.as_str(), "axis/0", &length, "axis/0"];
        let positions = g.node("Slice", &slice, "embeddings/positions", vec![]);
        // What Slice gives has no inferable length, and without it nothing after it would fuse.
        let hidden = Dim::Fixed(self.config.hidden_size as i64);
        g.declare(&positions, DataType::Float, &[Dim::Named("sequence"), hidden]);
        let sum = g.node("Add", &[&words, &types], "embeddings/words+types", vec![]);
        let sum = g.node("Add", &[&sum, &positions], "embeddings/sum", vec![]);
        self.layer_norm(&sum, "embeddings.LayerNorm", "embeddings")
    }

    fn table(&mut self, name: &str, rows: usize) -> Result<String> {
        let name = format!("embeddings.{name}.weight");
        let hidden = self.config.hidden_size;
        let values = self.weights.take(&format!("{}{name}", self.prefix), &[rows, hidden])?;
        Ok(self.graph.tensor_f32(&name, &[rows as i64, hidden as i64], &values))
    }

    /// Self-attention and feed-forward network, each added to its input and normalised.
    fn layer(&mut self, x: &str, number: usize) -> Result<String> {
        let weight = |part: &str| format!("encoder.layer.{number}.{part}");
        let name = |part: &str| format!("layer{number}/{part}");
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);

        let attended = self.attention(x, number)?;
        let y = self.linear(&attended, &weight("attention.output.dense"), &name("attention/output"), hidden, hidden)?;
        let y = self.graph.node("Add", &[&y, x], &name("attention/sum"), vec![]);
        let x = self.layer_norm(&y, &weight("attention.output.LayerNorm"), &name("attention"))?;

        let y = self.linear(&x, &weight("intermediate.dense"), &name("inner"), hidden, inner)?;
        let y = self.activate(&y);
        let y = self.linear(&y, &weight("output.dense"), &name("output"), inner, hidden)?;
        let y = self.graph.node("Add", &[&y, &x], &name("sum"), vec![]);
        let last = number + 1 == self.config.num_hidden_layers;
        let output = if last { "last_hidden_state".to_owned() } else { format!("layer{number}") };
        self.layer_norm(&y, &weight("output.LayerNorm"), &output)
    }

    /// `softmax(QKᵀ/√d + mask)·V` in every head.
    fn attention(&mut self, x: &str, number: usize) -> Result<String> {
        let name = |part: &str| format!("layer{number}/attention/{part}");
        let hidden = self.config.hidden_size;
        let mut heads = |part: &str, order: [i64; 4]| -> Result<String> {
            let weight = format!("encoder.layer.{number}.attention.self.{part}");
            let y = self.linear(x, &weight, &name(part), hidden, hidden)?;
            let y = self.graph.node("Reshape", &[&y, "shape/split"], &name(&format!("{part}/split")), vec![]);
            let order = vec![attr_ints("perm", &order)];
            Ok(self.graph.node("Transpose", &[&y], &name(&format!("{part}/heads")), order))
        };
        let query = heads("query", [0, 2, 1, 3])?;
        let key = heads("key", [0, 2, 3, 1])?;
        let value = heads("value", [0, 2, 1, 3])?;
        let g = &mut self.graph;
        let scores = g.node("MatMul", &[&query, &key], &name("products"), vec![]);
        let scores = g.node("Div", &[&scores, "scale"], &name("scores"), vec![]);
        let scores = g.node("Add", &[&scores, "mask"], &name("masked"), vec![]);
        let shares = g.node("Softmax", &[&scores], &name("shares"), vec![attr_int("axis", -1)]);
        let mixed = g.node("MatMul", &[&shares, &value], &name("mixed"), vec![]);
        let order = vec![attr_ints("perm", &[0, 2, 1, 3])];
        let mixed = g.node("Transpose", &[&mixed], &name("mixed/tokens"), order);
        Ok(g.node("Reshape", &[&mixed, "shape/join"], &name("joined"), vec![]))
    }

    /// `x·Wᵀ + b`: torch stores `[output, input]`, `MatMul` wants `[input, output]`.
    fn linear(&mut self, x: &str, weight: &str, name: &str, input: usize, output: usize) -> Result<String> {
        let stored = self.weights.take(&format!("{}{weight}.weight", self.prefix), &[output, input])?;
        let bias = self.weights.take(&format!("{}{weight}.bias", self.prefix), &[output])?;
        let columns = (0..input).flat_map(|i| stored.iter().skip(i).step_by(input));
        let transposed: Vec<f32> = columns.copied().collect();
        let dims = [input as i64, output as i64];
        let w = self.graph.tensor_f32(&format!("{weight}.weight/transposed"), &dims, &transposed);
        let b = self.graph.tensor_f32(&format!("{weight}.bias"), &[output as i64], &bias);
        let product = self.graph.node("MatMul", &[x, &w], &format!("{name}/product"), vec![]);
        Ok(self.graph.node("Add", &[&product, &b], name, vec![]))
    }

    /// Checkpoints from before PyTorch name the scale `gamma` and the shift `beta`.
    fn layer_norm(&mut self, x: &str, weight: &str, output: &str) -> Result<String> {
        let prefix = self.prefix;
        let old = self.weights.contains(&format!("{prefix}{weight}.gamma"));
        let hidden = self.config.hidden_size;
        let mut part = |now: &str, then: &str| {
            let stored = format!("{prefix}{weight}.{}", if old { then } else { now });
            let values = self.weights.take(&stored, &[hidden])?;
            Ok::<_, Error>(self.graph.tensor_f32(&format!("{weight}.{now}"), &[hidden as i64], &values))
        };
        let (scale, shift) = (part("weight", "gamma")?, part("bias", "beta")?);
        let attributes = vec![attr_int("axis", -1), attr_float("epsilon", self.config.layer_norm_eps)];
        Ok(self.graph.node("LayerNormalization", &[x, &scale, &shift], output, attributes))
    }

    fn activate(&mut self, x: &str) -> String {
        let g = &mut self.graph;
        let name = |part: &str| format!("{x}/{part}");
        let gate = match self.activation {
            Activation::Relu => return g.node("Relu", &[x], &name("relu"), vec![]),
            Activation::Gelu => {
                let y = g.node("Div", &[x, "sqrt2"], &name("x/sqrt2"), vec![]);
                g.node("Erf", &[&y], &name("erf"), vec![])
            }
            Activation::GeluTanh => {
                let y = g.node("Pow", &[x, "three"], &name("cube"), vec![]);
                let y = g.node("Mul", &[&y, "gelu/cubic"], &name("cubic"), vec![]);
                let y = g.node("Add", &[x, &y], &name("polynomial"), vec![]);
                let y = g.node("Mul", &[&y, "gelu/scale"], &name("scaled"), vec![]);
                g.node("Tanh", &[&y], &name("tanh"), vec![])
            }
        };
        let y = g.node("Add", &[&gate, "one"], &name("gate"), vec![]);
        let y = g.node("Mul", &[x, &y], &name("gated"), vec![]);
        g.node("Mul", &[&y, "half"], &name("gelu"), vec![])
    }
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
