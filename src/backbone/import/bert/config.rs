//! What `config.json` asks for.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// No published encoder comes near; keeps products of sizes far from overflow.
const MAX_SIZE: usize = 1 << 24;

/// The keys of `config.json` that decide the graph. Those without a default must be there.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Config {
    model_type: String,
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) intermediate_size: usize,
    pub(super) vocab_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) type_vocab_size: usize,
    pub(super) layer_norm_eps: f32,
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
pub(super) enum Activation {
    /// `x/2 · (1 + erf(x/√2))`.
    Gelu,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    GeluTanh,
    Relu,
}

impl Config {
    pub(super) fn read(text: &str, origin: &Path) -> Result<(Self, Activation)> {
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
