//! Which output is the embedding, and how it is pooled.

use super::overrides::Overrides;
use super::sentence::Modules;
use super::told;
use crate::backbone::{Output, Pooling};
use crate::onnx::{DataType, Port, Signature};

/// One vector a text already.
const TEXT_VECTORS: [&str; 2] = ["sentence_embedding", "text_embeds"];
/// One vector a token.
const TOKENS: [&str; 2] = ["last_hidden_state", "token_embeddings"];
/// One vector an image already, the projected one first.
const IMAGE_VECTORS: [&str; 5] = ["image_embeds", "pooler_output", "features", "embedding", "embeddings"];

/// The output of a text encoder: a ready sentence vector before token vectors, unless a pooling is asked for.
pub(super) fn text(graph: &Signature, modules: Option<&Modules>, overrides: &Overrides) -> Result<Output, String> {
    let port = choose(graph, &TEXT_VECTORS, overrides)?;
    let usual = if is_ready(&port, &TEXT_VECTORS) { Some(Pooling::None) } else { modules.map(|m| m.pooling) };
    let pooling = pooling_of(&port, usual, overrides)?;
    let normalize = overrides.normalize.or(modules.map(|m| m.normalize)).unwrap_or(false);
    Ok(Output { tensor: port.name, pooling, normalize })
}

/// The output of an image encoder.
pub(super) fn image(graph: &Signature, overrides: &Overrides) -> Result<Output, String> {
    let port = choose(graph, &IMAGE_VECTORS, overrides)?;
    let usual = is_ready(&port, &IMAGE_VECTORS).then_some(Pooling::None);
    let pooling = pooling_of(&port, usual, overrides)?;
    Ok(Output { tensor: port.name, pooling, normalize: overrides.normalize.unwrap_or(false) })
}

/// Whether an output whose rank the file does not say is a vector by its name.
fn is_ready(port: &Port, vectors: &[&str]) -> bool {
    port.rank().is_none() && vectors.contains(&port.name.as_str())
}

/// What is asked for by name may be inside the graph; nothing but its name is known then.
fn choose(graph: &Signature, vectors: &[&str], overrides: &Overrides) -> Result<Port, String> {
    let named = |name: &str| graph.outputs.iter().find(|port| port.name == name);
    let listed = || graph.outputs.iter().map(told).collect::<Vec<_>>().join(", ");
    if let Some(name) = &overrides.output_name {
        let inner = || Port { name: name.clone(), element: DataType::Undefined, shape: None };
        return Ok(named(name).cloned().unwrap_or_else(inner));
    }
    let known: Vec<&str> = match overrides.pooling {
        Some(Pooling::Mean | Pooling::Cls | Pooling::LastToken | Pooling::Gap) => TOKENS.into(),
        Some(Pooling::None) => vectors.into(),
        None => vectors.iter().copied().chain(TOKENS).collect(),
    };
    match (known.into_iter().find_map(named), &graph.outputs[..]) {
        (Some(port), _) | (None, [port]) => Ok(port.clone()),
        (None, []) => Err("it has no output".into()),
        (None, _) => Err(format!("which output is the embedding? Name it with --output-name; it has {}", listed())),
    }
}

/// By the number of dimensions; `usual` where neither that nor the user says it.
pub(in crate::backbone) fn pooling_of(
    port: &Port,
    usual: Option<Pooling>,
    overrides: &Overrides,
) -> Result<Pooling, String> {
    let ask = || {
        let ways = "mean, cls, last-token; gap for images";
        format!("how do the values of {} become one vector? Say it with --pooling ({ways})", told(port))
    };
    match (port.rank(), overrides.pooling) {
        (Some(2), None | Some(Pooling::None)) => Ok(Pooling::None),
        (Some(2), Some(_)) => {
            Err(format!("{} is one vector an input already; --pooling none goes with it", told(port)))
        }
        (Some(3), Some(Pooling::None)) => Err(ask()),
        (Some(3) | None, Some(pooling)) => Ok(pooling),
        (Some(3) | None, None) => usual.ok_or_else(ask),
        (Some(4), Some(Pooling::Gap)) => Ok(Pooling::Gap),
        (Some(4), _) => Err(format!("{} is a map of features; --pooling gap goes with it", told(port))),
        (Some(_), _) => Err(format!(
            "its output {} is neither [batch, d] nor [batch, tokens, d]; name another with --output-name",
            told(port)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Dimension;

    fn graph(outputs: &[(&str, Option<usize>)]) -> Signature {
        let port = |(name, rank): &(&str, Option<usize>)| Port {
            name: (*name).to_owned(),
            element: DataType::Float,
            shape: rank.map(|r| vec![Dimension::Unknown; r]),
        };
        Signature { inputs: vec![], outputs: outputs.iter().map(port).collect() }
    }

    const MEAN: Modules = Modules { pooling: Pooling::Mean, normalize: true };

    fn out(tensor: &str, pooling: Pooling, normalize: bool) -> Result<Output, String> {
        Ok(Output { tensor: tensor.into(), pooling, normalize })
    }

    #[test]
    fn text_prefers_a_ready_sentence_vector() {
        let both = graph(&[("token_embeddings", Some(3)), ("sentence_embedding", Some(2))]);
        let free = Overrides::default();
        assert_eq!(text(&both, Some(&MEAN), &free), out("sentence_embedding", Pooling::None, true));
        assert_eq!(text(&both, None, &free), out("sentence_embedding", Pooling::None, false));
        let cls = Overrides { pooling: Some(Pooling::Cls), ..Default::default() };
        assert_eq!(text(&both, Some(&MEAN), &cls), out("token_embeddings", Pooling::Cls, true));
        let unsaid = graph(&[("token_embeddings", None), ("sentence_embedding", None)]);
        assert_eq!(text(&unsaid, Some(&MEAN), &free), out("sentence_embedding", Pooling::None, true));
    }

    #[test]
    fn token_vectors_need_a_pooling() {
        let tokens = graph(&[("last_hidden_state", Some(3)), ("pooler_output", Some(2))]);
        let free = Overrides::default();
        assert_eq!(text(&tokens, Some(&MEAN), &free), out("last_hidden_state", Pooling::Mean, true));
        assert!(text(&tokens, None, &free).unwrap_err().contains("--pooling"));
        let plain = Overrides { normalize: Some(false), pooling: Some(Pooling::LastToken), ..Default::default() };
        assert_eq!(text(&tokens, Some(&MEAN), &plain), out("last_hidden_state", Pooling::LastToken, false));
        let explicit = Overrides { output_name: Some("pooler_output".into()), ..Default::default() };
        assert_eq!(text(&tokens, Some(&MEAN), &explicit), out("pooler_output", Pooling::None, true));
        let only = graph(&[("output_0", Some(3))]);
        assert_eq!(text(&only, Some(&MEAN), &free), out("output_0", Pooling::Mean, true));
    }

    #[test]
    fn images_take_known_names_in_order_or_the_only_output() {
        let free = Overrides::default();
        let vit = graph(&[("last_hidden_state", Some(3)), ("pooler_output", Some(2))]);
        assert_eq!(image(&vit, &free), out("pooler_output", Pooling::None, false));
        let cls = Overrides { pooling: Some(Pooling::Cls), normalize: Some(true), ..Default::default() };
        assert_eq!(image(&vit, &cls), out("last_hidden_state", Pooling::Cls, true));
        assert_eq!(image(&graph(&[("out", Some(2))]), &free), out("out", Pooling::None, false));
        assert!(image(&graph(&[("last_hidden_state", Some(3))]), &free).unwrap_err().contains("--pooling"));
        let error = image(&graph(&[("a", Some(2)), ("b", Some(2))]), &free).unwrap_err();
        assert!(error.contains("--output-name") && error.contains("a [?, ?], b [?, ?]"), "{error}");
        let maps = graph(&[("out", Some(4))]);
        assert!(image(&maps, &free).unwrap_err().contains("--pooling gap"));
        let gap = Overrides { pooling: Some(Pooling::Gap), ..Default::default() };
        assert_eq!(image(&maps, &gap), out("out", Pooling::Gap, false));
        assert!(image(&graph(&[("out", Some(5))]), &gap).unwrap_err().contains("--output-name"));
        assert!(image(&graph(&[("out", None)]), &free).unwrap_err().contains("--pooling"));
    }

    #[test]
    fn what_contradicts_the_graph_is_refused() {
        let ready = graph(&[("out", Some(2))]);
        let mean = Overrides { pooling: Some(Pooling::Mean), ..Default::default() };
        assert!(image(&ready, &mean).unwrap_err().contains("--pooling none"));
        let none = Overrides { pooling: Some(Pooling::None), ..Default::default() };
        assert!(text(&graph(&[("out", Some(3))]), None, &none).unwrap_err().contains("--pooling"));
    }

    #[test]
    fn an_inner_tensor_needs_a_pooling_that_is_said() {
        let graph = graph(&[("out", Some(2))]);
        let inner = Overrides { output_name: Some("layer3".into()), ..Default::default() };
        assert_eq!(text(&graph, Some(&MEAN), &inner), out("layer3", Pooling::Mean, true));
        assert!(image(&graph, &inner).unwrap_err().contains("--pooling"));
        let gap = Overrides { pooling: Some(Pooling::Gap), ..inner };
        assert_eq!(image(&graph, &gap), out("layer3", Pooling::Gap, false));
    }
}
