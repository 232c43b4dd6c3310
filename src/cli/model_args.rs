//! The flags that name a backbone and say what its folder does not.

use std::path::PathBuf;

use super::Context;
use super::inputs::json_word;
use crate::backbone::{Backbone, Output, Overrides, Pooling, Resize, registry};
use crate::error::{Error, Result};
use crate::features::Provenance;
use crate::preprocess::{ImagePreprocessor, Interpolation, Preprocessing};
use crate::source::Modality;

/// Which backbone, and what its folder does not say.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ModelArgs {
    /// A known backbone (see `engraft models list`), an .onnx file, a Hugging Face style folder, or hf:owner/name
    #[arg(long, short, value_name = "MODEL")]
    pub(super) model: Option<String>,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// What to take of a model, and what .onnx files and folders do not say themselves.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The model's output, and models without a manifest")]
struct OverrideArgs {
    /// image or text
    #[arg(long, value_name = "KIND", value_parser = json_word::<Modality>)]
    modality: Option<Modality>,
    /// The ONNX file to take from the folder
    #[arg(long, value_name = "FILE")]
    onnx_file: Option<String>,
    /// The tensor to take, an inner one too; several with commas between are joined
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// The layers to take and join, such as -1,-2: 1 is the first, -1 the last
    #[arg(long, value_name = "L,L", value_delimiter = ',', allow_hyphen_values = true)]
    layers: Option<Vec<i64>>,
    /// none, mean, cls, last-token or gap
    #[arg(long, alias = "pool", value_name = "POOLING", value_parser = json_word::<Pooling>)]
    pooling: Option<Pooling>,
    /// Divide each embedding by its length: true or false
    #[arg(long, value_name = "BOOL")]
    normalize: Option<bool>,
    /// Input size in pixels: 224 or HEIGHTxWIDTH
    #[arg(long, value_name = "PIXELS", value_parser = size)]
    image_size: Option<[u32; 2]>,
    /// squash, or the length of the shorter edge before the centre is cut out
    #[arg(long, value_name = "HOW")]
    resize: Option<Resize>,
    /// nearest, box, bilinear, hamming, bicubic or lanczos
    #[arg(long, value_name = "FILTER", value_parser = json_word::<Interpolation>)]
    interpolation: Option<Interpolation>,
    /// Mean of each channel after scaling to 0..1, such as 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of each channel after scaling to 0..1
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    std: Option<[f32; 3]>,
    /// The tokenizer.json
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Greatest number of tokens of a text
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<usize>,
}

impl ModelArgs {
    /// The backbone that `--model` names, made ready.
    pub(super) fn resolve(&self, context: &Context) -> Result<Backbone> {
        let Some(name) = &self.model else {
            return Err(Error::Usage(
                "raw images or texts need a backbone: give --model (see `engraft models list`)".into(),
            ));
        };
        // Before a backbone is fetched in vain.
        context.runtime()?;
        let backbone = registry::resolve(name, &self.overrides(), &context.home, &context.console)?;
        if registry::find(name).is_err() {
            context.console.say(&taken(&backbone));
        }
        Ok(backbone)
    }

    /// The backbone that features of this provenance came from, or `--model` where its name no longer leads to it. Inputs
    /// are prepared as they were then; what decides that is not asked for again.
    pub(super) fn recall(&self, context: &Context, provenance: &Provenance) -> Result<Backbone> {
        let OverrideArgs { output_name, layers, pooling, normalize, .. } = &self.overrides;
        if output_name.is_some() || layers.is_some() || pooling.is_some() || normalize.is_some() {
            return Err(Error::Usage(
                "the head takes the output, pooling and normalisation that it was trained on: leave out --output-name, \
                 --layers, --pooling and --normalize"
                    .into(),
            ));
        }
        let name = self.model.as_ref().unwrap_or(&provenance.backbone);
        context.runtime()?;
        if registry::find(name).is_ok() {
            let Output { tensor, pooling, normalize } = provenance.output.clone();
            let overrides = Overrides {
                output_name: Some(tensor),
                pooling: Some(pooling),
                normalize: Some(normalize),
                ..Overrides::default()
            };
            return registry::resolve(name, &overrides, &context.home, &context.console);
        }
        let found = registry::resolve(name, &self.remembered(provenance)?, &context.home, &context.console)?;
        let (preprocessing, output) = (provenance.preprocessing.clone(), provenance.output.clone());
        Ok(Backbone { preprocessing, output, ..found })
    }

    /// What a folder may not say by itself, as the provenance has it.
    fn remembered(&self, provenance: &Provenance) -> Result<Overrides> {
        let Output { tensor, pooling, normalize } = provenance.output.clone();
        let overrides = Overrides {
            onnx_file: self.overrides.onnx_file.clone(),
            tokenizer: self.overrides.tokenizer.clone(),
            output_name: Some(tensor),
            pooling: Some(pooling),
            normalize: Some(normalize),
            ..Overrides::default()
        };
        Ok(match &provenance.preprocessing {
            Preprocessing::Text(spec) => {
                Overrides { modality: Some(Modality::Text), max_length: Some(spec.max_length), ..overrides }
            }
            Preprocessing::Image(spec) => {
                let size = ImagePreprocessor::new(spec.clone())?.output_size();
                Overrides {
                    modality: Some(Modality::Image),
                    image_size: Some(size.map(|n| u32::try_from(n).unwrap_or(u32::MAX))),
                    // The steps and the scale themselves are taken from the provenance.
                    resize: Some(Resize::Squash),
                    interpolation: Some(spec.interpolation),
                    mean: Some(spec.mean),
                    std: Some(spec.std),
                    ..overrides
                }
            }
        })
    }

    fn overrides(&self) -> Overrides {
        let o = self.overrides.clone();
        Overrides {
            modality: o.modality,
            onnx_file: o.onnx_file,
            output_name: o.output_name,
            layers: o.layers,
            pooling: o.pooling,
            normalize: o.normalize,
            image_size: o.image_size,
            resize: o.resize,
            interpolation: o.interpolation,
            mean: o.mean,
            std: o.std,
            tokenizer: o.tokenizer,
            max_length: o.max_length,
        }
    }
}

/// What was taken for a model without a manifest: a wrong value shows here and not in the accuracy.
fn taken(backbone: &Backbone) -> String {
    let Output { tensor, pooling, normalize } = &backbone.output;
    let inputs = match &backbone.preprocessing {
        Preprocessing::Image(spec) => {
            format!("{:?}, {:?}, mean {:?}, std {:?}", spec.steps, spec.interpolation, spec.mean, spec.std)
        }
        Preprocessing::Text(spec) => format!("at most {} tokens", spec.max_length),
    };
    let length = if *normalize { "divided by its length" } else { "as it is" };
    format!("{}: output {tensor}, pooling {pooling:?}, {length}; {inputs}", backbone.name)
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height), Ok(width)) => Ok([height, width]),
        _ => Err("give a size such as 224 or 224x320 (height x width)".to_owned()),
    }
}

fn channels(text: &str) -> Result<[f32; 3], String> {
    let values: Result<Vec<f32>, _> = text.split(',').map(|v| v.trim().parse()).collect();
    let wrong = || "give three numbers, such as 0.485,0.456,0.406".to_owned();
    values.map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}
