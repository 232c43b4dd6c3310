//! The tail: what lies between a cut and a target, and what it needs from before.

use std::collections::{HashMap, HashSet};

use super::program::{Program, needed, supported};
use super::roles::{Weight, weights};
use super::scalar::Scalar;
use crate::error::{Error, Result};
use crate::onnx::{Constant, DataType, GraphView, NodeView};

/// Operators that read weights: whatever they compute comes from the trunk, as it is.
const HEAVY: [&str; 6] =
    ["MatMul", "Gemm", "Conv", "LayerNormalization", "BatchNormalization", "InstanceNormalization"];

/// The input that [`Tail::with_factor`] adds.
pub const FACTOR: &str = "engraft/factor";
/// The input that [`Tail::with_mixing`] adds.
pub const MIXING: &str = "engraft/mixing";

/// The part of a graph behind a cut.
#[derive(Clone)]
pub struct Tail {
    model: String,
    pub(super) graph: GraphView,
    boundary: Vec<String>,
    target: String,
    pub(super) weights: Vec<Weight>,
    shared: Vec<String>,
}

impl Tail {
    /// What leads from the tensor `cut` to the tensor `target`: every node that descends from the one and that the other needs.
    ///
    /// The cut is rarely all that the tail reads: an attention mask comes from the inputs by another way. Such a tensor is part
    /// of the boundary too; but where it is computed from integer inputs without weights – masks and shapes – these
    /// few nodes become part of the tail and the inputs part of the boundary: they are smaller, and hold for any batch.
    ///
    /// # Errors
    /// [`Error::Model`] when a tensor does not exist, the target does not depend on the cut, or a node of the tail is not supported.
    pub fn find(graph: GraphView, cut: &str, target: &str, model: &str) -> Result<Self> {
        let fail = |reason: String| Error::model(model, reason);
        let inputs: Vec<&str> = graph.inputs.iter().map(|port| port.name.as_str()).collect();
        let fed = reached(&graph, &inputs);
        if let Some(missing) = [cut, target].into_iter().find(|tensor| !fed.contains(*tensor)) {
            return Err(fail(format!("it has no tensor {missing} that depends on its inputs")));
        }
        let below = reached(&graph, &[cut]);
        if cut == target || !below.contains(target) {
            return Err(fail(format!("{target} does not depend on {cut}")));
        }
        let between = |node: &&NodeView| node.inputs.iter().any(|name| below.contains(name.as_str()));
        let tail: Vec<&NodeView> = needed(&graph, &[cut], &[target]).into_iter().filter(between).collect();
        let mut boundary = vec![cut.to_owned()];
        for name in tail.iter().flat_map(|node| &node.inputs) {
            if fed.contains(name.as_str()) && !below.contains(name.as_str()) {
                for name in light_sources(&graph, name, &fed).unwrap_or_else(|| vec![name.as_str()]) {
                    if !boundary.iter().any(|known| known == name) {
                        boundary.push(name.to_owned());
                    }
                }
            }
        }
        let weights = weights(&graph, &tail);
        let inside: HashSet<&str> = tail.iter().flat_map(|node| &node.outputs).map(String::as_str).collect();
        let trunk =
            graph.nodes.iter().filter(|node| !node.outputs.iter().any(|output| inside.contains(output.as_str())));
        let before: HashSet<&str> = trunk.flat_map(|node| &node.inputs).map(String::as_str).collect();
        let (shared, weights): (Vec<Weight>, Vec<Weight>) =
            weights.into_iter().partition(|weight| before.contains(weight.name.as_str()));
        let shared = shared.into_iter().map(|weight| weight.name).collect();
        let found = Self { model: model.to_owned(), boundary, target: target.to_owned(), weights, shared, graph };
        // Refused now, before anything is computed.
        found.program::<f32>(&[]).map(|_| found)
    }

    /// What errors call the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The tensors that must be computed before the tail can run: the cut, then whatever else it reads that depends on the inputs.
    pub fn boundary(&self) -> &[String] {
        &self.boundary
    }

    /// The tensor that the tail leads to.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What can be trained, in the order of the tail.
    pub fn weights(&self) -> &[Weight] {
        &self.weights
    }

    /// Weights of the tail that the trunk reads too, and which are therefore left as they are: to train them would change the trunk.
    pub fn shared(&self) -> &[String] {
        &self.shared
    }

    /// How far from the end each weight is, in their order: 0 for what is read behind `head`, 1 for the last block, and one more for
    /// each of `begins`, the tensors at which blocks begin, that is not before the node which reads it.
    pub fn depths(&self, begins: &[String], head: &str) -> Vec<usize> {
        let of_head = reached(&self.graph, &[head]);
        let begun: Vec<HashSet<&str>> = begins.iter().map(|begin| reached(&self.graph, &[begin])).collect();
        let tail = self.nodes();
        let depth = |weight: &Weight| {
            let reader = tail.iter().find(|node| node.inputs.contains(&weight.name));
            let output = reader.and_then(|node| node.outputs.first()).map_or("", String::as_str);
            match of_head.contains(output) {
                true => 0,
                false => 1 + begun.iter().filter(|begun| !begun.contains(output)).count(),
            }
        };
        self.weights.iter().map(depth).collect()
    }

    /// The nodes from the boundary to the target.
    fn nodes(&self) -> Vec<&NodeView> {
        let boundary: Vec<&str> = self.boundary.iter().map(String::as_str).collect();
        needed(&self.graph, &boundary, &[&self.target])
    }

    /// Lets the tail read something else for the tensor `at`: the last of what `nodes` give, which are put before its readers.
    /// Returns whether anything reads it.
    pub(super) fn replace(&mut self, at: &str, nodes: Vec<NodeView>) -> bool {
        let tail: HashSet<String> = self.nodes().iter().flat_map(|node| node.outputs.clone()).collect();
        let reads = |node: &NodeView| {
            node.inputs.iter().any(|name| name == at) && node.outputs.iter().any(|output| tail.contains(output))
        };
        let (Some(first), Some(instead)) =
            (self.graph.nodes.iter().position(reads), nodes.last().and_then(|node| node.outputs.first()).cloned())
        else {
            return false;
        };
        for node in self.graph.nodes.iter_mut().filter(|node| reads(node)) {
            node.inputs.iter_mut().filter(|name| *name == at).for_each(|name| name.clone_from(&instead));
        }
        self.graph.nodes.splice(first..first, nodes);
        true
    }

    fn with_input(mut self, input: &str, op: &str, (at, inputs): (&str, [&str; 2])) -> Result<Self> {
        let product = node(op, &format!("{input}/{at}"), &inputs);
        if !self.replace(at, vec![product]) {
            return Err(Error::model(&self.model, format!("nothing behind the cut reads the tensor {at}")));
        }
        self.boundary.push(input.to_owned());
        Ok(self)
    }

    /// The tail with the tensor `at` multiplied by another input, [`FACTOR`], which becomes the last of the boundary: ones leave it as it is,
    /// and what is left out at random makes dropout.
    ///
    /// # Errors
    /// [`Error::Model`] when nothing of the tail reads the tensor.
    pub fn with_factor(self, at: &str) -> Result<Self> {
        self.with_input(FACTOR, "Mul", (at, [at, FACTOR]))
    }

    /// The tail with the rows of the tensor `at`, n×d, mixed by another input, [`MIXING`], an n×n matrix that it is multiplied with from
    /// the left; it becomes the last of the boundary. The identity leaves it as it is; shares of two rows each make mixup.
    ///
    /// # Errors
    /// [`Error::Model`] when nothing of the tail reads the tensor.
    pub fn with_mixing(self, at: &str) -> Result<Self> {
        self.with_input(MIXING, "MatMul", (at, [MIXING, at]))
    }

    /// The tail as a program from the boundary to the target, whose leaves are `trained`.
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub fn program<T: Scalar>(&self, trained: &[&str]) -> Result<Program<T>> {
        let boundary: Vec<&str> = self.boundary.iter().map(String::as_str).collect();
        Program::compile(&self.graph, &boundary, &[&self.target], trained, &self.model)
    }
}

/// Without the graph, which holds all weights.
impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { model, boundary, target, .. } = self;
        f.debug_struct("Tail")
            .field("model", model)
            .field("boundary", boundary)
            .field("target", target)
            .finish_non_exhaustive()
    }
}

/// A node of this operator without attributes, called as what it gives.
pub(super) fn node(op: &str, output: &str, inputs: &[&str]) -> NodeView {
    NodeView {
        op: op.to_owned(),
        name: output.to_owned(),
        inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
        outputs: vec![output.to_owned()],
        ..NodeView::default()
    }
}

/// The tensors that depend on any of these, and these.
fn reached<'a>(graph: &'a GraphView, from: &[&'a str]) -> HashSet<&'a str> {
    let mut reached: HashSet<&str> = from.iter().copied().collect();
    for node in &graph.nodes {
        if node.inputs.iter().any(|name| reached.contains(name.as_str())) {
            reached.extend(node.outputs.iter().map(String::as_str).filter(|name| !name.is_empty()));
        }
    }
    reached
}

/// The graph's integer inputs that a tensor is computed from without weights; none where there is another way to it.
fn light_sources<'a>(graph: &'a GraphView, tensor: &'a str, fed: &HashSet<&str>) -> Option<Vec<&'a str>> {
    let givers: HashMap<&str, &NodeView> =
        graph.nodes.iter().flat_map(|node| node.outputs.iter().map(move |output| (output.as_str(), node))).collect();
    let (mut open, mut seen, mut sources) = (vec![tensor], HashSet::new(), Vec::new());
    while let Some(name) = open.pop() {
        if !seen.insert(name) || name.is_empty() {
            continue;
        }
        match (graph.inputs.iter().find(|port| port.name == name), givers.get(name)) {
            (Some(port), _) if matches!(port.element, DataType::Int64 | DataType::Int32 | DataType::Bool) => {
                sources.push(name)
            }
            (Some(_), _) => return None,
            (None, Some(node)) => {
                if HEAVY.contains(&node.op.as_str()) || supported(node, graph.opset).is_err() {
                    return None;
                }
                open.extend(node.inputs.iter().map(String::as_str));
            }
            (None, None) => match graph.constants.get(name) {
                // A table of numbers is a weight, such as the embeddings of positions.
                Some(Constant::Float(values) | Constant::OtherFloat(values)) if values.values.len() > 1 => return None,
                _ => {}
            },
        }
    }
    (fed.contains(tensor) && !sources.is_empty()).then_some(sources)
}
