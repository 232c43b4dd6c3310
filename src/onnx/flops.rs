//! What a graph costs to compute.

use std::collections::HashMap;

use super::proto::{ModelProto, NodeProto};

/// Operators that multiply and add much, and are not counted here.
const UNCOUNTED: [&str; 12] = [
    "Attention",
    "DeformConv",
    "DynamicQuantizeLSTM",
    "Einsum",
    "GroupQueryAttention",
    "If",
    "Loop",
    "MatMulNBits",
    "MultiHeadAttention",
    "QAttention",
    "Scan",
    "SparseAttention",
];

/// Floating-point operations of a model: two for each multiply-add of convolutions, matrix products and recurrent layers, integer
/// ones included. What works value by value (activations, normalisations, pooling) is not counted, as is usual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flops {
    /// For each node of the graph.
    pub nodes: Vec<u64>,
    /// Operators that would count and do not: of unknown shapes, with subgraphs, or of a kind that is not known here. Sorted, each once.
    pub uncounted: Vec<String>,
}

impl Flops {
    /// Of all nodes.
    pub fn total(&self) -> u64 {
        self.nodes.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }
}

/// Counts the operations of `model`, whose tensors have the `shapes` given; those of constants are known.
pub fn flops(model: &ModelProto, shapes: &HashMap<String, Vec<usize>>) -> Flops {
    let Some(graph) = &model.graph else { return Flops::default() };
    let mut known: HashMap<&str, Vec<u64>> =
        shapes.iter().map(|(name, shape)| (name.as_str(), shape.iter().map(|&n| n as u64).collect())).collect();
    for tensor in &graph.initializer {
        known.insert(tensor.name(), tensor.dims.iter().map(|&n| u64::try_from(n).unwrap_or(0)).collect());
    }
    let mut flops = Flops::default();
    for node in &graph.node {
        let shape =
            |names: &[String], place: usize| names.get(place).and_then(|name| known.get(name.as_str())).cloned();
        let counted = match of_node(node, &|place| shape(&node.input, place), &|| shape(&node.output, 0)) {
            Counted::Of(n) => n,
            Counted::Nothing => 0,
            Counted::Unknown => {
                flops.uncounted.push(node.op_type().to_owned());
                0
            }
        };
        flops.nodes.push(counted);
    }
    flops.uncounted.sort_unstable();
    flops.uncounted.dedup();
    flops
}

enum Counted {
    Of(u64),
    Nothing,
    Unknown,
}

fn of_node(
    node: &NodeProto,
    input: &dyn Fn(usize) -> Option<Vec<u64>>,
    output: &dyn Fn() -> Option<Vec<u64>>,
) -> Counted {
    let operations = match node.op_type() {
        "Conv" | "FusedConv" | "ConvInteger" => convolution(output(), input(1)),
        "QLinearConv" => convolution(output(), input(3)),
        // Each value of the input is multiplied by the weights of its channel.
        "ConvTranspose" => convolution(input(0), input(1)),
        "MatMul" | "MatMulInteger" | "MatMulIntegerToFloat" | "DynamicQuantizeMatMul" | "QLinearMatMul" => {
            product(output(), input(0), false)
        }
        "FusedMatMul" | "Gemm" | "FusedGemm" => product(output(), input(0), is_set(node, "transA")),
        "LSTM" | "GRU" | "RNN" => recurrent(input(0), input(1), input(2)),
        operator if UNCOUNTED.contains(&operator) => None,
        _ => return Counted::Nothing,
    };
    operations.map_or(Counted::Unknown, Counted::Of)
}

fn is_set(node: &NodeProto, name: &str) -> bool {
    node.attribute.iter().any(|a| a.name() == name && a.i() != 0)
}

/// A dot product over a filter `[out, in / groups, height, width]` for each value.
fn convolution(values: Option<Vec<u64>>, weights: Option<Vec<u64>>) -> Option<u64> {
    Some(operations(&[&values?, weights?.get(1..)?]))
}

/// A dot product for each value of the result, as long as the rows of the first factor: `[…, m, k]`, or `[…, k, m]` where it is
/// `transposed`.
fn product(result: Option<Vec<u64>>, first: Option<Vec<u64>>, transposed: bool) -> Option<u64> {
    let first = first?;
    let inner = first.len().checked_sub(if transposed { 2 } else { 1 })?;
    Some(operations(&[&result?, &[*first.get(inner)?]]))
}

/// For each step of each sequence `[steps, batch, d]` a product with the weights of the input and one with those of the state.
fn recurrent(input: Option<Vec<u64>>, weights: Option<Vec<u64>>, state: Option<Vec<u64>>) -> Option<u64> {
    let input = input?;
    let steps = input.get(..2)?;
    Some(operations(&[steps, &weights?]).saturating_add(operations(&[steps, &state?])))
}

/// Two for each multiply-add, of which there are as many as the product of all sizes.
fn operations(sizes: &[&[u64]]) -> u64 {
    sizes.iter().copied().flatten().fold(2, |n: u64, &size| n.saturating_mul(size))
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, attr_int, node, tensor_f32};
    use super::super::proto::GraphProto;
    use super::*;

    #[test]
    fn multiply_adds_count_two() {
        let tensor =
            |name: &str, dims: &[i64]| tensor_f32(name, dims, &vec![0.0; dims.iter().product::<i64>() as usize]);
        let transposed = vec![attr_int("transA", 1)];
        let nodes = vec![
            node("Conv", &["image", "filter"], &["map"], vec![]),
            node("Relu", &["map"], &["relu"], vec![]),
            node("MatMul", &["rows", "matrix"], &["product"], vec![]),
            node("Gemm", &["turned", "matrix"], &["gemm"], transposed),
            node("LSTM", &["sequence", "w", "r"], &["lstm"], vec![]),
            node("ConvTranspose", &["map", "back"], &["again"], vec![]),
            node("Einsum", &["rows", "matrix"], &["einsum"], vec![]),
            node("MatMul", &["nowhere", "matrix"], &["unknown"], vec![]),
        ];
        let model = build::model(GraphProto {
            node: nodes,
            initializer: vec![
                tensor("filter", &[8, 3, 3, 3]),
                tensor("matrix", &[5, 7]),
                tensor("w", &[1, 16, 3]),
                tensor("r", &[1, 16, 4]),
                tensor("back", &[8, 2, 3, 3]),
            ],
            ..Default::default()
        });
        let shapes = [
            ("image", &[1, 3, 10, 10][..]),
            ("map", &[1, 8, 8, 8]),
            ("rows", &[2, 6, 5]),
            ("product", &[2, 6, 7]),
            ("turned", &[5, 4]),
            ("gemm", &[4, 7]),
            ("sequence", &[9, 2, 3]),
            ("again", &[1, 2, 10, 10]),
        ];
        let shapes = shapes.map(|(name, shape)| (name.to_owned(), shape.to_vec())).into();
        let Flops { nodes, uncounted } = flops(&model, &shapes);
        let lstm = 2 * 9 * 2 * (16 * 3 + 16 * 4);
        let expected = [2 * 512 * 27, 0, 2 * 84 * 5, 2 * 28 * 5, lstm, 2 * 512 * 18, 0, 0];
        assert_eq!(nodes, expected);
        assert_eq!(uncounted, ["Einsum", "MatMul"]);
    }
}
