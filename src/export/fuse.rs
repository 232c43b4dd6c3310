//! Backbone, pooling and head as one graph.

use super::images::take_images;
use super::pooling::{EMBEDDING, MASK, Pooled, TOKENS, pooling};
use super::record::{ExportInput, ExportPrecision, ExportRecord, TokenizerRecord};
use crate::backbone::{Backbone, Pooling};
use crate::error::{Error, Result};
use crate::head::{HeadFile, Link};
use crate::onnx::build::{Dim, attr_int, node, tensor_string, value};
use crate::onnx::{CutPoint, DataType, Model, Port, cut, read_whole_model, rename_tensor, signature, splice};
use crate::preprocess::{ImageSpec, Preprocessing};

/// The head's class indices, which its own file calls `label`.
pub(super) const INDEX: &str = "label_index";
/// The names of the classes.
const NAMES: &str = "label_names";

/// What an exported model gives besides `label`, `probabilities`, `logits` and, where the head has one, `ood_score`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extra {
    /// Nothing.
    #[default]
    Nothing,
    /// `embedding [n, d]`, f32.
    Embedding,
}

/// One model of `backbone`, its pooling and normalisation, and `head`. It takes what the backbone takes and gives `label [n]`
/// (text; of heads whose rows may have any number of labels `labels [n, K]`, bool), `probabilities [n, K]`, `logits [n, K]`,
/// `ood_score [n]` where the head has one, and `extra`. The head's metadata is its own.
///
/// # Errors
/// When the backbone's file or a file of its weights cannot be read, or it is older than the head's operators and cannot be raised; when
/// it is another one than the head was trained on, or gives no embedding of the head's length.
pub fn fuse(backbone: &Backbone, tokenizer: Option<TokenizerRecord>, head: &HeadFile, extra: Extra) -> Result<Model> {
    let name = backbone.name.as_str();
    let model = read_whole_model(&backbone.model)?;
    let tensor = backbone.output.tensor.as_str();
    let output = signature(&model).outputs.into_iter().find(|port| port.name == tensor);
    let output = output.ok_or_else(|| Error::model(name, format!("it has no output {tensor:?}")))?;
    let pooled = pooled(backbone, &model, &output, head.head.dimension())?;
    let point = CutPoint { tensor: tensor.to_owned(), token: None, output };
    let trunk = cut(model, &[point], name)?;
    let pooling = pooling(&backbone.output, pooled, name)?;
    let trunk = splice(trunk, pooling, &[(tensor, TOKENS)], name)?;
    let embedding = trunk.graph.iter().flat_map(|graph| &graph.output).find(|v| v.name() == EMBEDDING).cloned();

    let mut whole = splice(trunk, named_labels(head)?, &[(EMBEDDING, EMBEDDING)], name)?;
    if let (Extra::Embedding, Some(graph)) = (extra, &mut whole.graph) {
        graph.value_info.retain(|v| v.name() != EMBEDDING);
        graph.output.extend(embedding);
    }
    let record = ExportRecord {
        input: match &backbone.preprocessing {
            Preprocessing::Image(_) => ExportInput::Pixels,
            Preprocessing::Text(_) => ExportInput::Tokens,
        },
        tokenizer,
        licence: backbone.licence.clone(),
        precision: ExportPrecision::F32,
        reduced_range: false,
        dynamic: false,
    };
    record.attach(&mut whole)?;
    whole.producer_name = Some("engraft".to_owned());
    whole.producer_version = Some(env!("CARGO_PKG_VERSION").to_owned());
    Ok(whole)
}

/// The model of [`fuse`], called `name` in errors, with the preprocessing `spec` in it: as [`take_images`].
///
/// # Errors
/// As [`take_images`]; when the model is not one of [`fuse`].
pub fn with_preprocessing(model: Model, spec: &ImageSpec, name: &str) -> Result<Model> {
    let mut model = take_images(model, spec, name)?;
    let record = ExportRecord::of(&model).map_err(|reason| Error::model(name, reason))?;
    ExportRecord { input: ExportInput::RawImages, ..record }.attach(&mut model)?;
    Ok(model)
}

/// What the backbone's output is to the pooling.
fn pooled(backbone: &Backbone, model: &Model, output: &Port, dimension: usize) -> Result<Pooled> {
    let mask = match &backbone.preprocessing {
        Preprocessing::Image(_) => None,
        Preprocessing::Text(_) => {
            let own = signature(model).inputs.into_iter().find(|input| input.name == MASK);
            Some(own.map_or(DataType::Int64, |input| input.element))
        }
    };
    let usual = match backbone.output.pooling {
        Pooling::None => Some(2),
        Pooling::Mean | Pooling::Cls | Pooling::LastToken => Some(3),
        Pooling::Gap => None,
    };
    let Some(rank) = output.rank().or(usual) else {
        let reason = format!(
            "it does not say how many dimensions {:?} has: infer its shapes first, with onnx.shape_inference",
            output.name
        );
        return Err(Error::model(&backbone.name, reason));
    };
    Ok(Pooled { rank, mask, dimension: i64::try_from(dimension).unwrap_or(i64::MAX) })
}

/// The head's graph with its label as a name.
fn named_labels(head: &HeadFile) -> Result<Model> {
    let mut model = head.to_model()?;
    if head.link == Link::Sigmoid {
        return Ok(model);
    }
    rename_tensor(&mut model, "label", INDEX);
    let Some(graph) = &mut model.graph else { return Ok(model) };
    graph.initializer.push(tensor_string(NAMES, &[head.labels.len() as i64], &head.labels));
    let gather = node("Gather", &[NAMES, INDEX], &["label"], vec![attr_int("axis", 0)]);
    graph.node.push(gather);
    graph.output.retain(|v| v.name() != INDEX);
    graph.output.insert(0, value("label", DataType::String, &[Dim::Named("n")]));
    Ok(model)
}
