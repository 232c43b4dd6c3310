//! The model card: what a person should know of an exported model, as Markdown.

use std::fmt::Write;
use std::path::Path;

use super::agreement::Agreement;
use super::pixels::PixelAgreement;
use super::record::{ExportInput, ExportPrecision, ExportRecord, TokenizerRecord};
use crate::error::{Error, Result};
use crate::file::beginning;
use crate::head::{HeadFile, Link};
use crate::onnx::{Dimension, Port, Signature};
use crate::preprocess::{Exif, ImageSpec, Preprocessing, TextSpec, Transparency};

/// By this a card is told from a file that must not be replaced.
const MADE: &str = "One ONNX file from input to label, exported by engraft";
/// It stands behind the name of the model, in so many bytes.
const BEGINNING: u64 = 4096;
/// Classes that are listed by name.
const NAMED: usize = 200;

/// How good a head was on rows that it had not seen, as `train` found it: JSON under `engraft.metrics`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Metrics {
    /// Which rows: "held-out rows", ...
    pub judged: String,
    /// How many.
    pub n: usize,
    /// The figures.
    pub figures: Vec<Metric>,
}

/// A figure with its 95 % interval, where there is one.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

/// What an export was verified with, and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// What the samples are.
    pub samples: &'static str,
    /// The fused graph against backbone and head, on the same tensors.
    pub agreement: Agreement,
    /// With the preprocessing in the file, on decoded images: pixels and what the whole file says of them.
    pub pixels: Option<(PixelAgreement, Agreement)>,
}

/// Fails when a file is there and is no card: `notes.md` may well be somebody's notes.
///
/// # Errors
/// [`Error::Usage`] then; when it cannot be read.
pub fn replaceable_card(path: &Path) -> Result<()> {
    let start = beginning(path, BEGINNING)?;
    if start.is_empty() || String::from_utf8_lossy(&start).contains(MADE) {
        return Ok(());
    }
    Err(Error::in_the_way(path, "it is no model card of engraft's, so it is not replaced: give another -o"))
}

/// The card of the model `name`.
pub fn card(
    name: &str,
    (head, record, metrics): (&HeadFile, &ExportRecord, Option<&Metrics>),
    signature: &Signature,
    verification: &Verification,
) -> String {
    let mut text = format!("# {name}\n\n{MADE} {}.\n", head.engraft_version);
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            // Writing to a text cannot fail.
            let _ = write!(text, "\n## {title}\n\n{}\n", body.trim_end());
        }
    };
    section("Inputs", ports(&signature.inputs) + &fed(name, head, record));
    section("Outputs", ports(&signature.outputs));
    section("Classes", classes(head));
    section("How good it is", metrics.map_or_else(String::new, |metrics| figures(metrics, record.precision)));
    section("What it is made of", made_of(head, record));
    section("Verified", verified(verification, record.precision));
    text
}

fn ports(ports: &[Port]) -> String {
    let line = |port: &Port| {
        let shape = port.shape.iter().flatten().map(Dimension::to_string).collect::<Vec<_>>().join(", ");
        format!("- `{}`: {} [{shape}]\n", port.name, format!("{:?}", port.element).to_lowercase())
    };
    ports.iter().map(line).collect()
}

fn fed(name: &str, head: &HeadFile, record: &ExportRecord) -> String {
    let preprocessing = head.provenance.as_ref().map(|provenance| &provenance.preprocessing);
    match (record.input, preprocessing) {
        (ExportInput::Pixels, _) => {
            "\nPixels must be prepared as `engraft.provenance` in the file's metadata says; `engraft predict` does it, and a file by \
             `engraft export --with-preprocess` does it itself.\n"
                .into()
        }
        (ExportInput::RawImages, Some(Preprocessing::Image(spec))) => decoded(name, spec),
        (ExportInput::Tokens, Some(Preprocessing::Text(spec))) => {
            record.tokenizer.as_ref().map_or_else(String::new, |tokenizer| tokens(name, spec, tokenizer))
        }
        _ => String::new(),
    }
}

/// How Pillow and onnxruntime feed images to a model with its preprocessing.
fn decoded(name: &str, spec: &ImageSpec) -> String {
    let (turned, open) = match spec.exif {
        Exif::Apply => {
            ("turned upright by their EXIF orientation", "ImageOps.exif_transpose(Image.open(\"photo.png\"))")
        }
        Exif::Ignore => ("as they are stored", "Image.open(\"photo.png\")"),
    };
    let (ground, flat) = match spec.transparency {
        Transparency::White => (
            ", what is transparent on white",
            "image = Image.alpha_composite(Image.new(\"RGBA\", image.size, \"white\"), image.convert(\"RGBA\"))\n",
        ),
        Transparency::Drop => ("", ""),
    };
    format!(
        "\nRGB images of any size, one size a batch, {turned}{ground}: resizing, cropping and normalising are in the file.\n\n\
         ```python\nimport numpy, onnxruntime\nfrom PIL import Image, ImageOps\n\nimage = {open}\n{flat}\
         pixels = numpy.asarray(image.convert(\"RGB\"))[None]\nsession = onnxruntime.InferenceSession(\"{name}.onnx\")\n\
         label, probabilities = session.run([\"label\", \"probabilities\"], {{\"image\": pixels}})\n```\n"
    )
}

/// How Hugging Face's tokenizers and onnxruntime feed texts to a model.
fn tokens(name: &str, spec: &TextSpec, TokenizerRecord { file, sha256 }: &TokenizerRecord) -> String {
    let most = spec.max_length;
    format!(
        "\nTokens of `{file}` beside the model (sha256 {sha256}), which Hugging Face's tokenizers read in every language: of each text \
         {most} at most, whatever the file says of that, and not padded, or padded with a mask of 0.\n\n\
         ```python\nimport onnxruntime\nfrom tokenizers import Tokenizer\n\ntokenizer = Tokenizer.from_file(\"{file}\")\n\
         tokenizer.enable_truncation({most})\ntokenizer.no_padding()\ntokens = tokenizer.encode(\"a text\")\n\
         given = {{\"input_ids\": tokens.ids, \"attention_mask\": tokens.attention_mask, \"token_type_ids\": tokens.type_ids}}\n\
         session = onnxruntime.InferenceSession(\"{name}.onnx\")\n\
         inputs = {{port.name: [given[port.name]] for port in session.get_inputs()}}\n\
         label, probabilities = session.run([\"label\", \"probabilities\"], inputs)\n```\n"
    )
}

fn classes(head: &HeadFile) -> String {
    let named = head.labels.iter().take(NAMED).map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
    let more = head.labels.len().saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let kind = match head.link {
        Link::Softmax => "one of",
        Link::Sigmoid => "any of",
    };
    format!("{kind} {}: {named}{rest}", head.labels.len())
}

fn figures(metrics: &Metrics, precision: ExportPrecision) -> String {
    let file = if precision == ExportPrecision::F32 { "" } else { ", by backbone and head in f32" };
    let mut text = format!("On {} {}, which the head had not seen{file}:\n\n", metrics.n, metrics.judged);
    text += "| figure | value | 95 % interval |\n| --- | --- | --- |\n";
    for Metric { name, value, interval } in &metrics.figures {
        let interval = interval.map_or_else(String::new, |[low, high]| format!("{low:.4} to {high:.4}"));
        let _ = writeln!(text, "| {name} | {value:.4} | {interval} |");
    }
    text
}

fn made_of(head: &HeadFile, record: &ExportRecord) -> String {
    let mut text = format!("- head: {:?}\n", head.kind).to_lowercase();
    if let Some(c) = &head.certificate {
        let converged = if c.converged { "converged" } else { "not converged" };
        let _ =
            writeln!(text, "- fit: {converged} in {} iterations, within {:.1e} of the optimum", c.iterations, c.gap);
    }
    if let Some(p) = &head.provenance {
        let _ = writeln!(text, "- backbone: {} (sha256 {})", p.backbone, p.backbone_sha256);
    }
    let licence = record.licence.as_deref().unwrap_or("not known");
    let _ = writeln!(text, "- licence of the backbone: {licence}\n- precision: {}", record.told());
    text
}

fn verified(Verification { samples, agreement, pixels }: &Verification, precision: ExportPrecision) -> String {
    let file = match precision {
        ExportPrecision::F32 => "this file",
        ExportPrecision::F16 | ExportPrecision::Int8 => "the file in f32 that this one was made of",
    };
    let pixels = pixels.as_ref().map(|(pixels, raw)| {
        format!(
            "\n\nThe preprocessing in the file was measured against engraft's own on the same images: pixels differ by at most {} of \
             255, by {:.1e} in the mean; logits then by at most {:.1e} of the greatest; {} other labels, {} ties.",
            pixels.greatest_difference, pixels.mean_difference, raw.greatest_difference, raw.other_labels, raw.ties
        )
    });
    let pixels = pixels.unwrap_or_default();
    format!(
        "{} {samples}, in two steps and through {file}: logits differ by at most {:.1e} of the greatest, probabilities by {:.1e}; {} \
         other labels, {} ties.{pixels}",
        agreement.samples,
        agreement.greatest_difference,
        agreement.greatest_probability_difference,
        agreement.other_labels,
        agreement.ties
    )
}
