//! Whole trainings of one layer.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::activations::{ActivationWriter, Kept};
use super::super::roles::Role;
use super::super::tail::{FACTOR, Tail};
use super::*;
use crate::close::{Tolerance, assert_close};
use crate::onnx::build::Dim;
use crate::onnx::{DataType, GraphBuilder, view};

/// Three clusters in four dimensions, 90 samples; a third of them is held out.
struct Data {
    _folder: tempfile::TempDir,
    activations: Activations,
    labels: Vec<usize>,
    train: Vec<Vec<usize>>,
    held_out: Vec<usize>,
}

impl Data {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        let labels: Vec<usize> = (0..90).map(|i| i % 3).collect();
        let value = |label: usize, j: usize, noise: f32| noise + if label == j { 1.0 } else { 0.0 };
        let rows = labels.iter().flat_map(|&label| (0..4).map(move |j| (label, j)));
        let values = rows.map(|(label, j)| value(label, j, 1.2 * (random.f32() - 0.5))).collect();
        let mut writer = ActivationWriter::create(&folder.path().join("a"), "f", Kept::F32, 1 << 20).unwrap();
        writer.append(&[Array::new(vec![90, 4], values).unwrap().into()]).unwrap();
        let (train, held_out): (Vec<usize>, Vec<usize>) = (0..90).partition(|i| i % 9 < 6);
        let train = train.into_iter().map(|i| vec![i]).collect();
        Self { activations: writer.finish().unwrap(), _folder: folder, labels, train, held_out }
    }

    fn examples(&self) -> Examples<'_> {
        let Self { activations, labels, train, held_out, .. } = self;
        Examples { activations, labels, classes: 3, train, held_out }
    }
}

/// Relu, then one layer to logits.
fn tail() -> Tail {
    let mut graph = GraphBuilder::new("g");
    graph.input("x", DataType::Float, &[Dim::Named("n"), Dim::Fixed(4)]);
    graph.tensor_f32("w", &[4, 3], &[0.0; 12]);
    graph.tensor_f32("b", &[3], &[0.0; 3]);
    graph.node("Relu", &["x"], "h", vec![]);
    graph.node("Gemm", &["h", "w", "b"], "y", vec![]);
    Tail::find(view(&graph.finish()), "x", "y", "m").unwrap()
}

fn fit(training: &Training, tail: &Tail, data: &Data, checkpoint: Option<&Path>, progress: &dyn Progress) -> Tuned {
    let program = tail.program(&["w", "b"]).unwrap();
    let paces = tail.weights().iter().map(|weight| Pace::of(weight.role, 0.01, 0.0)).collect();
    training.fit(program, paces, data.examples(), checkpoint.map(|path| (path, "f")), progress).unwrap()
}

fn training() -> Training {
    Training { epochs: 12, batch: 8, rate: 0.05, patience: 12, ..Training::default() }
}

#[test]
fn it_learns_and_says_from_where() {
    let data = Data::new();
    let tuned = fit(&training(), &tail(), &data, None, &());
    let [first, .., last] = &tuned.history[..] else { panic!("{:?}", tuned.history) };
    assert!((first.held_out_loss - 3.0_f64.ln()).abs() < 1e-6 && first.training_loss.is_none());
    assert!(last.held_out_loss < 0.6 && last.held_out_accuracy > 0.85, "{last:?}");
    assert_eq!((tuned.history.len(), tuned.end), (13, End::Epochs));
    let least = tuned.history.iter().map(|epoch| epoch.held_out_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(tuned.history[tuned.best].held_out_loss, least);
    // The weights are those of the best epoch.
    let judged = training().judged(&tuned.program, &data.examples(), None).unwrap();
    assert_eq!(judged.held_out_loss, least);
}

#[test]
fn where_nothing_is_better_the_start_is_kept() {
    let mut data = Data::new();
    // What is held out contradicts what is learnt.
    data.held_out.iter().for_each(|&i| data.labels[i] = (i + 1) % 3);
    let tuned = fit(&Training { patience: 2, ..training() }, &tail(), &data, None, &());
    assert_eq!((tuned.best, tuned.end, tuned.history.len()), (0, End::Patience, 3));
    assert_eq!(tuned.program.leaves()[0].values().unwrap().values(), [0.0; 12]);
}

#[test]
fn the_loss_is_told_at_its_best_temperature_which_the_head_is_divided_by() {
    let data = Data::new();
    // As good as it gets, and far too sure.
    let mut sure = fit(&training(), &tail(), &data, None, &());
    for leaf in sure.program.leaves_mut() {
        leaf.values_mut().into_iter().for_each(|values| values.values_mut().iter_mut().for_each(|v| *v *= 50.0));
    }
    let judged = training().judged(&sure.program, &data.examples(), None).unwrap();
    assert!(judged.temperature > 5.0, "{judged:?}");
    (sure.history, sure.best) = (vec![judged], 0);
    sure.cool(&["w", "b"]);
    let cooled = training().judged(&sure.program, &data.examples(), None).unwrap();
    assert_close([cooled.held_out_loss, cooled.temperature], [judged.held_out_loss, 1.0], Tolerance::Approximate);
    assert_eq!(cooled.held_out_accuracy, judged.held_out_accuracy);
    // What is not sure enough stays as it is.
    let unsure = training().judged(&tail().program(&["w", "b"]).unwrap(), &data.examples(), None).unwrap();
    assert_close([unsure.held_out_loss, unsure.temperature], [3.0_f64.ln(), 1.0], Tolerance::Approximate);
}

/// Asks to stop when it was asked so often.
struct Impatient(AtomicUsize);

impl Progress for Impatient {
    fn interrupted(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

#[test]
fn a_training_that_was_broken_off_goes_on_and_comes_to_the_same() {
    let data = Data::new();
    let tail = tail().with_factor("h").unwrap();
    assert_eq!(tail.boundary(), ["x", FACTOR]);
    let training = Training { dropout: Some(Dropout { share: 0.3, width: 4 }), label_smoothing: 0.1, ..training() };
    let whole = fit(&training, &tail, &data, None, &());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    // Eight steps an epoch: in the middle of the sixth.
    let broken = fit(&training, &tail, &data, Some(&path), &Impatient(AtomicUsize::new(44)));
    assert_eq!((broken.end, broken.history.len()), (End::Interrupted, 6));
    let resumed = fit(&training, &tail, &data, Some(&path), &());
    assert_eq!(resumed.history, whole.history);
    for (a, b) in resumed.program.leaves().iter().zip(whole.program.leaves()) {
        assert_eq!(a.values(), b.values());
    }
}

#[test]
fn mixed_rows_and_several_views_are_learned_from() {
    let mut data = Data::new();
    let tail = tail().with_mixing("h").unwrap();
    let mixup = Training { mixup: Some(Mixup { alpha: 0.4 }), ..training() };
    let tuned = fit(&mixup, &tail, &data, None, &());
    let (first, best) = (tuned.history[0], tuned.history[tuned.best]);
    assert!(best.held_out_accuracy > 0.85 && best.held_out_loss < first.held_out_loss, "{best:?}");
    // Targets between classes are never met: the loss in training stays above that of whole rows.
    let plain = fit(&training(), &self::tail(), &data, None, &());
    let last = |tuned: &Tuned| tuned.history.last().unwrap().training_loss.unwrap();
    assert!(last(&tuned) > last(&plain) + 0.05, "{} and {}", last(&tuned), last(&plain));

    // Pairs of rows of one class are two views of one: with other draws every epoch both are seen.
    data.train = data.train.chunks(6).flat_map(|six| (0..3).map(|i| vec![six[i][0], six[i + 3][0]])).collect();
    let tuned = fit(&training(), &self::tail(), &data, None, &());
    assert!(tuned.history[tuned.best].held_out_accuracy > 0.85);
}

#[test]
fn settings_and_samples_that_make_no_sense_are_named() {
    let reason = |training: Training| training.check().unwrap_err().to_string();
    assert!(reason(Training { rate: 0.0, ..training() }).contains("learning rate"));
    assert!(reason(Training { label_smoothing: 1.0, ..training() }).contains("label smoothing"));
    assert!(reason(Training { dropout: Some(Dropout { share: -0.1, width: 4 }), ..training() }).contains("dropout"));
    assert!(reason(Training { mixup: Some(Mixup { alpha: 0.0 }), ..training() }).contains("mixup"));
    assert!(reason(Training { epochs: 0, ..training() }).contains("epochs"));
    let data = Data::new();
    let fit = |examples: Examples| {
        let program = tail().program(&["w", "b"]).unwrap();
        let paces = vec![Pace::of(Role::Bias, 0.0, 0.0); 2];
        training().fit(program, paces, examples, None, &()).unwrap_err().to_string()
    };
    assert!(fit(Examples { held_out: &[], ..data.examples() }).contains("0 held out"));
    assert!(fit(Examples { held_out: &[90], ..data.examples() }).contains("sample 90"));
    assert!(fit(Examples { train: &[vec![0], vec![]], ..data.examples() }).contains("no views"));
    assert!(fit(Examples { classes: 2, ..data.examples() }).contains("sample 2"));
}
