//! Which constants of a tail are weights: told by what they do, never by being floats.

use std::collections::HashMap;

use crate::onnx::{Constant, GraphView, NodeView};

/// A constant that can be trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The initializer's name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its sizes.
    pub dims: Vec<usize>,
}

/// What a weight does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The matrix of a `MatMul` or `Gemm`, or the filters of a `Conv`; where a normalisation was folded into them, with it.
    Weight,
    /// What is added to a product or a convolution.
    Bias,
    /// What a normalised tensor is multiplied with, also where the normalisation is spelled out.
    NormScale,
    /// What is added to it then.
    NormBias,
    /// What the result of a layer is multiplied with, for each channel, before it is added to the residual stream.
    LayerScale,
    /// The slope of a `PRelu`.
    Slope,
}

impl Role {
    /// Whether weight decay applies: to matrices and filters alone, as is the custom.
    pub fn decays(self) -> bool {
        self == Self::Weight
    }
}

/// The weights that these nodes read, in the order in which they are read; `graph` is where they come from.
pub(super) fn weights(graph: &GraphView, nodes: &[&NodeView]) -> Vec<Weight> {
    let finder = Finder::new(graph, nodes);
    let mut found: Vec<Weight> = Vec::new();
    for node in nodes {
        for (name, role) in finder.of(node) {
            if let (Some(dims), false) = (finder.floats(name), found.iter().any(|w| w.name == name)) {
                found.push(Weight { name: name.to_owned(), role, dims: dims.to_vec() });
            }
        }
    }
    found
}

struct Finder<'a> {
    graph: &'a GraphView,
    /// Who gives a tensor, among the nodes of the tail.
    givers: HashMap<&'a str, &'a NodeView>,
}

impl<'a> Finder<'a> {
    fn new(graph: &'a GraphView, nodes: &[&'a NodeView]) -> Self {
        let outputs = |node: &&'a NodeView| {
            let node = *node;
            node.outputs.iter().map(move |output| (output.as_str(), node))
        };
        Self { graph, givers: nodes.iter().flat_map(outputs).collect() }
    }

    fn floats(&self, name: &str) -> Option<&'a [usize]> {
        match self.graph.constants.get(name) {
            Some(Constant::Float(tensor)) => Some(&tensor.dims),
            _ => None,
        }
    }

    /// A constant with a number for each place along one axis.
    fn is_vector(&self, name: &str) -> bool {
        self.floats(name).is_some_and(|dims| dims.iter().filter(|&&d| d > 1).count() == 1)
    }

    fn is_matrix(&self, name: &str) -> bool {
        self.floats(name).is_some_and(|dims| dims.len() >= 2)
    }

    fn giver(&self, tensor: &str) -> Option<&'a NodeView> {
        self.givers.get(tensor).copied()
    }

    fn of(&self, node: &'a NodeView) -> Vec<(&'a str, Role)> {
        let input = |i: usize| node.inputs.get(i).map(String::as_str).filter(|name| !name.is_empty());
        let listed = |roles: &[(usize, Role)]| {
            roles.iter().filter_map(|&(i, role)| Some((input(i)?, role))).collect::<Vec<(&str, Role)>>()
        };
        match node.op.as_str() {
            "MatMul" => {
                let matrices = listed(&[(0, Role::Weight), (1, Role::Weight)]);
                matrices.into_iter().filter(|(name, _)| self.is_matrix(name)).collect()
            }
            "Gemm" | "Conv" => listed(&[(1, Role::Weight), (2, Role::Bias)]),
            "LayerNormalization" | "BatchNormalization" | "GroupNormalization" | "InstanceNormalization" => {
                listed(&[(1, Role::NormScale), (2, Role::NormBias)])
            }
            "PRelu" => listed(&[(1, Role::Slope)]),
            "Add" => self.beside(node, |other| self.bias(other)),
            "Mul" => self.beside(node, |other| self.scale(other)),
            _ => Vec::new(),
        }
    }

    /// The constant vector that a node of two inputs reads, and the role that the other gives it.
    fn beside(&self, node: &'a NodeView, role: impl Fn(&NodeView) -> Option<Role>) -> Vec<(&'a str, Role)> {
        let [a, b] = &node.inputs[..] else { return Vec::new() };
        let (constant, other) = if self.floats(b).is_some() { (b, a) } else { (a, b) };
        let found = self.is_vector(constant).then(|| self.giver(other)).flatten().and_then(role);
        found.map(|role| (constant.as_str(), role)).into_iter().collect()
    }

    fn bias(&self, giver: &NodeView) -> Option<Role> {
        match giver.op.as_str() {
            "MatMul" | "Gemm" | "Conv" => Some(Role::Bias),
            "Mul" if self.of_normal(giver) => Some(Role::NormBias),
            _ => None,
        }
    }

    /// Whether a `Mul` multiplies what was normalised before with a constant.
    fn of_normal(&self, node: &NodeView) -> bool {
        let constant = node.inputs.iter().any(|name| self.is_vector(name));
        let normal = node.inputs.iter().filter_map(|name| self.giver(name)).any(|giver| self.normalises(giver));
        constant && normal
    }

    fn scale(&self, giver: &NodeView) -> Option<Role> {
        match giver.op.as_str() {
            _ if self.normalises(giver) => Some(Role::NormScale),
            "MatMul" | "Gemm" | "Conv" | "Add" => Some(Role::LayerScale),
            _ => None,
        }
    }

    /// Whether a node is the last step of a normalisation spelled out: a quotient by a root, or a product with its inverse.
    fn normalises(&self, node: &NodeView) -> bool {
        let given_by = |i: usize, ops: &[&str]| {
            let giver = node.inputs.get(i).and_then(|name| self.giver(name));
            giver.is_some_and(|giver| ops.contains(&giver.op.as_str()))
        };
        match node.op.as_str() {
            "Div" => given_by(1, &["Sqrt"]),
            "Mul" => given_by(1, &["Reciprocal", "Pow"]) || given_by(0, &["Reciprocal", "Pow"]),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::build::attr_float;
    use crate::onnx::{GraphBuilder, view};

    #[test]
    fn weights_are_told_by_what_they_do() {
        let mut graph = GraphBuilder::new("g");
        graph.tensor_f32("w", &[2, 2], &[1.0; 4]);
        for vector in ["b", "gamma", "beta", "layer", "position", "g2"] {
            graph.tensor_f32(vector, &[2], &[1.0; 2]);
        }
        for scalar in ["two", "eps", "half"] {
            graph.tensor_f32(scalar, &[], &[2.0]);
        }
        graph.node("Add", &["x", "position"], "x0", vec![]);
        graph.node("MatMul", &["x0", "w"], "x1", vec![]);
        graph.node("Add", &["b", "x1"], "x2", vec![]);
        graph.node("Mul", &["x2", "half"], "x3", vec![]);
        graph.node("ReduceMean", &["x3"], "mean", vec![]);
        graph.node("Sub", &["x3", "mean"], "d", vec![]);
        graph.node("Pow", &["d", "two"], "d2", vec![]);
        graph.node("ReduceMean", &["d2"], "v", vec![]);
        graph.node("Add", &["v", "eps"], "ve", vec![]);
        graph.node("Sqrt", &["ve"], "s", vec![]);
        graph.node("Div", &["d", "s"], "n", vec![]);
        graph.node("Mul", &["n", "gamma"], "n1", vec![]);
        graph.node("Add", &["n1", "beta"], "n2", vec![]);
        graph.node("Gemm", &["n2", "w", "b"], "y", vec![attr_float("alpha", 1.0)]);
        graph.node("Mul", &["y", "layer"], "y1", vec![]);
        graph.node("LayerNormalization", &["y1", "g2"], "z", vec![]);
        let view = view(&graph.finish());
        let nodes: Vec<&NodeView> = view.nodes.iter().collect();
        let found: Vec<(String, Role)> = weights(&view, &nodes).into_iter().map(|w| (w.name, w.role)).collect();
        let want = [
            ("w", Role::Weight),
            ("b", Role::Bias),
            ("gamma", Role::NormScale),
            ("beta", Role::NormBias),
            ("layer", Role::LayerScale),
            ("g2", Role::NormScale),
        ];
        assert_eq!(found, want.map(|(name, role)| (name.to_owned(), role)));
    }
}
