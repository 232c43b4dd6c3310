//! The trained head is an ONNX file: `embedding [n, d]` in, `logits [n, K]`, `probabilities [n, K]` and `label [n]` (the
//! class index, int64) out, in standard operators alone, so that every runtime takes it. Where rows may have any number of
//! labels, `labels [n, K]` (bool: the probability is at least [`THRESHOLD`](super::THRESHOLD)) stands in the place of `label`. What
//! else belongs to it is in the file's metadata.
//!
//! | key | value |
//! |---|---|
//! | `engraft.head` | the kind of head: `logistic`, `ridge`, `centroid`, `knn` or `mlp` |
//! | `engraft.labels` | JSON list of the K class names, in the order of the logits |
//! | `engraft.link` | the [`Link`]: `softmax`, which is meant where there is none, or `sigmoid` |
//! | `engraft.provenance` | JSON of the [`Provenance`] of the features it was trained on, if known |
//! | `engraft.certificate` | JSON of the fit's [`Certificate`], if there is one |
//! | `engraft.calibration` | JSON of the [`CalibrationRecord`], if the probabilities are calibrated |
//! | `engraft.ood` | JSON of the score and the threshold of the [`Detector`], if there is one, with its `dimension`, or `k` and `rows`; its output is `ood_score [n]` |
//! | `engraft.conformal`, … | JSON of what else was attached, see [`HeadFile::attach`] |
//! | `engraft.version` | version of engraft that wrote it |

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use ndarray::{Array1, Array2, ArrayView2};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::calibrator::{CalibrationRecord, Calibrator};
use super::certificate::Certificate;
use super::detector::{Detector, DetectorRecord};
use super::fitted::Head;
use super::graph;
use super::link::{Link, sigmoid};
use crate::error::{Error, Result};
use crate::features::Provenance;
use crate::onnx::{Model, metadata, read_model, set_metadata, write_model};

/// What kind of head a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// Multinomial logistic regression, see [`super::Logistic`].
    Logistic,
    /// Ridge regression on ±1, see [`super::Ridge`].
    Ridge,
    /// Nearest centroid, see [`super::Centroid`].
    Centroid,
    /// k nearest neighbours, see [`super::Knn`].
    Knn,
    /// A multilayer perceptron, see [`super::Mlp`].
    Mlp,
}

impl HeadKind {
    fn fits(self, head: &Head) -> bool {
        match self {
            HeadKind::Logistic | HeadKind::Ridge | HeadKind::Centroid => matches!(head, Head::Linear(_)),
            HeadKind::Knn => matches!(head, Head::Knn(_)),
            HeadKind::Mlp => matches!(head, Head::Mlp(_)),
        }
    }
}

/// What a head says of n rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// n×K.
    pub logits: Array2<f32>,
    /// n×K, calibrated where the head is.
    pub probabilities: Array2<f32>,
    /// n, of a head that has a [`Detector`]: higher is stranger.
    pub ood_scores: Option<Array1<f32>>,
}

/// A head with all that travels with it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadFile {
    /// What kind it is.
    pub kind: HeadKind,
    /// What was fitted.
    pub head: Head,
    /// K distinct class names, in the order of the logits.
    pub labels: Vec<String>,
    /// How logits become probabilities: [`Link::Sigmoid`] of a logistic head whose rows may have any number of labels.
    pub link: Link,
    /// What made the features it was trained on. A head takes only features of the same fingerprint.
    pub provenance: Option<Provenance>,
    /// How good the fit is.
    pub certificate: Option<Certificate>,
    /// How logits become probabilities, where that is not their softmax.
    pub calibration: Option<CalibrationRecord>,
    /// How strange a row is to the head.
    pub detector: Option<Detector>,
    /// JSON of what later stages want to travel with the head, by name, see [`HeadFile::attach`].
    pub attached: BTreeMap<String, String>,
    /// Version of engraft that trained it.
    pub engraft_version: String,
}

/// What tells an exported model, in which a head is only the last part.
pub(crate) const EXPORT_KEY: &str = "engraft.export";
/// And that tells the kind of a head.
pub(crate) const HEAD_KEY: &str = "engraft.head";

/// Keys of the metadata that are not attachments.
const OWN: [&str; 9] =
    ["head", "labels", "link", "provenance", "certificate", "calibration", "ood", "version", "export"];

impl HeadFile {
    /// A file of this version that tells nothing else of its head. `labels` are the names of its K classes.
    pub fn new(kind: HeadKind, head: Head, labels: Vec<String>) -> Self {
        Self {
            kind,
            head,
            labels,
            link: Link::default(),
            provenance: None,
            certificate: None,
            calibration: None,
            detector: None,
            attached: BTreeMap::new(),
            engraft_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// What the head says of n×d embeddings.
    ///
    /// # Errors
    /// As [`Head::logits`], [`Self::probabilities_of`] and [`Detector::scores`].
    pub fn score(&self, x: ArrayView2<f32>) -> Result<Scored> {
        let logits = self.head.logits(x)?;
        let ood_scores = self.detector.as_ref().map(|detector| detector.scores(x, logits.view())).transpose()?;
        Ok(Scored { probabilities: self.probabilities_of(logits.clone())?, logits, ood_scores })
    }

    /// The n×K probabilities of n×d embeddings, calibrated where the head is.
    ///
    /// # Errors
    /// As [`Head::logits`] and [`Self::probabilities_of`].
    pub fn probabilities(&self, x: ArrayView2<f32>) -> Result<Array2<f32>> {
        self.probabilities_of(self.head.logits(x)?)
    }

    /// The n×K probabilities of n×K logits of the head, calibrated where it is.
    ///
    /// # Errors
    /// When the calibration is of other classes.
    pub fn probabilities_of(&self, logits: Array2<f32>) -> Result<Array2<f32>> {
        match self.link {
            Link::Softmax => Calibrator::probabilities(self.calibrator(), logits),
            Link::Sigmoid => Ok(sigmoid(logits)),
        }
    }

    /// Lets `value` travel in the metadata as `engraft.<name>`, in place of what was attached by this name.
    ///
    /// # Errors
    /// [`Error::Data`] when the name is one of the head's own, or the value cannot be JSON.
    pub fn attach(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        if OWN.contains(&name) {
            return Err(Error::Data(format!("engraft.{name} is the head's own")));
        }
        self.attached.insert(name.to_owned(), as_text(value)?);
        Ok(())
    }

    /// What was attached by `name`, if anything was.
    ///
    /// # Errors
    /// [`Error::Data`] when it is something else.
    pub fn attached<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let read = |text: &String| {
            serde_json::from_str(text)
                .map_err(|e| Error::Data(format!("the head's engraft.{name} cannot be read: {e}")))
        };
        self.attached.get(name).map(read).transpose()
    }

    fn calibrator(&self) -> Option<&Calibrator> {
        self.calibration.as_ref().map(|record| &record.calibrator)
    }

    /// The ONNX model of this head.
    ///
    /// # Errors
    /// When the head is not of its kind, there is not one distinct label for each class, or the provenance is of another dimension.
    pub fn to_model(&self) -> Result<Model> {
        self.check().map_err(Error::Data)?;
        let mut model = graph::write(&self.head, self.link, self.calibrator(), self.detector.as_ref());
        set_metadata(&mut model, HEAD_KEY, as_text(&self.kind)?.trim_matches('"'));
        set_metadata(&mut model, "engraft.labels", as_text(&self.labels)?);
        set_metadata(&mut model, "engraft.link", as_text(&self.link)?.trim_matches('"'));
        if let Some(provenance) = &self.provenance {
            set_metadata(&mut model, "engraft.provenance", as_text(provenance)?);
        }
        if let Some(certificate) = &self.certificate {
            set_metadata(&mut model, "engraft.certificate", as_text(certificate)?);
        }
        if let Some(calibration) = &self.calibration {
            set_metadata(&mut model, "engraft.calibration", as_text(calibration)?);
        }
        if let Some(detector) = &self.detector {
            set_metadata(&mut model, "engraft.ood", as_text(&detector.record())?);
        }
        for (name, value) in &self.attached {
            set_metadata(&mut model, &format!("engraft.{name}"), value);
        }
        // Last and required: a file that was cut off lacks it.
        set_metadata(&mut model, "engraft.version", &self.engraft_version);
        Ok(model)
    }

    /// Writes the head to `path`, whole or not at all.
    ///
    /// # Errors
    /// As [`HeadFile::to_model`], and when the disk refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_model(&self.to_model()?, path)
    }

    /// Reads a head that engraft wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the file is no such head: not ONNX, another graph than this kind of head has, tensors
    /// that do not fit together, missing or wrong metadata.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(path, &read_model(path)?)
    }

    /// The head that was read from `path`.
    ///
    /// # Errors
    /// As [`HeadFile::read`].
    pub fn of(path: &Path, model: &Model) -> Result<Self> {
        if metadata(model, EXPORT_KEY).is_some() {
            return Err(Error::malformed(path, "it was exported already: give the head that it was made from"));
        }
        Self::from_model(model).map_err(|reason| Error::malformed(path, reason))
    }

    /// The head that a model is, or the reason why it is none.
    pub(crate) fn from_model(model: &Model) -> Result<Self, String> {
        let kind = metadata(model, HEAD_KEY).ok_or("it is not a head that engraft trained (no engraft.head)")?;
        let kind = word(kind).ok_or_else(|| format!("it is a head of a kind this version does not know: {kind:?}"))?;
        let link = match metadata(model, "engraft.link") {
            Some(link) => word(link).ok_or_else(|| format!("its engraft.link is unknown: {link:?}"))?,
            None => Link::default(),
        };
        let detector: Option<DetectorRecord> = parse(model, "engraft.ood")?;
        let head = graph::read(kind, model)?;
        let file = Self {
            kind,
            labels: parse(model, "engraft.labels")?.ok_or("it has no engraft.labels")?,
            link,
            provenance: parse(model, "engraft.provenance")?,
            certificate: parse(model, "engraft.certificate")?,
            calibration: parse(model, "engraft.calibration")?,
            detector: detector.map(|record| graph::detector::read(record, &head, model)).transpose()?,
            head,
            attached: attachments(model),
            engraft_version: metadata(model, "engraft.version").ok_or("it has no engraft.version")?.to_owned(),
        };
        file.check()?;
        graph::check(&file.head, file.link, file.calibrator(), file.detector.as_ref(), model)?;
        Ok(file)
    }

    fn check(&self) -> Result<(), String> {
        if !self.kind.fits(&self.head) {
            return Err(format!("the head is not of the kind {:?}", self.kind));
        }
        if self.link == Link::Sigmoid
            && (self.kind != HeadKind::Logistic || self.calibration.is_some() || self.detector.is_some())
        {
            let reason = "a head with the link sigmoid is logistic, and has neither a calibration nor an out-of-distribution score";
            return Err(reason.to_owned());
        }
        let distinct: HashSet<&String> = self.labels.iter().collect();
        if self.labels.len() != self.head.classes() || distinct.len() != self.labels.len() {
            return Err(format!(
                "a head of {} classes needs as many distinct labels, got {} of which {} are distinct",
                self.head.classes(),
                self.labels.len(),
                distinct.len()
            ));
        }
        if let Some(calibrator) = self.calibrator() {
            calibrator.check(self.head.classes())?;
        }
        if let Some(detector) = &self.detector {
            detector.check(&self.head)?;
        }
        match &self.provenance {
            Some(provenance) if provenance.dimension != self.head.dimension() => Err(format!(
                "the head takes embeddings of length {}, its provenance says {}",
                self.head.dimension(),
                provenance.dimension
            )),
            _ => Ok(()),
        }
    }
}

fn as_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Data(format!("metadata of the head: {e}")))
}

/// The value that a word of the metadata stands for.
fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::from(text)).ok()
}

fn attachments(model: &Model) -> BTreeMap<String, String> {
    let named = model.metadata_props.iter().filter_map(|entry| Some((entry.key().strip_prefix("engraft.")?, entry)));
    let others = named.filter(|(name, _)| !OWN.contains(name));
    others.map(|(name, entry)| (name.to_owned(), entry.value().to_owned())).collect()
}

fn parse<T: DeserializeOwned>(model: &Model, key: &str) -> Result<Option<T>, String> {
    let read = |text| serde_json::from_str(text).map_err(|e| format!("its {key} cannot be read: {e}"));
    metadata(model, key).map(read).transpose()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::detector::Strangeness;
    use super::super::linear::{Input, LinearHead};
    use super::*;
    use crate::backbone::{Output, Pooling, RunPrecision};
    use crate::onnx::build::tensor_f32;
    use crate::preprocess::{Preprocessing, TextSpec};

    fn example(input: Input) -> HeadFile {
        let head = LinearHead::new(array![[1.0, -0.5], [0.25, 3.0], [0.0, 2.0]], array![0.5, -1.0], input).unwrap();
        let labels = vec!["a \"quoted\" cat".into(), "犬".into()];
        HeadFile {
            provenance: Some(Provenance {
                backbone: "some".into(),
                backbone_sha256: "00".into(),
                tokenizer_sha256: None,
                preprocessing: Preprocessing::Text(TextSpec { max_length: 128 }),
                output: Output { tensor: "last_hidden_state".into(), pooling: Pooling::Mean, normalize: true },
                dimension: 3,
                provider: "cpu".into(),
                precision: "f32".into(),
                run_precision: RunPrecision::F32,
                engraft_version: "0.1.0".into(),
                onnxruntime_version: "1.32.0".into(),
            }),
            certificate: Some(Certificate {
                objective: 12.345678901234567,
                gradient_norm: 1e-9,
                gap: 2e-7,
                iterations: 17,
                converged: true,
                seconds: 0.25,
            }),
            ..HeadFile::new(HeadKind::Logistic, head.into(), labels)
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("head.onnx");
        for input in [Input::Raw, Input::UnitLength] {
            example(input).write(&path).unwrap();
            assert_eq!(HeadFile::read(&path).unwrap(), example(input));
        }
        let bare = HeadFile { provenance: None, certificate: None, ..example(Input::Raw) };
        bare.write(&path).unwrap();
        assert_eq!(HeadFile::read(&path).unwrap(), bare);
    }

    #[test]
    fn labels_must_fit_when_written() {
        for labels in [vec!["a"], vec!["a", "a"], vec!["a", "b", "c"]] {
            let file = HeadFile { labels: labels.into_iter().map(Into::into).collect(), ..example(Input::Raw) };
            assert!(file.to_model().unwrap_err().to_string().contains("distinct labels"));
        }
    }

    #[test]
    fn changed_files_are_refused() {
        let reason = |change: &dyn Fn(&mut Model)| {
            let mut model = example(Input::Raw).to_model().unwrap();
            change(&mut model);
            HeadFile::from_model(&model).unwrap_err()
        };
        let set = |key: &'static str, value: &'static str| reason(&move |model| set_metadata(model, key, value));
        assert!(reason(&|model| model.metadata_props.clear()).contains("not a head"));
        assert!(set("engraft.head", "forest").contains("forest"));
        assert!(set("engraft.link", "probit").contains("probit"));
        // Its graph is that of the softmax.
        assert!(set("engraft.link", "sigmoid").contains("graph"));
        assert!(set("engraft.labels", "[\"a\"]").contains("got 1"));
        assert!(set("engraft.labels", "{").contains("engraft.labels cannot be read"));
        assert!(set("engraft.provenance", "{}").contains("engraft.provenance cannot be read"));
        assert!(set("engraft.certificate", "null!").contains("engraft.certificate cannot be read"));

        let replace = |index: usize, dims: &'static [i64], values: &'static [f32]| {
            reason(&move |model| {
                let graph = model.graph.as_mut().unwrap();
                graph.initializer[index] = tensor_f32(["weight", "bias"][index], dims, values);
            })
        };
        assert!(replace(0, &[6], &[0.0; 6]).contains("1 dimensions"));
        assert!(replace(0, &[2, 3], &[0.0; 6]).contains("bias"));
        assert!(replace(0, &[0, 2], &[]).contains("d ≥ 1"));
        assert!(replace(0, &[2, 2], &[0.0; 4]).contains("provenance says 3"));
        assert!(replace(1, &[2], &[0.0, f32::NAN]).contains("not finite"));
        assert!(
            reason(&|model| model.graph.as_mut().unwrap().node[0].op_type = Some("MatMul".into())).contains("graph")
        );
        assert!(reason(&|model| model.graph.as_mut().unwrap().node.truncate(1)).contains("graph"));
    }

    #[test]
    fn detectors_travel_in_graph_and_metadata_and_are_refused_changed() {
        let vim = |input| Strangeness::Vim {
            input,
            origin: array![0.5, -1.0, 2.0],
            rest: array![[1.0], [0.0], [0.0]],
            alpha: 0.75,
        };
        let knn = |neighbours| Strangeness::Knn { neighbours, rows: array![[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]] };
        let with = |input, score| HeadFile { detector: Some(Detector { score, threshold: 0.25 }), ..example(input) };
        let cases = [
            with(Input::Raw, vim(Input::Raw)),
            with(Input::UnitLength, vim(Input::UnitLength)),
            with(Input::Raw, knn(2)),
            with(Input::UnitLength, knn(1)),
            with(Input::Raw, Strangeness::Energy),
        ];
        for file in cases {
            let model = file.to_model().unwrap();
            assert_eq!(HeadFile::from_model(&model).unwrap(), file);
            let mut other = model.clone();
            set_metadata(&mut other, "engraft.ood", r#"{"score":"knn","k":3,"rows":2,"threshold":0.25}"#);
            assert!(HeadFile::from_model(&other).is_err());
            let mut bare = model;
            bare.metadata_props.retain(|entry| entry.key() != "engraft.ood");
            assert!(HeadFile::from_model(&bare).unwrap_err().contains("graph"));
        }
        let mut model = with(Input::Raw, knn(2)).to_model().unwrap();
        assert!(metadata(&model, "engraft.ood").unwrap().contains(r#""score":"knn","k":2,"rows":2"#));
        for tensor in &mut model.graph.as_mut().unwrap().initializer {
            if tensor.name() == "ood_one" {
                *tensor = tensor_f32("ood_one", &[1], &[2.0]);
            }
        }
        assert!(HeadFile::from_model(&model).unwrap_err().contains("ood_one"));
        for wrong in [vim(Input::UnitLength), knn(3), knn(0)] {
            assert!(with(Input::Raw, wrong).to_model().is_err());
        }
    }

    #[test]
    fn other_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("head.onnx");
        example(Input::Raw).write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = HeadFile::read(&path).unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{length} bytes: {error}");
        }
    }
}
