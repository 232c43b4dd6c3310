//! What is tuned: backbone and probe as one model, cut in two.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::Context;
use crate::backbone::{Backbone, SessionOptions};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::export::{EMBEDDING, Exported, Extra, TOKENS, fuse};
use crate::extract::{Batch, Feed};
use crate::head::HeadFile;
use crate::onnx::{
    CutPoint, Model, Port, blocks, cut, dealias, read_model, rename_tensor, signature, view, write_model,
};
use crate::tune::{Adapter, Also, Program, Tail, Training, Trunk, Value, check_agreement, write_back};

/// What a tail leads to in an exported model.
const TARGET: &str = "logits";

/// Where the tail begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CutAt {
    /// At this tensor.
    Tensor(String),
    /// Where the last so many blocks begin.
    Blocks(usize),
    /// Where the last [`USUAL`] begin, or fewer where there are no more, or none that can be tuned.
    UsualBlocks,
}

/// Blocks that are tuned where nothing else is said: of MiniLM, three brought more than twice what one did.
const USUAL: usize = 3;

/// A fused model and its tail.
pub(super) struct Subject {
    model: Model,
    pub(super) tail: Tail,
    pub(super) cut: String,
    name: String,
    /// What the backbone itself gives.
    output: Port,
    /// The tensors at which the backbone's blocks begin.
    begins: Vec<String>,
}

/// What of a subject is trained.
pub(super) struct Trainee {
    /// The tail with what is put into it for training; its weights are what is trained.
    pub(super) tail: Tail,
    /// How far from the end the block of each weight is; 0 for the head.
    pub(super) depths: Vec<usize>,
    adapters: Vec<Adapter>,
}

impl Trainee {
    /// The names of the head's weights.
    pub(super) fn head(&self) -> Vec<&str> {
        names(&self.tail)
            .into_iter()
            .zip(&self.depths)
            .filter(|(_, depth)| **depth == 0)
            .map(|(name, _)| name)
            .collect()
    }
}

impl Subject {
    /// Fuses backbone and head and cuts them.
    ///
    /// # Errors
    /// When there is no such place to cut, a node behind it is not supported, or nothing of the backbone behind it can be trained.
    pub(super) fn new(backbone: &Backbone, head: &HeadFile, at: &CutAt) -> Result<Self> {
        let name = backbone.name.clone();
        let mut model = fuse(backbone, None, head, Extra::Nothing)?;
        let known = signature(&read_model(&backbone.model)?).outputs;
        let output = known.into_iter().find(|port| port.name == backbone.output.tensor);
        let output =
            output.ok_or_else(|| Error::model(&name, format!("it has no output {}", backbone.output.tensor)))?;
        let begins = blocks(&of_backbone(&model, &output, &name)?).map_err(|reason| Error::model(&name, reason))?;
        let cut = match at {
            CutAt::Tensor(tensor) => tensor.clone(),
            CutAt::Blocks(count) => begin(&begins, *count, &name)?,
            CutAt::UsualBlocks => {
                let can = |count: &usize| {
                    begin(&begins, *count, &name).is_ok_and(|cut| Tail::find(view(&model), &cut, TARGET, &name).is_ok())
                };
                let count = (1..=USUAL).rev().find(can).unwrap_or(1);
                begin(&begins, count, &name)?
            }
        };
        let find = |model: &Model| Tail::find(view(model), &cut, TARGET, &name);
        let mut tail = find(&model)?;
        if !tail.shared().is_empty() {
            let behind = behind(&model, &cut);
            model = dealias(model, &behind.iter().map(String::as_str).collect());
            tail = find(&model)?;
        }
        // Two of them are the head's: its matrix and its intercepts.
        if tail.weights().len() <= 2 {
            let reason =
                format!("nothing behind {cut} can be trained but the head: give an earlier --from or more --blocks");
            return Err(Error::model(&name, reason));
        }
        // Refused before anything is computed: a weight that could not be written back.
        write_back(&mut model.clone(), &tail.program(&names(&tail))?, &[], &name)?;
        Ok(Self { model, tail, cut, name, output, begins })
    }

    /// What is trained: the weights of the tail or, with a rank, factors for its matrices, with what the training puts before the head.
    ///
    /// # Errors
    /// As [`Tail::with_adapters`] and [`Tail::with_factor`].
    pub(super) fn trainee(&self, training: &Training, rank: Option<usize>) -> Result<Trainee> {
        let depths = self.tail.depths(&self.begins, TOKENS);
        let depth: HashMap<&str, usize> = names(&self.tail).into_iter().zip(depths).collect();
        let of = |name: &str| depth.get(name).copied().unwrap_or(1);
        let (mut tail, adapters) = match rank {
            None => (self.tail.clone(), Vec::new()),
            Some(rank) => self.tail.clone().with_adapters(rank, training.seed, |weight| of(&weight.name) == 0)?,
        };
        let depths = names(&tail).into_iter().map(|name| {
            let adapter = adapters.iter().find(|adapter| adapter.factors.iter().any(|factor| factor == name));
            of(adapter.map_or(name, |adapter| &adapter.matrix))
        });
        let depths = depths.collect();
        if training.dropout.is_some() {
            tail = tail.with_factor(EMBEDDING)?;
        }
        if training.mixup.is_some() {
            tail = tail.with_mixing(EMBEDDING)?;
        }
        Ok(Trainee { tail, depths, adapters })
    }

    /// The names of what the graph takes.
    pub(super) fn inputs(&self) -> Vec<String> {
        signature(&self.model).inputs.into_iter().map(|port| port.name).collect()
    }

    /// Everything before the tail, in ONNX Runtime; the file at `path` is needed only now.
    pub(super) fn trunk(&self, context: &Context, also: Also, path: &Path) -> Result<Trunk> {
        let options = SessionOptions::new(context.device, context.threads.get());
        Trunk::open(&self.model, &self.tail, also, path, context.runtime()?, &options)
    }

    /// Holds the tail against ONNX Runtime on a batch: returns how far they are apart, and the boundary.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it is too far.
    pub(super) fn gate(
        &self,
        context: &Context,
        (feed, batch): (&Feed, &Batch),
        path: &Path,
    ) -> Result<(f64, Vec<Value<f32>>)> {
        let mut trunk = self.trunk(context, Also::Target, path)?;
        let passed = feed.run(batch, |inputs| trunk.run(inputs))?;
        let rows = batch.samples.len();
        let whole = |value: &Value<f32>| value.dims().first() == Some(&rows);
        if let Some((tensor, value)) = self.tail.boundary().iter().zip(&passed.boundary).find(|(_, v)| !whole(v)) {
            let (dims, samples) = (value.dims(), counted(rows, "sample"));
            let reason =
                format!("the tensor {tensor} of {dims:?} has not one row for each of {samples}: give another --from");
            return Err(Error::model(&self.name, reason));
        }
        let target = passed.target.ok_or_else(|| Error::model(&self.name, format!("it gives no {TARGET}")))?;
        let apart = check_agreement(&self.tail.program(&[])?, passed.boundary.clone(), &target)?;
        Ok((apart, passed.boundary))
    }

    /// Puts what was trained into the model.
    pub(super) fn take(&mut self, trainee: &Trainee, program: &Program<f32>) -> Result<()> {
        write_back(&mut self.model, program, &trainee.adapters, &self.name)?;
        // The tail has its own copy of the weights.
        self.tail = Tail::find(view(&self.model), &self.cut, TARGET, &self.name)?;
        Ok(())
    }

    /// Backbone and head apart again; the backbone's graph is written to `path`.
    pub(super) fn apart(&self, backbone: &Backbone, path: PathBuf) -> Result<(Backbone, HeadFile)> {
        let head = Exported::of(&path, self.model.clone())?.head;
        write_model(&of_backbone(&self.model, &self.output, &self.name)?, &path)?;
        let tuned = format!("{} tuned from {}", self.name, self.cut);
        let head = HeadFile { provenance: None, certificate: None, ..head };
        Ok((Backbone { name: tuned, model: path, ..backbone.clone() }, head))
    }
}

pub(super) fn names(tail: &Tail) -> Vec<&str> {
    tail.weights().iter().map(|weight| weight.name.as_str()).collect()
}

/// The backbone of a fused model, up to its output.
fn of_backbone(model: &Model, output: &Port, name: &str) -> Result<Model> {
    let inside = Port { name: TOKENS.to_owned(), ..output.clone() };
    let point = CutPoint { tensor: TOKENS.to_owned(), token: None, output: inside };
    let mut backbone = cut(model.clone(), &[point], name)?;
    // What is told of the head there is not the backbone's, nor any longer true of a head that was tuned.
    backbone.metadata_props.retain(|entry| !entry.key().starts_with("engraft."));
    rename_tensor(&mut backbone, TOKENS, &output.name);
    Ok(backbone)
}

/// Where the last `count` blocks of a backbone begin, of which all `found` do.
fn begin(found: &[String], count: usize, name: &str) -> Result<String> {
    let all = "`engraft graph --cuts` lists all places to cut at, for --from";
    if found.is_empty() {
        return Err(Error::model(name, format!("it has no blocks with residual connections to count: {all}")));
    }
    match found.len().checked_sub(count).and_then(|place| found.get(place)) {
        Some(tensor) => Ok(tensor.clone()),
        None => Err(Error::Usage(format!("--blocks {count}: {name} has {} to begin at; {all}", found.len()))),
    }
}

/// The tensors that depend on `cut`.
fn behind(model: &Model, cut: &str) -> HashSet<String> {
    let mut behind = HashSet::from([cut.to_owned()]);
    for node in view(model).nodes {
        if node.inputs.iter().any(|name| behind.contains(name)) {
            behind.extend(node.outputs.into_iter().filter(|name| !name.is_empty()));
        }
    }
    behind.remove(cut);
    behind
}
