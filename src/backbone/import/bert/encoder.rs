//! The graph around the weights.
//!
//! Standard operators only, and written for ONNX Runtime's CPU kernels. Tokens are rows of a matrix wherever they do not
//! see each other: `Gemm` then adds the bias while it multiplies, and the optimiser makes one node of GELU and leaves
//! `LayerNormalization` as it is. On `[batch,sequence,hidden]` it would instead fuse bias + GELU and skip + normalisation
//! into nodes of its own, whose kernels take half as long again and six times as long (ONNX Runtime 1.32).

use super::config::{Activation, Config};
use crate::backbone::import::weights::Weights;
use crate::error::{Error, Result};
use crate::onnx::build::{Dim, attr_float, attr_int, attr_ints};
use crate::onnx::{DataType, GraphBuilder, Model};

/// Added to the attention scores of padding. `exp` of it is exactly zero in f32, and no sum with a score overflows.
const MASKED: f32 = -1e9;

/// The graph so far and the weights still to be placed.
pub(super) struct Encoder<'a> {
    pub(super) graph: GraphBuilder,
    pub(super) weights: Weights<'a>,
    /// Before every name in the file.
    pub(super) prefix: &'static str,
    pub(super) config: Config,
    pub(super) activation: Activation,
}

impl<'a> Encoder<'a> {
    /// Places every weight. Layer `n`, counted from 1, gives the tensor `layern [batch,sequence,hidden]`; the last one
    /// gives `last_hidden_state`.
    pub(super) fn build(mut self) -> Result<(Model, Weights<'a>)> {
        self.constants();
        let mut tokens = self.embeddings()?;
        for layer in 0..self.config.num_hidden_layers {
            tokens = self.layer(&tokens, layer)?;
        }
        Ok((self.graph.finish(), self.weights))
    }

    /// Inputs, output, and what every layer uses: constants, shapes, the mask that is added to attention scores.
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
        g.tensor_i64("shape/rows", &[2], &[-1, hidden]);
        g.node("Shape", &["input_ids"], "shape/tokens", vec![]);
        for (name, sizes) in [("shape/hidden", &[hidden][..]), ("shape/heads", &[heads, head])] {
            let sizes = g.tensor_i64(&format!("{name}/sizes"), &[sizes.len() as i64], sizes);
            g.node("Concat", &["shape/tokens", &sizes], name, vec![attr_int("axis", 0)]);
        }
        g.tensor_f32("scale", &[], &[(head as f32).sqrt()]);
        g.tensor_f32("one", &[], &[1.0]);
        if self.activation != Activation::Relu {
            g.tensor_f32("half", &[], &[0.5]);
        }
        match self.activation {
            Activation::Gelu => {
                g.tensor_f32("sqrt2", &[], &[std::f32::consts::SQRT_2]);
            }
            Activation::GeluTanh => {
                g.tensor_f32("three", &[], &[3.0]);
                g.tensor_f32("gelu/cubic", &[], &[0.044_715]);
                g.tensor_f32("gelu/scale", &[], &[(2.0 * std::f32::consts::FRAC_1_PI).sqrt()]);
            }
            Activation::Relu => {}
        }

        g.tensor_i64("axes/head+query", &[2], &[1, 2]);
        g.tensor_f32("masked", &[], &[MASKED]);
        let mask = g.node("Unsqueeze", &["attention_mask", "axes/head+query"], "mask/broadcast", vec![]);
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

    /// Self-attention and feed-forward network, each added to its input and normalised:
    /// `[batch,sequence,hidden]` → the same.
    fn layer(&mut self, tokens: &str, index: usize) -> Result<String> {
        let output = format!("layer{}", index + 1);
        let weight = |part: &str| format!("encoder.layer.{index}.{part}");
        let name = |part: &str| format!("{output}/{part}");
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);

        let x = self.graph.node("Reshape", &[tokens, "shape/rows"], &name("rows"), vec![]);
        let attended = self.attention(&x, index, &name("attention"))?;
        let y = self.linear(&attended, &weight("attention.output.dense"), &name("attention/output"), hidden, hidden)?;
        let y = self.graph.node("Add", &[&y, &x], &name("attention/sum"), vec![]);
        let x = self.layer_norm(&y, &weight("attention.output.LayerNorm"), &name("attention"))?;

        let y = self.linear(&x, &weight("intermediate.dense"), &name("inner"), hidden, inner)?;
        let y = self.activate(&y);
        let y = self.linear(&y, &weight("output.dense"), &name("output"), inner, hidden)?;
        let y = self.graph.node("Add", &[&y, &x], &name("sum"), vec![]);
        let y = self.layer_norm(&y, &weight("output.LayerNorm"), &name("normalised"))?;
        let last = index + 1 == self.config.num_hidden_layers;
        let output = if last { "last_hidden_state" } else { &output };
        Ok(self.graph.node("Reshape", &[&y, "shape/hidden"], output, vec![]))
    }

    /// `softmax(QKᵀ/√d + mask)·V` in every head, from rows to rows.
    fn attention(&mut self, x: &str, index: usize, name: &str) -> Result<String> {
        let name = |part: &str| format!("{name}/{part}");
        let hidden = self.config.hidden_size;
        let mut heads = |part: &str, order: [i64; 4]| -> Result<String> {
            let weight = format!("encoder.layer.{index}.attention.self.{part}");
            let y = self.linear(x, &weight, &name(part), hidden, hidden)?;
            let y = self.graph.node("Reshape", &[&y, "shape/heads"], &name(&format!("{part}/split")), vec![]);
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
        Ok(g.node("Reshape", &[&mixed, "shape/rows"], &name("joined"), vec![]))
    }

    /// `x·Wᵀ + b` of rows; torch stores `W` as `[output, input]`.
    fn linear(&mut self, x: &str, weight: &str, name: &str, input: usize, output: usize) -> Result<String> {
        let mut place = |part: &str, shape: &[usize]| -> Result<String> {
            let values = self.weights.take(&format!("{}{weight}.{part}", self.prefix), shape)?;
            let dims: Vec<i64> = shape.iter().map(|n| *n as i64).collect();
            Ok(self.graph.tensor_f32(&format!("{weight}.{part}"), &dims, &values))
        };
        let (w, b) = (place("weight", &[output, input])?, place("bias", &[output])?);
        Ok(self.graph.node("Gemm", &[x, &w, &b], name, vec![attr_int("transB", 1)]))
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
