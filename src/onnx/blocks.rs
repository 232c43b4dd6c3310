//! Where the blocks of a network begin.

use super::flow::{CutSite, cut_sites};
use super::proto::{ModelProto, NodeProto};
use super::reads::reads;

/// The tensors at which the blocks of `model` begin, in the order in which they are computed.
///
/// A block begins at a tensor that all values go through ([`cut_sites`]) and that several nodes read – a residual connection leaves
/// there –, with a product or a convolution before the next such tensor; or before that, where it only has other sizes there. Where at least two of these stretches have an attention, told
/// by its `Softmax`, only they begin blocks: what follows an attention belongs to its block. A network without residual
/// connections has none.
///
/// # Errors
/// As [`cut_sites`].
pub fn blocks(model: &ModelProto) -> Result<Vec<String>, String> {
    let Some(graph) = &model.graph else { return Ok(Vec::new()) };
    let read_by =
        |node: &&NodeProto, tensor: &str| !matches!(node.op_type(), "Shape" | "Size") && reads(node).contains(&tensor);
    let sites = cut_sites(model)?;
    let forks: Vec<&CutSite> =
        sites.iter().filter(|site| graph.node.iter().filter(|node| read_by(node, &site.tensor)).count() > 1).collect();
    let has = |place: usize, operators: &[&str]| {
        let (from, to) = (&forks[place].above, forks.get(place + 1).map(|next| &next.above));
        let within = |i: usize| !from[i] && to.is_none_or(|above| above[i]);
        graph.node.iter().enumerate().any(|(i, node)| within(i) && operators.contains(&node.op_type()))
    };
    let learned: Vec<usize> = (0..forks.len()).filter(|&place| has(place, &["MatMul", "Gemm", "Conv"])).collect();
    let attending: Vec<usize> = learned.iter().copied().filter(|&place| has(place, &["Softmax"])).collect();
    let begins = if attending.len() > 1 { attending } else { learned };
    // Tokens are often put below each other first, and there is no row for each sample then.
    let whole = |fork: &str| {
        let giver = graph.node.iter().find(|node| node.output.iter().any(|output| output == fork));
        let reshaped = giver.filter(|node| matches!(node.op_type(), "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze"));
        let before = reshaped.and_then(|node| node.input.first());
        before.filter(|before| sites.iter().any(|site| site.tensor == **before)).map_or(fork, String::as_str).to_owned()
    };
    Ok(begins.into_iter().map(|place| whole(&forks[place].tensor)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::build::Dim;
    use super::super::{DataType, GraphBuilder};
    use super::*;

    fn graph(nodes: &[(&str, &[&str], &str)], output: &str) -> ModelProto {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)]);
        graph.tensor_f32("w", &[2, 2], &[1.0; 4]);
        nodes.iter().for_each(|(operator, inputs, output)| {
            graph.node(operator, inputs, output, vec![]);
        });
        graph.output(output, DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)]);
        graph.finish()
    }

    #[test]
    fn residual_connections_begin_blocks() {
        let residual = graph(
            &[
                ("MatMul", &["x", "w"], "a"),
                ("MatMul", &["a", "w"], "b"),
                ("Add", &["a", "b"], "c"),
                ("MatMul", &["c", "w"], "d"),
                ("Add", &["c", "d"], "e"),
                ("Sigmoid", &["e"], "f"),
                // A gate without weights is no block.
                ("Mul", &["e", "f"], "y"),
            ],
            "y",
        );
        assert_eq!(blocks(&residual).unwrap(), ["a", "c"]);
        assert!(blocks(&graph(&[("MatMul", &["x", "w"], "a"), ("Relu", &["a"], "y")], "y")).unwrap().is_empty());
    }

    #[test]
    fn a_block_begins_before_its_rows_are_put_below_each_other() {
        let mut graph = GraphBuilder::new("g");
        graph.input("x", DataType::Float, &[Dim::Named("n"), Dim::Named("t"), Dim::Fixed(2)]);
        graph.tensor_f32("w", &[2, 2], &[1.0; 4]);
        graph.tensor_i64("sizes", &[2], &[-1, 2]);
        for (operator, inputs, output) in [
            ("Relu", &["x"][..], "h"),
            ("Reshape", &["h", "sizes"], "rows"),
            ("MatMul", &["rows", "w"], "a"),
            ("Add", &["rows", "a"], "y"),
        ] {
            graph.node(operator, inputs, output, vec![]);
        }
        graph.output("y", DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)]);
        assert_eq!(blocks(&graph.finish()).unwrap(), ["h"]);
    }

    #[test]
    fn what_follows_an_attention_belongs_to_it() {
        let mut nodes: Vec<(&str, Vec<String>, String)> = vec![("Relu", vec!["x".into()], "h0".into())];
        for layer in 0..2 {
            let name = |part: &str| format!("{part}{layer}");
            let next = format!("h{}", layer + 1);
            nodes.push(("MatMul", vec![name("h"), "w".into()], name("q")));
            nodes.push(("Softmax", vec![name("q")], name("s")));
            nodes.push(("Add", vec![name("h"), name("s")], name("m")));
            nodes.push(("MatMul", vec![name("m"), "w".into()], name("f")));
            nodes.push(("Add", vec![name("m"), name("f")], next));
        }
        let named: Vec<(&str, Vec<&str>, &str)> = nodes
            .iter()
            .map(|(operator, inputs, output)| (*operator, inputs.iter().map(String::as_str).collect(), output.as_str()))
            .collect();
        let nodes: Vec<(&str, &[&str], &str)> = named.iter().map(|(o, inputs, y)| (*o, &inputs[..], *y)).collect();
        assert_eq!(blocks(&graph(&nodes, "h2")).unwrap(), ["h0", "h1"]);
    }
}
