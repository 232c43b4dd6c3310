//! Where codes of eight bits flow.

use std::collections::{HashMap, HashSet};

use super::super::proto::{GraphProto, NodeProto, TensorProto};
use super::super::tensor::read_floats;
use super::layers::{Form, constants, form};

/// Computed by ONNX Runtime from codes to codes, where everything that they take is codes already.
const CHAINED: [&str; 7] = ["Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Sigmoid"];
/// Those that give some of the values that they take: the codes mean the same before and after.
const SAME_RANGE: [&str; 1] = ["MaxPool"];

/// What becomes of a graph's nodes and tensors.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// Whether activations are given codes by what each run finds: convolutions stay floats then, and no codes flow on.
    pub(super) dynamic: bool,
    /// Layers by the name of their output.
    pub(super) layers: HashMap<&'a str, Form>,
    /// Outputs of nodes that are rounded as the output of the activation behind them: that alone is seen by others, and codes
    /// saturate where it does, so it is left out.
    pub(super) folded: HashMap<&'a str, &'a str>,
    /// Activations whose nodes are left out.
    pub(super) left_out: HashSet<&'a str>,
    /// Tensors that exist as codes, in order, and those whose range they have.
    pub(super) rounded: Vec<(&'a str, &'a str)>,
    /// Those of them that exist in no other form: everybody reads what the codes mean.
    pub(super) made: HashSet<&'a str>,
}

impl<'a> Plan<'a> {
    /// For the layers that `chosen` names, with ranges that are known.
    pub(super) fn of(graph: &'a GraphProto, chosen: &HashSet<&str>) -> Self {
        let constants = constants(graph);
        let mut plan = Plan { layers: layers_of(graph, &constants, chosen), ..Plan::default() };
        let flow = Flow::of(graph, constants);
        let wanted = plan.wanted(graph, &flow);
        plan.follow(graph, &flow, &wanted);
        plan
    }

    /// For the layers that `chosen` names, with ranges that each run finds.
    pub(super) fn dynamic(graph: &'a GraphProto, chosen: &HashSet<&str>) -> Self {
        let mut layers = layers_of(graph, &constants(graph), chosen);
        layers.retain(|_, form| form.is_dynamic());
        Plan { dynamic: true, layers, ..Plan::default() }
    }

    /// Tensors that layers, or what leads to them, take as codes.
    fn wanted(&self, graph: &'a GraphProto, flow: &Flow<'a>) -> HashSet<&'a str> {
        let mut wanted = HashSet::new();
        for node in graph.node.iter().rev() {
            if self.takes_codes(node, flow, &wanted) {
                wanted.extend(flow.computed(node).take(if self.is_layer(node) { 1 } else { usize::MAX }));
            }
        }
        wanted
    }

    fn is_layer(&self, node: &NodeProto) -> bool {
        node.output.first().and_then(|output| self.layers.get(output.as_str())).is_some_and(|form| *form != Form::Table)
    }

    fn takes_codes(&self, node: &NodeProto, flow: &Flow, wanted: &HashSet<&str>) -> bool {
        let chained = CHAINED.contains(&node.op_type()) && node.output.len() == 1;
        self.is_layer(node)
            || chained && !flow.has_constant(node) && flow.target(node).is_some_and(|output| wanted.contains(output))
    }

    fn follow(&mut self, graph: &'a GraphProto, flow: &Flow<'a>, wanted: &HashSet<&'a str>) {
        let mut known: HashSet<&str> = HashSet::new();
        for node in &graph.node {
            let (Some(output), Some(target)) = (node.output.first(), flow.target(node)) else { continue };
            let form = self.layers.get(output.as_str()).copied();
            let inputs: Vec<&str> = flow.computed(node).collect();
            if let (true, Some(&input)) = (self.is_layer(node), inputs.first())
                && known.insert(input)
            {
                self.rounded.push((input, input));
            }
            let chained = form.is_none()
                && self.takes_codes(node, flow, wanted)
                && inputs.iter().all(|input| self.made.contains(input));
            let gives_codes = match form {
                Some(Form::Convolution) => true,
                Some(Form::Product { .. }) => flow.all_readers(target, |reader| self.takes_codes(reader, flow, wanted)),
                Some(Form::Table) => false,
                None => chained,
            };
            if !gives_codes {
                continue;
            }
            if target != output {
                self.folded.insert(output, target);
                self.left_out.insert(target);
            }
            // What a folded activation cuts off is not in the codes of what it is folded into: those have a range of their own.
            let source = inputs.first().filter(|_| target == output && SAME_RANGE.contains(&node.op_type()));
            let range = source.and_then(|input| self.rounded.iter().find(|(tensor, _)| tensor == input));
            self.rounded.push((target, range.map_or(target, |(_, range)| range)));
            self.made.insert(target);
            known.insert(target);
        }
    }
}

fn layers_of<'a>(
    graph: &'a GraphProto,
    constants: &HashMap<&str, &TensorProto>,
    chosen: &HashSet<&str>,
) -> HashMap<&'a str, Form> {
    let layer = |node: &'a NodeProto| Some((node.output.first()?.as_str(), form(node, constants)?));
    graph.node.iter().filter_map(layer).filter(|(output, _)| chosen.contains(output)).collect()
}

/// Who reads what.
struct Flow<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
    readers: HashMap<&'a str, Vec<&'a NodeProto>>,
    outputs: HashSet<&'a str>,
}

impl<'a> Flow<'a> {
    fn of(graph: &'a GraphProto, constants: HashMap<&'a str, &'a TensorProto>) -> Self {
        let mut readers: HashMap<&str, Vec<&NodeProto>> = HashMap::new();
        for node in &graph.node {
            node.input.iter().for_each(|input| readers.entry(input).or_default().push(node));
        }
        Self { constants, readers, outputs: graph.output.iter().map(|v| v.name()).collect() }
    }

    /// What a node takes that is no constant.
    fn computed(&self, node: &'a NodeProto) -> impl Iterator<Item = &'a str> {
        let inputs = node.input.iter().map(String::as_str).filter(|input| !input.is_empty());
        inputs.filter(|input| !self.constants.contains_key(input))
    }

    fn has_constant(&self, node: &NodeProto) -> bool {
        node.input.iter().any(|input| self.constants.contains_key(input.as_str()))
    }

    /// The tensor that others see of a node: its output, or that of the only reader where codes do what that does.
    fn target(&self, node: &'a NodeProto) -> Option<&'a str> {
        let output = node.output.first()?.as_str();
        match self.readers.get(output).map(Vec::as_slice) {
            Some([reader]) if !self.outputs.contains(output) && self.saturates(reader) => {
                reader.output.first().map(String::as_str)
            }
            _ => Some(output),
        }
    }

    /// Whether a node cuts numbers off where codes end too: ranges are seen behind it, and 0 is in each.
    fn saturates(&self, node: &NodeProto) -> bool {
        let bound = |place: usize, fine: fn(f32) -> bool| match node.input.get(place).map(String::as_str) {
            None | Some("") => true,
            Some(name) => {
                let values = self.constants.get(name).and_then(|tensor| read_floats(tensor).ok());
                values.is_some_and(|tensor| matches!(tensor.values[..], [value] if fine(value)))
            }
        };
        match node.op_type() {
            "Relu" => true,
            "Clip" => bound(1, |low| low <= 0.0) && bound(2, |high| high >= 0.0),
            _ => false,
        }
    }

    fn all_readers(&self, tensor: &str, fine: impl Fn(&NodeProto) -> bool) -> bool {
        let readers = self.readers.get(tensor);
        !self.outputs.contains(tensor) && readers.is_some_and(|readers| readers.iter().all(|reader| fine(reader)))
    }
}
