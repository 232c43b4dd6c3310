//! A first batch for any backbone, to see where its nodes run.

use super::Backbone;
use super::assignment::Assignment;
use super::options::{Proof, SessionOptions};
use super::provider::{Device, Provider};
use super::runtime::Runtime;
use super::session::{Element, Session, Tensor};
use crate::error::{Error, Result};
use crate::preprocess::{ImagePreprocessor, Preprocessing};

/// Rows of the batch, where the graph leaves their number open.
const ROWS: usize = 2;
/// Tokens of a text, where the graph leaves their number open.
const TOKENS: usize = 8;

/// Runs a backbone once on a provider, on black images or on texts of one token over and over, and counts which provider ran
/// how many of its nodes.
///
/// # Errors
/// As [`Session::open`] and [`Session::run`].
pub fn probe(runtime: &Runtime, backbone: &Backbone, provider: Provider) -> Result<Assignment> {
    let options = SessionOptions { proof: Proof::Always, ..SessionOptions::new(Device::Only(provider), 1) };
    let (mut session, _) = Session::open(runtime, &backbone.model, &backbone.output.tensor, &options)?;
    let open = match &backbone.preprocessing {
        Preprocessing::Image(spec) => {
            let [height, width] = ImagePreprocessor::new(spec.clone())?.output_size();
            vec![ROWS, 3, height, width]
        }
        Preprocessing::Text(_) => vec![ROWS, TOKENS],
    };
    let inputs = session.inputs().to_vec();
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| filled(&input.shape, &open)).collect();
    let count = |shape: &[usize]| shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    let longest = shapes.iter().map(|shape| count(shape)).max().flatten().filter(|&n| n <= 1 << 28);
    let Some(longest) = longest else {
        return Err(Error::model(&backbone.name, format!("inputs of the shapes {shapes:?} are too large to try")));
    };
    let (floats, integers, bytes) = (vec![0.0_f32; longest], vec![1_i64; longest], vec![0_u8; longest]);
    let values = inputs.iter().zip(&shapes).map(|(input, shape)| {
        let n = count(shape).unwrap_or(0);
        let tensor = match input.element() {
            Element::Float => Tensor::F32(shape, floats.get(..n).unwrap_or_default()),
            Element::Integer => Tensor::I64(shape, integers.get(..n).unwrap_or_default()),
            Element::Byte => Tensor::U8(shape, bytes.get(..n).unwrap_or_default()),
        };
        (input.name.as_str(), tensor)
    });
    session.run_with(&values.collect::<Vec<_>>(), |_, _| Ok(()))?;
    session.assignment().cloned().ok_or_else(|| Error::model(&backbone.name, "ONNX Runtime left no profile"))
}

/// The graph's own sizes, and ours where it leaves them open.
fn filled(shape: &[i64], open: &[usize]) -> Vec<usize> {
    let size = |(i, &n): (usize, &i64)| usize::try_from(n).unwrap_or_else(|_| open.get(i).copied().unwrap_or(1));
    shape.iter().enumerate().map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_sizes_are_filled() {
        assert_eq!(filled(&[-1, 3, -1, 224], &[2, 3, 196, 196]), [2, 3, 196, 224]);
        assert_eq!(filled(&[-1, -1, -1], &[2, 8]), [2, 8, 1]);
    }
}
