//! What is known of the model, the features and the evaluation.

use super::{Context, Evaluation, names};
use crate::error::Result;
use crate::file;

/// Names and values, in the order of a page.
pub(super) fn facts(context: &Context, evaluation: &Evaluation) -> Result<Vec<(String, String)>> {
    let Evaluation { model, inputs, head, features, .. } = *evaluation;
    let mut facts: Vec<(&str, String)> = vec![
        ("model", model.display().to_string()),
        ("model sha256", file::sha256_file(model)?),
        ("head", format!("{:?}, by engraft {}", head.kind, head.engraft_version)),
        ("inputs", names(inputs)),
        ("rows without a known label, left out", evaluation.left_out.to_string()),
        ("rejected inputs", evaluation.rejects.to_string()),
    ];
    if let Some(c) = &head.certificate {
        let converged = if c.converged { "converged" } else { "not converged" };
        let (gap, iterations) = (c.gap, c.iterations);
        facts.push(("certificate", format!("{converged} in {iterations} iterations, within {gap:.1e} of the optimum")));
    }
    match features.provenance.as_ref() {
        Some(p) => facts.extend([
            ("backbone", p.backbone.clone()),
            ("backbone sha256", p.backbone_sha256.clone()),
            ("fingerprint of backbone, preprocessing and output", p.fingerprint()),
            ("embeddings", format!("{} dimensions, {}, on {}", p.dimension, p.precision, p.provider)),
            ("embedded by", format!("engraft {}, ONNX Runtime {}", p.engraft_version, p.onnxruntime_version)),
        ]),
        None => facts.push(("backbone", "not told by the features".to_owned())),
    }
    facts.push(("seed", context.seed.to_string()));
    facts.push(("evaluated by", concat!("engraft ", env!("CARGO_PKG_VERSION")).to_owned()));
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
