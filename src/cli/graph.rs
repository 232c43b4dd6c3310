//! `engraft graph`.

mod tunable;

use std::collections::HashMap;

use serde::Serialize;
use tunable::{Tunable, listed, tunable};

use super::results::table;
use super::{Context, Status};
use crate::backbone::{Anatomy, Described, OpenSizes, TensorSize, anatomy, registry};
use crate::counted::counted;
use crate::error::Result;
use crate::onnx::{Dimension, read_whole_model};

/// Show what an ONNX model is made of, what it costs, and where it can be cut
///
/// One drawn sample is run on the CPU, so that sizes and operations are those of a run. Sizes that the model leaves open are 1 for
/// the batch, 3 channels, 224 x 224 pixels or what the files beside the model say, and 128 tokens; --shape gives others.
///
/// Operations are two for each multiply-add of convolutions, matrix products and recurrent layers. A cut is a tensor that all
/// values from the first input to the outputs go through. Masks and sizes that the part behind needs besides travel along; where
/// there are none, the tensor alone is enough. With --cuts each has the bytes that `engraft tune --from` it would keep for the sample, the number for
/// its --blocks, and the operators behind it that cannot be tuned through.
///
/// Examples:
///   engraft graph efficientnet-lite0
///   engraft graph model.onnx --cuts
///   engraft graph encoder.onnx --shape input_ids=1x64 --shape attention_mask=1x64 --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Graph {
    /// A known backbone, an .onnx file, a Hugging Face style folder, or hf:owner/name
    #[arg(value_name = "MODEL")]
    model: String,
    /// List the tensors at which it can be cut, with what is above each and what of tuning behind it
    #[arg(long)]
    cuts: bool,
    /// The ONNX file to take from the folder
    #[arg(long, value_name = "FILE")]
    onnx_file: Option<String>,
    /// The shape of an input, for sizes that the model leaves open
    #[arg(long, value_name = "INPUT=1x3x224x224", value_parser = shape)]
    shape: Vec<(String, Vec<usize>)>,
}

impl Graph {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let runtime = context.runtime()?;
        let located = registry::locate(&self.model, self.onnx_file.as_deref(), &context.home, &context.console)?;
        let shapes: HashMap<String, Vec<usize>> = self.shape.into_iter().collect();
        let open = OpenSizes { shapes, image: located.image };
        let found = anatomy(runtime, &located.model, &open, context.threads.get(), &context.console)?;
        let tunable = match self.cuts {
            true => Some(tunable(&read_whole_model(&located.model)?, &found)),
            false => None,
        };
        let told = Told { anatomy: &found, tunable };
        context.result(&told, || match &told.tunable {
            Some(tunable) => format!("{}\n\n{}", summary(&found), listed(&found.cuts, tunable)),
            None => summary(&found),
        })?;
        Ok(Status::Done)
    }
}

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    anatomy: &'a Anatomy,
    /// In the order of its cuts.
    #[serde(skip_serializing_if = "Option::is_none")]
    tunable: Option<Vec<Tunable>>,
}

fn summary(model: &Anatomy) -> String {
    let mut lines = Vec::new();
    let mut say = |what: &str, text: String| lines.push(vec![what.to_owned(), text]);
    for file in &model.files {
        say("file", file.display().to_string());
    }
    let sets = model.operator_sets.iter().map(|set| match set.domain.as_str() {
        "" => format!("operators {}", set.version),
        domain => format!("{domain} {}", set.version),
    });
    say(
        "format",
        format!("{} MB, version {}, {}", millions(model.bytes), model.ir_version, sets.collect::<Vec<_>>().join(", ")),
    );
    say("producer", model.producer.clone());
    for (what, ports) in [("input", &model.inputs), ("output", &model.outputs)] {
        ports.iter().for_each(|port| say(what, described(port)));
    }
    if !model.metadata.is_empty() {
        say("metadata", model.metadata.join(", "));
    }
    let parameters = format!("{} million in {} MB", millions(model.parameters), millions(model.parameter_bytes));
    say("parameters", parameters);
    let sample =
        model.sample.iter().map(|input| format!("{} {}", input.tensor, sizes(input))).collect::<Vec<_>>().join(", ");
    let mut cost = match model.flops {
        Some(flops) => format!("{} million at {sample}", millions(flops)),
        None => "not known".to_owned(),
    };
    if !model.uncounted.is_empty() {
        cost += &format!(", without {}", model.uncounted.join(", "));
    }
    say("operations", cost);
    let nodes: usize = model.operators.iter().map(|operator| operator.nodes).sum();
    let each = model.operators.iter().map(|of| format!("{} {}", of.nodes, of.operator)).collect::<Vec<_>>().join(", ");
    say("nodes", format!("{nodes}: {each}"));
    if model.functions > 0 {
        say("functions", model.functions.to_string());
    }
    if model.folded_nodes != nodes {
        say("folded", format!("{} are left when constants are folded", counted(model.folded_nodes, "node")));
    }
    let alone = model.cuts.iter().filter(|cut| cut.companions.is_empty()).count();
    say(
        "cuts",
        format!("at {}; {alone} of them alone carry all that is needed behind", counted(model.cuts.len(), "tensor")),
    );
    table(&["", ""], lines).trim_start().to_owned()
}

fn millions(n: u64) -> String {
    format!("{:.3}", n as f64 / 1e6)
}

/// `x float [n, 3]`.
fn described(port: &Described) -> String {
    let shape = port
        .shape
        .iter()
        .map(|shape| format!(" [{}]", shape.iter().map(Dimension::to_string).collect::<Vec<_>>().join(", ")));
    format!("{} {}{}", port.name, port.element, shape.collect::<String>())
}

fn sizes(tensor: &TensorSize) -> String {
    tensor.shape.as_ref().map_or_else(|| "?".to_owned(), |shape| format!("{shape:?}"))
}

fn shape(text: &str) -> Result<(String, Vec<usize>), String> {
    let wrong = || "give an input and its sizes, such as x=1x3x224x224".to_owned();
    // Names of tensors may hold a = themselves.
    let (name, sizes) = text.rsplit_once('=').ok_or_else(wrong)?;
    let sizes = match sizes {
        "" => Vec::new(),
        sizes => sizes.split('x').map(|n| n.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?,
    };
    Ok((name.to_owned(), sizes))
}

#[cfg(test)]
mod tests {
    #[test]
    fn shapes_are_read() {
        let read = |text: &str| super::shape(text).ok();
        assert_eq!(read("x=1x3x8"), Some(("x".to_owned(), vec![1, 3, 8])));
        assert_eq!(read("a=b:0="), Some(("a=b:0".to_owned(), vec![])));
        assert_eq!(["x", "x=1xx2", "x=-1"].map(read), [None, None, None]);
    }
}
