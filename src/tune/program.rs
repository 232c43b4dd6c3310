//! A part of a graph as a program: checked before anything runs, run forward, and walked back.

use std::collections::{HashMap, HashSet};

use super::array::{Array, Value};
use super::operator::{Call, Flow, Inputs, Operator, Wanted};
use super::ops::{Opset, operator};
use super::scalar::Scalar;
use crate::error::{Error, Result};
use crate::onnx::{Constant, GraphView, NodeView};

/// More steps that cannot be had are not listed one by one.
const LISTED: usize = 5;

/// Some nodes of a graph, ready to run.
pub struct Program<T> {
    model: String,
    steps: Vec<Step<T>>,
    inputs: Vec<(String, usize)>,
    outputs: Vec<usize>,
    leaves: Vec<Leaf<T>>,
    /// By slot: what is known before it runs.
    fixed: Vec<Option<Value<T>>>,
}

/// What gradients are taken by: a constant that is trained, or an input.
#[derive(Debug, Clone)]
pub struct Leaf<T> {
    name: String,
    slot: usize,
    values: Option<Array<T>>,
}

/// A node, by the slots of its tensors.
#[derive(Debug)]
struct Step<T> {
    title: String,
    operator: Box<dyn Operator<T>>,
    inputs: Vec<Option<usize>>,
    outputs: Vec<Option<usize>>,
    /// Which inputs depend on a leaf.
    wanted: Vec<bool>,
    /// The slots that nobody reads afterwards.
    spent: Vec<usize>,
}

/// A run that can be walked back.
#[derive(Debug)]
pub struct Trace<T> {
    outputs: Vec<Value<T>>,
    calls: Vec<Option<Call<T>>>,
}

/// Whether a run can be walked back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Record {
    Nothing,
    Calls,
}

/// Says whether a node can be run and walked back, before anything runs.
///
/// # Errors
/// The reason why it cannot.
pub fn supported(node: &NodeView, opset: i64) -> Result<(), String> {
    operator::<f32>(node, Opset(opset)).map(drop)
}

impl<T> Leaf<T> {
    /// The tensor's name in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The values, for a constant.
    pub fn values(&self) -> Option<&Array<T>> {
        self.values.as_ref()
    }

    /// The values, to be changed, for a constant.
    pub fn values_mut(&mut self) -> Option<&mut Array<T>> {
        self.values.as_mut()
    }
}

impl<T> Trace<T> {
    /// The outputs, in the order in which they were asked for.
    pub fn outputs(&self) -> &[Value<T>] {
        &self.outputs
    }
}

impl<T: Scalar> Program<T> {
    /// What is needed to compute `outputs` from `inputs`. Gradients are taken by `leaves`, which are f32 constants of the
    /// graph or among the inputs. What depends on other constants alone is computed here, once. `model` is what errors call
    /// the graph.
    ///
    /// # Errors
    /// [`Error::Model`] naming every node that cannot be computed here, a tensor that nothing gives, a leaf that is neither
    /// constant of f32 nor input, or a constant that cannot be read.
    pub fn compile(graph: &GraphView, inputs: &[&str], outputs: &[&str], leaves: &[&str], model: &str) -> Result<Self> {
        let fail = |reason: String| Error::model(model, reason);
        let nodes = needed(graph, inputs, outputs);
        let mut slots = Slots::default();
        let inputs: Vec<(String, usize)> = inputs.iter().map(|&name| (name.to_owned(), slots.of(name))).collect();
        let mut steps = Vec::with_capacity(nodes.len());
        let mut refused = Vec::new();
        for node in nodes {
            let title = format!("node {} ({})", node.name, node.op);
            match operator(node, Opset(graph.opset)) {
                Ok(operator) => {
                    let mut slot = |name: &String| (!name.is_empty()).then(|| slots.of(name));
                    let (inputs, outputs) =
                        (node.inputs.iter().map(&mut slot).collect(), node.outputs.iter().map(slot).collect());
                    steps.push(Step { title, operator, inputs, outputs, wanted: Vec::new(), spent: Vec::new() });
                }
                Err(reason) => refused.push(format!("{title}: {reason}")),
            }
        }
        if !refused.is_empty() {
            let more = refused.len().saturating_sub(LISTED);
            refused.truncate(LISTED);
            let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
            return Err(fail(format!("{}{rest}", refused.join("; "))));
        }
        let outputs = outputs.iter().map(|name| slots.of(name)).collect();
        let mut program =
            Self { model: model.to_owned(), steps, inputs, outputs, leaves: Vec::new(), fixed: Vec::new() };
        program.leaves = leaves.iter().map(|name| program.leaf(graph, name, &mut slots)).collect::<Result<_>>()?;
        program.fixed = program.constants(graph, &slots)?;
        program.fold()?;
        program.check_defined(&slots)?;
        program.settle(slots.names.len());
        Ok(program)
    }

    fn leaf(&self, graph: &GraphView, name: &str, slots: &mut Slots) -> Result<Leaf<T>> {
        let input = self.inputs.iter().any(|(input, _)| input == name);
        let values = match graph.constants.get(name) {
            _ if input => None,
            Some(Constant::Float(tensor)) => {
                let values = tensor.values.iter().map(|&v| T::of(f64::from(v))).collect();
                Some(Array::new(tensor.dims.clone(), values).map_err(|reason| Error::model(&self.model, reason))?)
            }
            _ => return Err(Error::model(&self.model, format!("{name} is no constant of f32 that could be trained"))),
        };
        Ok(Leaf { name: name.to_owned(), slot: slots.of(name), values })
    }

    /// The constants that steps read, by slot; what is trained is none.
    fn constants(&self, graph: &GraphView, slots: &Slots) -> Result<Vec<Option<Value<T>>>> {
        let mut fixed = vec![None; slots.names.len()];
        let known: HashSet<usize> =
            self.leaves.iter().map(|leaf| leaf.slot).chain(self.inputs.iter().map(|(_, slot)| *slot)).collect();
        for (slot, name) in slots.names.iter().enumerate().filter(|(slot, _)| !known.contains(slot)) {
            if let Some(constant) = graph.constants.get(name) {
                let value =
                    value(constant).map_err(|reason| Error::model(&self.model, format!("tensor {name} {reason}")))?;
                fixed[slot] = Some(value);
            }
        }
        Ok(fixed)
    }

    /// Runs the steps that depend on constants alone.
    fn fold(&mut self) -> Result<()> {
        let mut open = Vec::with_capacity(self.steps.len());
        for step in std::mem::take(&mut self.steps) {
            if step.inputs.iter().flatten().all(|&slot| self.fixed[slot].is_some()) {
                let inputs: Vec<Option<Value<T>>> =
                    step.inputs.iter().map(|slot| slot.and_then(|slot| self.fixed[slot].clone())).collect();
                let output = step.operator.forward(Inputs(&inputs)).map_err(|reason| self.failed(&step, &reason))?;
                for (slot, value) in step.outputs.iter().zip(output.values) {
                    if let Some(slot) = slot {
                        self.fixed[*slot] = Some(value);
                    }
                }
            } else {
                open.push(step);
            }
        }
        self.steps = open;
        Ok(())
    }

    fn check_defined(&self, slots: &Slots) -> Result<()> {
        let mut known: Vec<bool> = self.fixed.iter().map(Option::is_some).collect();
        self.inputs
            .iter()
            .map(|(_, slot)| *slot)
            .chain(self.leaves.iter().map(|leaf| leaf.slot))
            .for_each(|slot| known[slot] = true);
        let unknown =
            |slot: usize| Error::model(&self.model, format!("nothing gives the tensor {}", slots.names[slot]));
        for step in &self.steps {
            if let Some(slot) = step.inputs.iter().flatten().find(|&&slot| !known[slot]) {
                return Err(unknown(*slot));
            }
            step.outputs.iter().flatten().for_each(|&slot| known[slot] = true);
        }
        self.outputs.iter().find(|&&slot| !known[slot]).map_or(Ok(()), |&slot| Err(unknown(slot)))
    }

    /// Which inputs of which step depend on a leaf, and when each tensor is read for the last time.
    fn settle(&mut self, slots: usize) {
        let mut depends = vec![false; slots];
        self.leaves.iter().for_each(|leaf| depends[leaf.slot] = true);
        for step in &mut self.steps {
            step.wanted = step.inputs.iter().map(|slot| slot.is_some_and(|slot| depends[slot])).collect();
            if step.operator.flow() == Flow::Ends {
                step.wanted.fill(false);
            }
            if step.wanted.contains(&true) {
                step.outputs.iter().flatten().for_each(|&slot| depends[slot] = true);
            }
        }
        let mut read: HashSet<usize> = self.outputs.iter().copied().collect();
        for step in self.steps.iter_mut().rev() {
            let slots = step.inputs.iter().chain(&step.outputs).flatten();
            step.spent = slots.copied().filter(|slot| read.insert(*slot)).collect();
        }
    }

    fn failed(&self, step: &Step<T>, reason: &str) -> Error {
        Error::model(&self.model, format!("{}: {reason}", step.title))
    }

    /// What gradients are taken by, in the order in which they were asked for.
    pub fn leaves(&self) -> &[Leaf<T>] {
        &self.leaves
    }

    /// The same, to be changed.
    pub fn leaves_mut(&mut self) -> &mut [Leaf<T>] {
        &mut self.leaves
    }

    /// The names of the inputs, in the order in which they are given.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|(name, _)| name.as_str())
    }

    /// How many nodes run each time.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The outputs for these inputs, given in their order.
    ///
    /// # Errors
    /// [`Error::Model`] naming the node that fails, and why.
    pub fn run(&self, inputs: Vec<Value<T>>) -> Result<Vec<Value<T>>> {
        self.execute(inputs, Record::Nothing).map(|trace| trace.outputs)
    }

    /// As [`run`](Self::run), and keeps what the way back needs.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn record(&self, inputs: Vec<Value<T>>) -> Result<Trace<T>> {
        self.execute(inputs, Record::Calls)
    }

    fn execute(&self, inputs: Vec<Value<T>>, record: Record) -> Result<Trace<T>> {
        if inputs.len() != self.inputs.len() {
            let reason = format!("{} inputs are given and {} wanted", inputs.len(), self.inputs.len());
            return Err(Error::model(&self.model, reason));
        }
        let mut values = self.fixed.clone();
        for ((_, slot), value) in self.inputs.iter().zip(inputs) {
            values[*slot] = Some(value);
        }
        for leaf in &self.leaves {
            if let Some(constant) = &leaf.values {
                values[leaf.slot] = Some(Value::Real(constant.clone()));
            }
        }
        let mut calls = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let inputs: Vec<Option<Value<T>>> = step.inputs.iter().map(|slot| values[(*slot)?].clone()).collect();
            let output = step.operator.forward(Inputs(&inputs)).map_err(|reason| self.failed(step, &reason))?;
            for (slot, value) in step.outputs.iter().zip(&output.values) {
                if let Some(slot) = slot {
                    values[*slot] = Some(value.clone());
                }
            }
            let keep = record == Record::Calls && step.wanted.contains(&true);
            calls.push(keep.then(|| Call::new(inputs, output)));
            step.spent.iter().for_each(|&slot| values[slot] = None);
        }
        let missing = || Error::model(&self.model, "a node gave fewer outputs than it names");
        let outputs =
            self.outputs.iter().map(|&slot| values[slot].clone().ok_or_else(missing)).collect::<Result<_>>()?;
        Ok(Trace { outputs, calls })
    }

    /// From the gradients of a number by the outputs, of their sizes (none where it does not depend on one), to those by the
    /// leaves, in their order.
    ///
    /// # Errors
    /// [`Error::Model`] when a gradient has other sizes than its output, or naming the node that has no way back.
    pub fn backward(&self, trace: Trace<T>, gradients: Vec<Option<Array<T>>>) -> Result<Vec<Array<T>>> {
        let mut open: Vec<Option<Array<T>>> = vec![None; self.fixed.len()];
        for ((slot, gradient), output) in self.outputs.iter().zip(gradients).zip(&trace.outputs) {
            let Some(gradient) = gradient else { continue };
            if gradient.dims() != output.dims() {
                let reason = format!("a gradient of {:?} for an output of {:?}", gradient.dims(), output.dims());
                return Err(Error::model(&self.model, reason));
            }
            add(&mut open[*slot], gradient);
        }
        for (step, call) in self.steps.iter().zip(trace.calls).rev() {
            let gradients: Vec<Option<Array<T>>> = step.outputs.iter().map(|slot| open[(*slot)?].take()).collect();
            let Some(call) = call.filter(|_| gradients.iter().any(Option::is_some)) else { continue };
            let back = step.operator.backward(&call, &gradients, Wanted(&step.wanted));
            for ((slot, gradient), wanted) in
                step.inputs.iter().zip(back.map_err(|r| self.failed(step, &r))?).zip(&step.wanted)
            {
                if let (Some(slot), Some(gradient), true) = (slot, gradient, *wanted) {
                    add(&mut open[*slot], gradient);
                }
            }
        }
        let by = |leaf: &Leaf<T>| match (open[leaf.slot].take(), &leaf.values) {
            (Some(gradient), _) => gradient,
            (None, Some(values)) => Array::filled(values.dims(), T::zero()),
            (None, None) => Array::list(Vec::new()),
        };
        Ok(self.leaves.iter().map(by).collect())
    }
}

/// Without the constants, which are most of it.
impl<T> std::fmt::Debug for Program<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let steps: Vec<&str> = self.steps.iter().map(|step| step.title.as_str()).collect();
        f.debug_struct("Program").field("model", &self.model).field("steps", &steps).finish_non_exhaustive()
    }
}

/// Adds to what is there.
fn add<T: Scalar>(sum: &mut Option<Array<T>>, gradient: Array<T>) {
    match sum {
        None => *sum = Some(gradient),
        Some(sum) => sum.values_mut().iter_mut().zip(gradient.values()).for_each(|(s, g)| *s += *g),
    }
}

fn value<T: Scalar>(constant: &Constant) -> Result<Value<T>, String> {
    match constant {
        Constant::Float(t) | Constant::OtherFloat(t) => {
            Ok(Array::new(t.dims.clone(), t.values.iter().map(|&v| T::of(f64::from(v))).collect())?.into())
        }
        Constant::Int(t) | Constant::OtherInt(t) => Ok(Value::Int(Array::new(t.dims.clone(), t.values.clone())?)),
        Constant::Bool(t) => Ok(Value::Bool(Array::new(t.dims.clone(), t.values.iter().map(|&v| v != 0).collect())?)),
        Constant::Unreadable(reason) => Err(reason.clone()),
    }
}

/// Numbers for names.
#[derive(Debug, Default)]
struct Slots {
    by_name: HashMap<String, usize>,
    names: Vec<String>,
}

impl Slots {
    fn of(&mut self, name: &str) -> usize {
        if let Some(&slot) = self.by_name.get(name) {
            return slot;
        }
        self.by_name.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
        self.names.len() - 1
    }
}

/// The nodes that `outputs` need where `inputs` are given, in the graph's order.
pub(super) fn needed<'a>(graph: &'a GraphView, inputs: &[&str], outputs: &[&str]) -> Vec<&'a NodeView> {
    let mut open: HashSet<&str> = outputs.iter().copied().collect();
    let mut nodes = Vec::new();
    for node in graph.nodes.iter().rev() {
        let gives =
            node.outputs.iter().any(|output| open.contains(output.as_str()) && !inputs.contains(&output.as_str()));
        if gives {
            open.extend(node.inputs.iter().map(String::as_str).filter(|name| !name.is_empty()));
            nodes.push(node);
        }
    }
    nodes.reverse();
    nodes
}
