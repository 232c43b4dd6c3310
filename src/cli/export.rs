//! `engraft export`.

mod delivery;
mod shrink;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::Serialize;

pub(super) use delivery::{Delivery, Files};
use shrink::{ShrinkArgs, Smaller, Whole};

use super::classifier::{backbone_of, check_same_backbone};
use super::inputs::{self, SourceArgs, count};
use super::model_args::ModelArgs;
use super::{Context, Status};
use crate::backbone::Backbone;
use crate::error::{Error, Result};
use crate::export::{
    Agreement, Exported, Extra, PixelAgreement, ROUNDED, TOLERANCE, Verification, built_in, pixel_backbones,
    with_preprocessing,
};
use crate::head::HeadFile;
use crate::onnx::{read_whole_model, write_model};
use crate::preprocess::{ImageSpec, Preprocessing};
use crate::progress::Progress;
use crate::source::Entry;

/// Samples of which the pixels are compared: those of more would not fit into every memory.
const MOST_PIXELS: usize = 64;

/// Make one ONNX file of a head and its backbone, verified before it is kept
///
/// The file takes what the backbone takes and gives label, probabilities and logits (ood_score and embedding where there are
/// any). Samples go through backbone and head one after the other and through the file in f32: where logits differ by more than
/// 1e-5 of the greatest, or a label by more than a tie, no file is written. What f16 and int8 make of it is held to --max-drop. A
/// model card, and the tokenizer for texts, are put beside it.
///
/// With --with-preprocess the file takes decoded images of any size: bytes [n, height, width, 3], RGB, one size a batch. It resizes,
/// crops and normalises in standard ONNX operators, as engraft and Pillow do; how far its pixels, logits and labels are from
/// engraft's own on the samples is measured and told: where pixels differ by a bit, logits may by 1e-2 of the greatest.
///
/// Examples:
///   engraft export head.onnx -o model.onnx
///   engraft export head.onnx -o model.onnx --samples photos/
///   engraft export head.onnx -o model.onnx --with-preprocess
///   engraft export head.onnx -o model.onnx --precision int8 --samples other-labelled-photos/
///   engraft predict model.onnx new-photos/
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Export {
    /// A head from `engraft train`
    #[arg(value_name = "HEAD.onnx")]
    head: PathBuf,
    /// The model to write
    #[arg(long, short, value_name = "MODEL.onnx")]
    output: PathBuf,
    /// Replace the model if it is there, and what lies beside it: MODEL.md, and MODEL.tokenizer.json for texts
    #[arg(long)]
    overwrite: bool,
    /// Images or texts to verify with; for f16 and int8 labelled ones that the head was not trained on [default: drawn pictures, common
    /// sentences]
    #[arg(long, value_name = "INPUT")]
    samples: Vec<PathBuf>,
    /// How many of them, drawn at random [default: 64, and 1,024 for f16 and int8]
    #[arg(long, short = 'n', value_name = "N", value_parser = count, requires = "samples")]
    verify: Option<NonZeroUsize>,
    /// Let the file give the embedding too
    #[arg(long)]
    embedding: bool,
    /// Let the file take images as they are decoded, and preprocess them
    #[arg(long)]
    with_preprocess: bool,
    #[command(flatten)]
    shrink: ShrinkArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// What was written, and how far it agrees with what it was made of.
#[derive(Debug, Serialize)]
struct Written {
    model: PathBuf,
    card: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokenizer: Option<PathBuf>,
    /// Bytes of the model.
    size: u64,
    /// In f32, whatever the precision.
    agreement: Agreement,
    /// Of f16 and int8.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    smaller: Option<Smaller>,
    /// The same of decoded images through the file with its preprocessing.
    #[serde(skip_serializing_if = "Option::is_none")]
    preprocessed: Option<Preprocessed>,
}

#[derive(Debug, Serialize)]
struct Preprocessed {
    pixels: PixelAgreement,
    agreement: Agreement,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        self.shrink.check(context)?;
        let files = Files::of(&self.output)?;
        let head_to_export = (self.head.as_path(), "the head to export");
        files.may_write(&[head_to_export], self.overwrite)?;
        let mut head = HeadFile::read(&self.head)?;
        let backbone = backbone_of(&head, &self.model, context)?;
        let files = files.beside(&backbone);
        files.may_write(&[head_to_export, (&backbone.model, "the backbone")], self.overwrite)?;
        let images = match &backbone.preprocessing {
            _ if !self.with_preprocess => None,
            Preprocessing::Image(spec) => Some(spec),
            Preprocessing::Text(_) => {
                let reason = "--with-preprocess is for images: texts are tokenised by the tokenizer beside the model";
                return Err(Error::Usage(reason.into()));
            }
        };
        let (mut entries, samples) = self.entries(context, &backbone)?;
        let two_steps = inputs::embed_entries(context, &self.source, &backbone, entries.clone())?;
        // What was rejected is no sample.
        let embedded: HashSet<&str> = two_steps.ids.iter().map(String::as_str).collect();
        let given = entries.len();
        entries.retain(|entry| matches!(entry, Entry::Sample(sample) if embedded.contains(sample.id.as_str())));
        if let rejected @ 1.. = given - entries.len() {
            context
                .console
                .say(&format!("warning: {rejected} of {given} samples cannot be embedded, and are left out"));
        }
        check_same_backbone(context, (&self.head, &head), (&self.samples, &two_steps))?;
        head.provenance = head.provenance.or_else(|| two_steps.provenance.clone());
        let expected = head.score(two_steps.matrix.view())?;

        let extra = if self.embedding { Extra::Embedding } else { Extra::Nothing };
        let (delivery, model) = Delivery::fuse(context, &self.source, &files, (&backbone, &head), extra)?;
        let told = |error| delivery.told(error);
        let ids = &two_steps.ids;
        let (mut exported, agreement) = delivery.verify(entries.clone(), ids, &expected, TOLERANCE)?;
        let mut verification = Verification { samples, agreement, pixels: None };
        let smaller = self.shrink.is_wanted().then(|| {
            let (features, scored) = (&two_steps, &expected);
            let whole = Whole { model: &model, exported: &exported, entries: &entries, features, scored };
            self.shrink.run(context, &self.source, whole)
        });
        let smaller = smaller.transpose().map_err(told)?;
        if let Some(smaller) = &smaller {
            context.console.say(&smaller.told());
            exported = Exported::read(&delivery.model()).map_err(told)?;
        }
        if let Some(spec) = images {
            let pixels = self.pixels(context, spec, entries.iter().take(MOST_PIXELS), &delivery)?;
            // What the file says without its preprocessing.
            let model = read_whole_model(&delivery.model()).map_err(told)?;
            let known = match smaller {
                Some(_) => delivery.through(&exported, entries.clone(), ids)?,
                None => expected,
            };
            write_model(&with_preprocessing(model, spec, &backbone.name)?, &delivery.model()).map_err(told)?;
            // Batches are of other sizes than before: of fewer bits that tells.
            let tolerance = if pixels.is_exact() && smaller.is_none() { TOLERANCE } else { ROUNDED };
            let (with, agreement) = delivery.verify(entries, ids, &known, tolerance)?;
            exported = with;
            verification.pixels = Some((pixels, agreement));
        }
        let cost = |size| {
            let text = smaller.as_ref().map(|smaller| smaller.text(size));
            text.map_or_else(String::new, |text| format!("\n## What the precision costs\n\n{text}\n"))
        };
        let size = delivery.commit(&exported, &verification, cost)?;
        let Verification { agreement, pixels, .. } = verification;
        let preprocessed = pixels.map(|(pixels, agreement)| Preprocessed { pixels, agreement });
        let Files { model, card, tokenizer, .. } = files;
        let written = Written { model, card, tokenizer, size, agreement, smaller, preprocessed };
        context.result(&written, || written.text(samples))?;
        Ok(Status::Done)
    }

    /// What to verify with, and what that is called.
    fn entries(&self, context: &Context, backbone: &Backbone) -> Result<(Vec<Entry>, &'static str)> {
        let modality = inputs::modality(&backbone.preprocessing);
        if self.samples.is_empty() {
            return Ok((built_in(modality)?, "built-in samples"));
        }
        raw(&self.samples)?;
        let most = self.shrink.samples(self.verify);
        let drawn = inputs::draw(&self.samples, &self.source.options(modality, &[]), most, context.seed)?;
        Ok((drawn, "of your samples"))
    }

    /// The samples' pixels, by engraft and by the graph alone.
    fn pixels<'a>(
        &self,
        context: &Context,
        spec: &ImageSpec,
        entries: impl Iterator<Item = &'a Entry>,
        delivery: &Delivery,
    ) -> Result<PixelAgreement> {
        context.console.note("measuring the preprocessing in the file against engraft's own");
        let staging = delivery.folder();
        let folder = tempfile::tempdir_in(staging).map_err(Error::io("create", staging))?;
        let entries: Vec<Entry> = entries.cloned().collect();
        let [own, graph] = pixel_backbones(spec, folder.path())?.map(|b| delivery.embed(&b, entries.clone()));
        let pixels = PixelAgreement::of(own?.matrix.view(), graph?.matrix.view())?;
        if !pixels.holds() {
            return Err(Error::Data(format!(
                "{} was not written: the pixels that its preprocessing makes differ by up to {} of 255 from engraft's: export it \
                 without --with-preprocess",
                self.output.display(),
                pixels.greatest_difference
            )));
        }
        Ok(pixels)
    }
}

/// Fails where one of the inputs is features, which no model runs on.
pub(super) fn raw(inputs: &[PathBuf]) -> Result<()> {
    for input in inputs {
        if inputs::are_features(input)? {
            return Err(Error::Usage(format!(
                "{} holds features: give the images or texts themselves",
                input.display()
            )));
        }
    }
    Ok(())
}

impl Written {
    fn text(&self, samples: &str) -> String {
        let Agreement { samples: n, greatest_difference, other_labels, ties, .. } = &self.agreement;
        let smaller = self.smaller.as_ref().map(|smaller| format!("\n{}", smaller.text(self.size))).unwrap_or_default();
        let of = if self.smaller.is_some() { " in f32" } else { "" };
        let beside = self.tokenizer.iter().chain([&self.card]).map(|path| path.display().to_string());
        let preprocessed = self.preprocessed.as_ref().map(|Preprocessed { pixels, agreement }| {
            format!(
                "\nwith the preprocessing in the file: pixels within {} of 255 ({:.1e} in the mean), logits within {:.1e} of the \
                 greatest, {} other labels",
                pixels.greatest_difference,
                pixels.mean_difference,
                agreement.greatest_difference,
                agreement.other_labels
            )
        });
        format!(
            "verified{of} on {n} {samples}: logits within {greatest_difference:.1e} of the greatest, {other_labels} other labels, {ties} \
             ties{smaller}{}\n{:.1} MB: {}\nbeside it: {}",
            preprocessed.unwrap_or_default(),
            self.size as f64 / 1e6,
            self.model.display(),
            beside.collect::<Vec<_>>().join(", ")
        )
    }
}
