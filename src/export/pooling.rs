//! What [`Pooling::pool`] and [`normalize_rows`](crate::backbone::normalize_rows) do, as a graph.

use crate::backbone::{Output, Pooling};
use crate::error::{Error, Result};
use crate::onnx::build::{Dim, attr_int, attr_ints};
use crate::onnx::{Attribute, DataType, GraphBuilder, Model};

/// The input of the graph: in an exported model, what the backbone gives.
pub const TOKENS: &str = "pooling/input";
/// Its output, and the input of heads.
pub const EMBEDDING: &str = "embedding";
/// Which tokens count, for texts.
pub(super) const MASK: &str = "attention_mask";
/// Below every length that is not 0.
const LEAST: f32 = f32::MIN_POSITIVE;

/// What a backbone's output is to the pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pooled {
    /// Its number of dimensions.
    pub(super) rank: usize,
    /// The type of the attention mask, for texts.
    pub(super) mask: Option<DataType>,
    /// d.
    pub(super) dimension: i64,
}

/// From the backbone's output `pooling/input` (and `attention_mask [n, tokens]`, for texts) to `embedding [n, d]`.
///
/// # Errors
/// When the pooling is not for an output of so many dimensions.
pub(super) fn pooling(output: &Output, of: Pooled, name: &str) -> Result<Model> {
    let mut graph = GraphBuilder::new("pooling");
    graph.input(TOKENS, DataType::Float, &[Dim::Unknown; 4][..of.rank.min(4)]);
    let target = if output.normalize { "pooling/raw" } else { EMBEDDING };
    match (output.pooling, of.rank) {
        (Pooling::None, 2 | 4) | (Pooling::Gap, 2) => {
            graph.node("Flatten", &[TOKENS], target, vec![attr_int("axis", 1)]);
        }
        (Pooling::Gap, 4) => {
            let places = vec![attr_ints("axes", &[2, 3]), attr_int("keepdims", 0)];
            graph.node("ReduceMean", &[TOKENS], target, places);
        }
        (Pooling::Gap, 3) => {
            // The first token stands for the whole image and is no patch.
            for (name, value) in [("pooling/start", 1), ("pooling/end", i64::MAX), ("pooling/axis", 1)] {
                graph.tensor_i64(name, &[1], &[value]);
            }
            let slice = [TOKENS, "pooling/start", "pooling/end", "pooling/axis"];
            graph.node("Slice", &slice, "pooling/patches", vec![]);
            mean_of_tokens("pooling/patches", target, &mut graph);
        }
        (Pooling::Mean, 3) => match of.mask {
            None => mean_of_tokens(TOKENS, target, &mut graph),
            Some(mask) => {
                kept(mask, &mut graph);
                graph.tensor_i64("pooling/last", &[1], &[2]);
                graph.tensor_i64("pooling/tokens", &[1], &[1]);
                graph.tensor_f32("pooling/zero", &[], &[0.0]);
                graph.node("Unsqueeze", &["pooling/kept", "pooling/last"], "pooling/choice", vec![]);
                graph.node("Where", &["pooling/choice", TOKENS, "pooling/zero"], "pooling/values", vec![]);
                graph.node("Cast", &["pooling/kept"], "pooling/ones", cast(DataType::Float));
                let sum = || vec![attr_int("keepdims", 0)];
                graph.node("ReduceSum", &["pooling/values", "pooling/tokens"], "pooling/sum", sum());
                let count = vec![attr_int("keepdims", 1)];
                graph.node("ReduceSum", &["pooling/ones", "pooling/tokens"], "pooling/count", count);
                graph.node("Div", &["pooling/sum", "pooling/count"], target, vec![]);
            }
        },
        (Pooling::Cls | Pooling::LastToken, 3) => {
            let last = output.pooling == Pooling::LastToken;
            match of.mask {
                None => {
                    graph.tensor_i64("pooling/index", &[], &[if last { -1 } else { 0 }]);
                    graph.node("Gather", &[TOKENS, "pooling/index"], target, vec![attr_int("axis", 1)]);
                }
                Some(mask) => {
                    kept(mask, &mut graph);
                    graph.node("Cast", &["pooling/kept"], "pooling/ones", cast(DataType::Int32));
                    let place = vec![
                        attr_int("axis", 1),
                        attr_int("keepdims", 1),
                        attr_int("select_last_index", i64::from(last)),
                    ];
                    graph.node("ArgMax", &["pooling/ones"], "pooling/index", place);
                    let of_each = vec![attr_int("batch_dims", 1)];
                    graph.node("GatherND", &[TOKENS, "pooling/index"], target, of_each);
                }
            }
        }
        (pooling, rank) => {
            let reason = format!("an output of {rank} dimensions cannot be pooled by {pooling:?}");
            return Err(Error::model(name, reason));
        }
    }
    if output.normalize {
        graph.tensor_f32("pooling/least", &[], &[LEAST]);
        graph.node("ReduceL2", &[target], "pooling/norm", vec![attr_ints("axes", &[1]), attr_int("keepdims", 1)]);
        graph.node("Max", &["pooling/norm", "pooling/least"], "pooling/length", vec![]);
        graph.node("Div", &[target, "pooling/length"], EMBEDDING, vec![]);
    }
    graph.output(EMBEDDING, DataType::Float, &[Dim::Named("n"), Dim::Fixed(of.dimension)]);
    Ok(graph.finish())
}

fn cast(to: DataType) -> Vec<Attribute> {
    vec![attr_int("to", to as i64)]
}

fn mean_of_tokens(tokens: &str, target: &str, graph: &mut GraphBuilder) {
    graph.node("ReduceMean", &[tokens], target, vec![attr_ints("axes", &[1]), attr_int("keepdims", 0)]);
}

/// Declares the mask: `pooling/kept [n, tokens]` is true where it is not 0.
fn kept(mask: DataType, graph: &mut GraphBuilder) {
    graph.input(MASK, mask, &[Dim::Unknown; 2]);
    graph.node("Cast", &[MASK], "pooling/kept", cast(DataType::Bool));
}
