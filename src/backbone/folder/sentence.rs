//! `modules.json` of sentence-transformers: pooling and normalisation.

use std::path::Path;

use serde::Deserialize;

use super::companions::Companions;
use crate::backbone::Pooling;
use crate::error::{Error, Result};
use crate::file::is_inside;

/// What follows the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Modules {
    pub(super) pooling: Pooling,
    pub(super) normalize: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    /// A Python class; its last part says what the module does.
    r#type: String,
}

/// The pooling modes that sentence-transformers knows, one flag each, or one name.
#[derive(Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode: Option<String>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
}

/// Reads `modules.json`, if there is one.
pub(super) fn modules(companions: &Companions) -> Result<Option<Modules>> {
    let Some((path, modules)) = companions.json::<Vec<Module>>("modules.json")? else { return Ok(None) };
    let (mut pooling, mut normalize) = (None, false);
    for module in &modules {
        match module.r#type.rsplit('.').next().unwrap_or_default() {
            "Transformer" => {}
            "Pooling" if pooling.is_none() => pooling = Some(read_pooling(companions, &path, &module.path)?),
            "Normalize" => normalize = true,
            other => {
                let reason = format!(
                    "its module {other} is not part of the ONNX file; export the model with it inside (an output \
                     sentence_embedding) and without modules.json"
                );
                return Err(Error::malformed(&path, reason));
            }
        }
    }
    let pooling = pooling.ok_or_else(|| Error::malformed(&path, "it names no Pooling module"))?;
    Ok(Some(Modules { pooling, normalize }))
}

fn read_pooling(companions: &Companions, modules: &Path, folder: &str) -> Result<Pooling> {
    let name = format!("{folder}/config.json");
    if !is_inside(&name) {
        return Err(Error::malformed(modules, format!("the folder {folder:?} is outside the model")));
    }
    let Some((path, config)) = companions.json::<PoolingConfig>(&name)? else {
        return Err(Error::malformed(modules, format!("{name} is missing beside it")));
    };
    let flags = [
        (config.pooling_mode_cls_token, "cls"),
        (config.pooling_mode_mean_tokens, "mean"),
        (config.pooling_mode_max_tokens, "max"),
        (config.pooling_mode_mean_sqrt_len_tokens, "mean_sqrt_len_tokens"),
        (config.pooling_mode_weightedmean_tokens, "weightedmean"),
        (config.pooling_mode_lasttoken, "lasttoken"),
    ];
    let mut modes: Vec<&str> = flags.into_iter().filter_map(|(on, mode)| on.then_some(mode)).collect();
    modes.extend(config.pooling_mode.as_deref().filter(|mode| !modes.contains(mode)).into_iter().collect::<Vec<_>>());
    match modes[..] {
        ["cls"] => Ok(Pooling::Cls),
        ["mean"] => Ok(Pooling::Mean),
        ["lasttoken"] => Ok(Pooling::LastToken),
        [] => Err(Error::malformed(&path, "it switches no pooling mode on")),
        _ => {
            let reason = format!("the pooling {} is not supported: one of mean, cls, lasttoken is", modes.join(" + "));
            Err(Error::malformed(&path, reason))
        }
    }
}
