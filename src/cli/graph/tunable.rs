//! What fine-tuning would find behind each place to cut at.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;

use super::super::results::table;
use super::{millions, sizes};
use crate::backbone::{Anatomy, Cut};
use crate::onnx::{Model, blocks, view};
use crate::tune::supported;

/// A tensor that a tuning could begin at.
#[derive(Debug, Serialize)]
pub(super) struct Tunable {
    tensor: String,
    /// The number for `--blocks` that comes to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    /// Values of the constants behind.
    parameters_behind: u64,
    /// Bytes that are kept for the sample: of the tensor, and of what travels along.
    cached_bytes: Option<u64>,
    /// Operators behind that cannot be tuned through.
    not_supported: BTreeSet<String>,
}

/// The same for each of the model's cuts, those behind which least is trained last.
pub(super) fn tunable(model: &Model, anatomy: &Anatomy) -> Vec<Tunable> {
    let view = view(model);
    let refused: Vec<bool> = view.nodes.iter().map(|node| supported(node, view.opset).is_err()).collect();
    // Where there are too many cuts, none is listed either.
    let begins = blocks(model).unwrap_or_default();
    let of = |cut: &Cut| {
        let mut behind = HashSet::from([cut.at.tensor.as_str()]);
        let mut not_supported = BTreeSet::new();
        for (node, refused) in view.nodes.iter().zip(&refused) {
            if node.inputs.iter().any(|name| behind.contains(name.as_str())) {
                behind.extend(node.outputs.iter().map(String::as_str).filter(|name| !name.is_empty()));
                not_supported.extend(refused.then(|| node.op.clone()));
            }
        }
        let bytes =
            std::iter::once(&cut.at).chain(&cut.companions).map(|tensor| tensor.bytes.map(|bytes| bytes as u64));
        Tunable {
            tensor: cut.at.tensor.clone(),
            blocks: begins.iter().position(|begin| *begin == cut.at.tensor).map(|place| begins.len() - place),
            parameters_behind: anatomy.parameters.saturating_sub(cut.parameters_above),
            cached_bytes: bytes.sum(),
            not_supported,
        }
    };
    anatomy.cuts.iter().map(of).collect()
}

/// The cuts, with what is above and behind each.
pub(super) fn listed(cuts: &[Cut], tunable: &[Tunable]) -> String {
    let row = |(cut, tunable): (&Cut, &Tunable)| {
        let bytes = tunable.cached_bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
        let flops = cut.flops_above.map_or_else(|| "?".to_owned(), millions);
        let besides = cut.companions.iter().map(|with| format!("{} {}", with.tensor, sizes(with))).collect::<Vec<_>>();
        vec![
            cut.at.tensor.clone(),
            sizes(&cut.at),
            bytes,
            cut.nodes_above.to_string(),
            millions(cut.parameters_above),
            flops,
            besides.join(", "),
            tunable.blocks.map_or_else(String::new, |blocks| blocks.to_string()),
            tunable.not_supported.iter().cloned().collect::<Vec<_>>().join(", "),
        ]
    };
    let header = [
        "cut at",
        "shape",
        "cached bytes",
        "nodes above",
        "parameters above, M",
        "operations above, M",
        "with",
        "--blocks",
        "cannot be tuned",
    ];
    table(&header, cuts.iter().zip(tunable).map(row))
}
