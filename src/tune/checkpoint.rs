//! The state of a training, written after every epoch: a safetensors file.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::training::Epoch;
use crate::error::{Error, Result};
use crate::file;

/// Of each epoch: the loss in training, not a number before the first; loss and accuracy on what is held out.
const HISTORY: &str = "history";
const STATE: &str = "engraft.tune";
/// As much as an ONNX file may hold, for three sets of weights and their moments in 64 bits.
const MAX_BYTES: u64 = 14 << 30;

/// All that the next epoch depends on, for the weights in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) state: State,
    pub(super) weights: Vec<Vec<f32>>,
    /// The weights averaged.
    pub(super) average: Vec<Vec<f32>>,
    pub(super) best: Vec<Vec<f32>>,
    pub(super) moments: Vec<Vec<[f64; 2]>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Of model, data and settings.
    pub(super) fingerprint: String,
    pub(super) names: Vec<String>,
    pub(super) steps: i32,
    /// A tensor of the file: JSON would not keep the last bit.
    #[serde(skip)]
    pub(super) history: Vec<Epoch>,
    pub(super) best_epoch: usize,
}

/// Name, element type, sizes and bytes of a tensor.
type Part = (String, Dtype, Vec<usize>, Vec<u8>);

fn bytes<const N: usize, E>(values: &[E], f: impl Fn(&E) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(f).collect()
}

impl Checkpoint {
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let wrong = |e: &dyn std::fmt::Display| Error::malformed(path, e);
        let mut parts: Vec<Part> = Vec::new();
        for (i, name) in self.state.names.iter().enumerate() {
            let floats = [("weights", &self.weights), ("average", &self.average), ("best", &self.best)];
            for (prefix, values) in floats.map(|(prefix, all)| (prefix, &all[i])) {
                let data = bytes(values, |v| v.to_le_bytes());
                parts.push((format!("{prefix}.{name}"), Dtype::F32, vec![values.len()], data));
            }
            let moments = &self.moments[i];
            let flat: Vec<f64> = moments.iter().flatten().copied().collect();
            parts.push((
                format!("moments.{name}"),
                Dtype::F64,
                vec![moments.len(), 2],
                bytes(&flat, |v| v.to_le_bytes()),
            ));
        }
        let line =
            |e: &Epoch| [e.training_loss.unwrap_or(f64::NAN), e.held_out_loss, e.temperature, e.held_out_accuracy];
        let history: Vec<f64> = self.state.history.iter().flat_map(line).collect();
        parts.push((HISTORY.to_owned(), Dtype::F64, vec![history.len() / 4, 4], bytes(&history, |v| v.to_le_bytes())));
        let mut views: Vec<(&str, TensorView)> = Vec::with_capacity(parts.len());
        for (name, dtype, shape, data) in &parts {
            views.push((name, TensorView::new(*dtype, shape.clone(), data).map_err(|e| wrong(&e))?));
        }
        let state = serde_json::to_string(&self.state).map_err(|e| wrong(&e))?;
        let metadata = HashMap::from([(STATE.to_owned(), state)]);
        let whole = safetensors::serialize(views, Some(metadata)).map_err(|e| wrong(&e))?;
        file::write_atomic(path, &whole)
    }

    /// The checkpoint at `path`, if there is one; `expected` is what it must be of.
    ///
    /// # Errors
    /// When it is not one of this training, or not whole.
    pub(super) fn read(path: &Path, expected: &State, sizes: &[usize]) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let wrong = |e: &dyn std::fmt::Display| Error::malformed(path, e);
        let whole = file::read_at_most(path, MAX_BYTES)?;
        let tensors = SafeTensors::deserialize(&whole).map_err(|e| wrong(&e))?;
        let (_, header) = SafeTensors::read_metadata(&whole).map_err(|e| wrong(&e))?;
        let state = header.metadata().as_ref().and_then(|metadata| metadata.get(STATE));
        let mut state: State =
            serde_json::from_str(state.ok_or_else(|| wrong(&"no checkpoint of a tuning"))?).map_err(|e| wrong(&e))?;
        if (&state.fingerprint, &state.names) != (&expected.fingerprint, &expected.names) {
            let what = format!("the checkpoint {} and this tuning", path.display());
            return Err(Error::Mismatch { what, expected: expected.fingerprint.clone(), got: state.fingerprint });
        }
        let history = tensors.tensor(HISTORY).map_err(|e| wrong(&e))?;
        let epoch = |&[training, held_out_loss, temperature, held_out_accuracy]: &[f64; 4]| Epoch {
            training_loss: (!training.is_nan()).then_some(training),
            held_out_loss,
            temperature,
            held_out_accuracy,
        };
        let numbers: Vec<f64> = history.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        state.history = numbers.as_chunks().0.iter().map(epoch).collect();
        if history.dtype() != Dtype::F64 || state.history.is_empty() || state.best_epoch >= state.history.len() {
            return Err(wrong(&"its epochs are not those of a tuning"));
        }
        let values = |prefix: &str, name: &str, dtype: Dtype, length: usize| {
            let tensor = tensors.tensor(&format!("{prefix}.{name}")).map_err(|e| wrong(&e))?;
            match tensor.dtype() == dtype && tensor.shape().iter().product::<usize>() == length {
                true => Ok(tensor.data().to_vec()),
                false => Err(wrong(&format!("{prefix} of {name} are {:?} {:?}", tensor.dtype(), tensor.shape()))),
            }
        };
        let floats = |prefix: &str| {
            let one = |(name, &size): (&String, &usize)| {
                let data = values(prefix, name, Dtype::F32, size)?;
                Ok(data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
            };
            state.names.iter().zip(sizes).map(one).collect::<Result<Vec<Vec<f32>>>>()
        };
        let moments = |(name, &size): (&String, &usize)| {
            let data = values("moments", name, Dtype::F64, 2 * size)?;
            let flat: Vec<f64> = data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
            Ok(flat.as_chunks::<2>().0.to_vec())
        };
        let (weights, average, best) = (floats("weights")?, floats("average")?, floats("best")?);
        let moments = state.names.iter().zip(sizes).map(moments).collect::<Result<_>>()?;
        Ok(Some(Self { state, weights, average, best, moments }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.safetensors");
        let epoch = Epoch { training_loss: None, held_out_loss: 0.1 + 0.2, temperature: 1.5, held_out_accuracy: 0.75 };
        let state = State {
            fingerprint: "f".into(),
            names: vec!["a".into(), "b".into()],
            steps: 7,
            history: vec![epoch],
            best_epoch: 0,
        };
        let checkpoint = Checkpoint {
            weights: vec![vec![1.0, 2.5], vec![-3.0]],
            average: vec![vec![0.5, 2.25], vec![-3.5]],
            best: vec![vec![0.0, 2.5], vec![-4.0]],
            moments: vec![vec![[1.0, 0.1], [2.0, 0.2]], vec![[3.0, 0.3]]],
            state,
        };
        assert_eq!(Checkpoint::read(&path, &checkpoint.state, &[2, 1]).unwrap(), None);
        checkpoint.write(&path).unwrap();
        assert_eq!(Checkpoint::read(&path, &checkpoint.state, &[2, 1]).unwrap(), Some(checkpoint.clone()));
        assert!(Checkpoint::read(&path, &checkpoint.state, &[2, 2]).unwrap_err().to_string().contains("of b"));
        let other = State { fingerprint: "g".into(), ..checkpoint.state.clone() };
        assert!(Checkpoint::read(&path, &other, &[2, 1]).unwrap_err().to_string().contains("expected g, got f"));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        assert!(Checkpoint::read(&path, &checkpoint.state, &[2, 1]).is_err());
    }
}
