//! What a model is made of, what it costs, and where it can be cut: told by running one sample.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::evaluate::{Evaluator, Outline, fold};
use super::runtime::Runtime;
use super::sample::{OpenSizes, sample};
use crate::error::Result;
use crate::onnx::{self, Dimension, Flops, Model, Port};
use crate::progress::Progress;

/// What a model is made of.
#[derive(Debug, Clone, Serialize)]
pub struct Anatomy {
    /// Its file, and those of its weights.
    pub files: Vec<PathBuf>,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Version of the file format.
    pub ir_version: i64,
    /// The imported operator sets.
    pub operator_sets: Vec<OperatorSet>,
    /// Who wrote it.
    pub producer: String,
    /// What it takes.
    pub inputs: Vec<Described>,
    /// What it gives.
    pub outputs: Vec<Described>,
    /// Keys of its metadata.
    pub metadata: Vec<String>,
    /// Nodes of each operator, the most frequent first.
    pub operators: Vec<OperatorCount>,
    /// Functions that it defines.
    pub functions: usize,
    /// Values of its constants, those of i64, bool and text left out.
    pub parameters: u64,
    /// Bytes of these.
    pub parameter_bytes: u64,
    /// Nodes that remain when what depends on constants alone is folded.
    pub folded_nodes: usize,
    /// The sizes of the sample that was run; operations and sizes below are of it.
    pub sample: Vec<TensorSize>,
    /// Floating-point operations of that sample, two for each multiply-add; none where it did not run.
    pub flops: Option<u64>,
    /// Operators that are not in that number, though they multiply and add.
    pub uncounted: Vec<String>,
    /// Where it can be cut, from its inputs to its outputs.
    pub cuts: Vec<Cut>,
}

/// An operator set.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorSet {
    /// Its domain; the standard one is empty.
    pub domain: String,
    /// Its version.
    pub version: i64,
}

/// How many nodes an operator has.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorCount {
    /// The operator.
    pub operator: String,
    /// In the file, subgraphs and functions included.
    pub nodes: usize,
}

/// An input or output as the file describes it.
#[derive(Debug, Clone, Serialize)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Type of the elements, as ONNX calls it, in lower case.
    pub element: String,
    /// Its dimensions; none where the file does not say how many there are.
    pub shape: Option<Vec<Dimension>>,
}

/// A tensor of the sample.
#[derive(Debug, Clone, Serialize)]
pub struct TensorSize {
    /// The tensor.
    pub tensor: String,
    /// Its sizes; none where the sample did not run.
    pub shape: Option<Vec<usize>>,
    /// Its bytes.
    pub bytes: Option<usize>,
}

/// A tensor at which the model can be cut in two.
#[derive(Debug, Clone, Serialize)]
pub struct Cut {
    /// The tensor.
    #[serde(flatten)]
    pub at: TensorSize,
    /// What must travel along: masks and sizes.
    pub companions: Vec<TensorSize>,
    /// Nodes above.
    pub nodes_above: usize,
    /// Values of the constants above.
    pub parameters_above: u64,
    /// Floating-point operations above.
    pub flops_above: Option<u64>,
}

/// Takes a model apart. Sizes that its inputs leave open are filled as `open` says, and one sample of them is run on the CPU. Why
/// it could not be run is noted, and what it would have told is left out.
///
/// # Errors
/// When the file cannot be read, or a size that is needed is not known.
pub fn anatomy(
    runtime: &Runtime,
    path: &Path,
    open: &OpenSizes,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Anatomy> {
    let name = path.display().to_string();
    let files = [&[path.to_path_buf()], &onnx::external_paths(&onnx::read_model(path)?, path)?[..]].concat();
    let bytes = onnx::stored_bytes(path)?;
    progress.begin("reading", None);
    let model = onnx::read_whole_model(path);
    progress.end();
    let model = model?;
    let known = onnx::inventory(&model);
    let signature = known.signature;
    let drawn = sample(&signature.inputs, open, &name)?;
    progress.begin("running one sample", None);
    let folded = fold(runtime, model.clone(), &name, threads);
    let folded = folded.unwrap_or_else(|e| {
        progress.note(&format!("constants are not folded: {e}"));
        model
    });
    let looked = Evaluator::of(runtime, &onnx::expose_all(folded.clone()), &name, threads).and_then(|mut evaluator| {
        let inputs: Vec<_> = drawn.iter().map(|(name, value)| (name.as_str(), value)).collect();
        evaluator.outlines(&inputs)
    });
    progress.end();
    let mut seen: HashMap<String, Outline> = match looked {
        Ok(seen) => seen.into_iter().filter_map(|(tensor, outline)| Some((tensor, outline?))).collect(),
        Err(e) => {
            progress.note(&format!("the sample did not run, so that sizes and operations are not known: {e}"));
            HashMap::new()
        }
    };
    let ran = !seen.is_empty();
    let fed = drawn.iter().map(|(name, value)| {
        let outline = Outline { element: value.element, dims: value.dims.clone(), bytes: Some(value.bytes()) };
        (name.clone(), outline)
    });
    seen.extend(fed);
    let shapes = seen.iter().map(|(tensor, outline)| (tensor.clone(), outline.dims.clone())).collect();
    let flops = onnx::flops(&folded, &shapes);
    let cuts = cuts(&folded, &seen, ran.then_some(&flops)).unwrap_or_else(|reason| {
        progress.note(&format!("no cuts are listed: {reason}"));
        Vec::new()
    });
    Ok(Anatomy {
        files,
        bytes,
        ir_version: known.ir_version,
        operator_sets: known
            .operator_sets
            .into_iter()
            .map(|(domain, version)| OperatorSet { domain, version })
            .collect(),
        producer: known.producer,
        inputs: signature.inputs.iter().map(described).collect(),
        outputs: signature.outputs.iter().map(described).collect(),
        metadata: known.metadata,
        operators: known.operators.into_iter().map(|(operator, nodes)| OperatorCount { operator, nodes }).collect(),
        functions: known.functions,
        parameters: known.parameters,
        parameter_bytes: known.parameter_bytes,
        folded_nodes: flops.nodes.len(),
        sample: drawn.iter().map(|(tensor, _)| sized(tensor, &seen)).collect(),
        flops: ran.then(|| flops.total()),
        uncounted: if ran { flops.uncounted } else { Vec::new() },
        cuts,
    })
}

fn cuts(model: &Model, seen: &HashMap<String, Outline>, flops: Option<&Flops>) -> Result<Vec<Cut>, String> {
    // Sequences and the like are no tensors, and nothing was seen of them.
    let tensors =
        |site: &onnx::CutSite| seen.contains_key(&site.tensor) && site.companions.iter().all(|t| seen.contains_key(t));
    let sites = onnx::cut_sites(model)?.into_iter().filter(|site| flops.is_none() || tensors(site));
    let above = |above: &[bool], flops: &Flops| {
        let counted = flops.nodes.iter().zip(above).filter(|(_, above)| **above);
        counted.fold(0_u64, |sum, (n, _)| sum.saturating_add(*n))
    };
    let cut = |site: onnx::CutSite| Cut {
        at: sized(&site.tensor, seen),
        companions: site.companions.iter().map(|tensor| sized(tensor, seen)).collect(),
        nodes_above: site.above.iter().filter(|above| **above).count(),
        parameters_above: site.parameters,
        flops_above: flops.map(|flops| above(&site.above, flops)),
    };
    Ok(sites.map(cut).collect())
}

fn sized(tensor: &str, seen: &HashMap<String, Outline>) -> TensorSize {
    let outline = seen.get(tensor);
    TensorSize {
        tensor: tensor.to_owned(),
        shape: outline.map(|outline| outline.dims.clone()),
        bytes: outline.and_then(|outline| outline.bytes),
    }
}

fn described(port: &Port) -> Described {
    let element = port.element.as_str_name().to_lowercase();
    Described { name: port.name.clone(), element, shape: port.shape.clone() }
}
