//! What holds for every head.

use std::num::NonZeroUsize;

use ndarray::{Array2, ArrayView2, Axis, array, s};

use super::goldens::digits;
use super::*;
use crate::close::{Tolerance, assert_close};
use crate::error::{Error, Result};

const KINDS: [HeadKind; 5] = [HeadKind::Logistic, HeadKind::Ridge, HeadKind::Centroid, HeadKind::Knn, HeadKind::Mlp];

/// A fit that is quick, and long enough to be of use.
fn fit_on(kind: HeadKind, x: ArrayView2<f32>, labels: &[usize], threads: usize, seed: u64) -> Result<Head> {
    let threads = NonZeroUsize::new(threads).unwrap();
    Ok(match kind {
        HeadKind::Logistic => Logistic::new().alpha(10.0).threads(threads).fit_watched(x, labels, &())?.head.into(),
        HeadKind::Ridge => Ridge::new().fit_watched(x, labels, &())?.head.into(),
        HeadKind::Centroid => Centroid::new().fit(x, labels)?.into(),
        HeadKind::Knn => Knn::new().threads(threads).fit(x, labels)?.head,
        HeadKind::Mlp => {
            let (width, epochs) = (NonZeroUsize::new(32).unwrap(), NonZeroUsize::new(60).unwrap());
            Mlp::new().width(width).epochs(epochs).seed(seed).fit_watched(x, labels, &())?.head
        }
    })
}

fn fit(kind: HeadKind, x: ArrayView2<f32>, labels: &[usize]) -> Result<Head> {
    fit_on(kind, x, labels, 2, 0)
}

/// 300 training rows of optdigits, and 100 others.
fn data() -> (Array2<f32>, Vec<usize>, Array2<f32>, Vec<usize>) {
    let (x, labels) = digits();
    (
        x.slice(s![..300, ..]).to_owned(),
        labels[..300].to_vec(),
        x.slice(s![300..400, ..]).to_owned(),
        labels[300..400].to_vec(),
    )
}

#[test]
fn data_that_cannot_be_fitted_is_refused() {
    for kind in KINDS {
        let reason = |x: &Array2<f32>, labels: &[usize]| match fit(kind, x.view(), labels).unwrap_err() {
            error @ (Error::Data(_) | Error::Mismatch { .. }) => error.to_string(),
            error => panic!("{kind:?}: {error:?}"),
        };
        let x = array![[1.0_f32, 0.0], [0.0, 1.0], [1.0, 1.0]];
        for value in [f32::NAN, f32::INFINITY] {
            let mut broken = x.clone();
            broken[[2, 1]] = value;
            assert!(reason(&broken, &[0, 1, 1]).contains("feature 1 of row 2"), "{kind:?}");
        }
        assert!(reason(&x, &[0, 0, 0]).contains("same label"), "{kind:?}");
        assert!(reason(&x.slice(s![..1, ..]).to_owned(), &[0]).contains("same label"), "{kind:?}");
        assert!(reason(&Array2::zeros((0, 2)), &[]).contains("0 rows"), "{kind:?}");
        assert!(reason(&Array2::zeros((3, 0)), &[0, 1, 1]).contains("of 0 values"), "{kind:?}");
        assert!(reason(&x, &[0, 1]).contains("do not match"), "{kind:?}");
        assert!(reason(&x, &[0, 2, 2]).contains("class 1 has no row"), "{kind:?}");
    }
}

#[test]
fn the_smallest_data_that_can_be_fitted_is() {
    let x = array![[1.0_f32, 0.0], [0.0, 1.0]];
    for kind in KINDS {
        let head = fit(kind, x.view(), &[0, 1]).unwrap();
        assert_eq!((head.dimension(), head.classes()), (2, 2), "{kind:?}");
        // The only other row is of the other class: leave-one-out has nothing to choose by, and one neighbour votes.
        assert_eq!(head.classify(x.view()).unwrap().to_vec(), [0, 1], "{kind:?}");
    }
}

#[test]
fn every_head_learns_digits() {
    let (x, labels, other, truth) = data();
    for kind in KINDS {
        let predicted = fit(kind, x.view(), &labels).unwrap().classify(other.view()).unwrap();
        let right = predicted.iter().zip(&truth).filter(|(p, t)| p == t).count();
        assert!(right >= 80, "{kind:?}: {right} of 100");
    }
}

#[test]
fn a_fit_is_the_same_again_and_on_any_number_of_threads() {
    let (x, labels, ..) = data();
    for kind in KINDS {
        let once = fit_on(kind, x.view(), &labels, 1, 7).unwrap();
        assert_eq!(once, fit_on(kind, x.view(), &labels, 1, 7).unwrap(), "{kind:?}");
        assert_eq!(once, fit_on(kind, x.view(), &labels, 3, 7).unwrap(), "{kind:?}");
        let reseeded = fit_on(kind, x.view(), &labels, 1, 8).unwrap();
        assert_eq!(once == reseeded, kind != HeadKind::Mlp, "{kind:?}");
    }
}

#[test]
fn predictions_are_probabilities_of_any_batch() {
    let (x, labels, other, _) = data();
    for kind in KINDS {
        let head = fit(kind, x.view(), &labels).unwrap();
        let (logits, probabilities) = (head.logits(other.view()).unwrap(), head.probabilities(other.view()).unwrap());
        assert_eq!(logits.dim(), (100, 10));
        assert_close(probabilities.sum_axis(Axis(1)).to_vec(), [1.0; 100], Tolerance::Approximate);
        for row in [0, 63, 99] {
            let alone = head.logits(other.slice(s![row..row + 1, ..])).unwrap();
            assert_close(alone.row(0).to_vec(), logits.row(row).to_vec(), Tolerance::Approximate);
        }
        assert_eq!(head.logits(Array2::zeros((0, 64)).view()).unwrap().dim(), (0, 10), "{kind:?}");
        assert!(matches!(head.logits(Array2::zeros((1, 63)).view()), Err(Error::Mismatch { .. })), "{kind:?}");
    }
}

/// How near fits of the same data in another form are. An MLP's first weights and batches depend on the order.
fn same_in_another_order(kind: HeadKind) -> Option<Tolerance> {
    match kind {
        HeadKind::Logistic | HeadKind::Ridge => Some(Tolerance::Within(1e-3)),
        HeadKind::Centroid | HeadKind::Knn => Some(Tolerance::Approximate),
        HeadKind::Mlp => None,
    }
}

#[test]
fn the_order_of_rows_does_not_matter() {
    let (x, labels, other, _) = data();
    let mut order: Vec<usize> = (0..300).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let shuffled: Vec<usize> = order.iter().map(|&row| labels[row]).collect();
    for kind in KINDS {
        let one = fit(kind, x.view(), &labels).unwrap().probabilities(other.view()).unwrap();
        let two = fit(kind, x.select(Axis(0), &order).view(), &shuffled).unwrap().probabilities(other.view()).unwrap();
        agree(kind, &one, &two);
    }
}

#[test]
fn renaming_the_classes_renames_the_columns() {
    let (x, labels, other, _) = data();
    let names = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7];
    let renamed: Vec<usize> = labels.iter().map(|&label| names[label]).collect();
    for kind in KINDS {
        let one = fit(kind, x.view(), &labels).unwrap().probabilities(other.view()).unwrap();
        let two = fit(kind, x.view(), &renamed).unwrap().probabilities(other.view()).unwrap();
        agree(kind, &one, &two.select(Axis(1), &names));
    }
}

#[track_caller]
fn agree(kind: HeadKind, one: &Array2<f32>, two: &Array2<f32>) {
    match same_in_another_order(kind) {
        Some(tolerance) => assert_close(one.iter().copied(), two.iter().copied(), tolerance),
        None => {
            let best = |p: &Array2<f32>| p.map_axis(Axis(1), crate::logits::first_maximum);
            let same = best(one).iter().zip(&best(two)).filter(|(a, b)| a == b).count();
            assert!(same >= 85, "{kind:?}: only {same} of 100 predictions are the same");
        }
    }
}

/// A head of this kind, fitted, as a file.
fn file(kind: HeadKind, x: ArrayView2<f32>, labels: &[usize]) -> HeadFile {
    let head = fit(kind, x, labels).unwrap();
    let names = (0..head.classes()).map(|k| k.to_string()).collect();
    HeadFile::new(kind, head, names)
}

#[test]
fn what_is_saved_is_loaded_and_cannot_be_changed() {
    let (x, labels, ..) = data();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.onnx");
    for kind in KINDS {
        let file = file(kind, x.view(), &labels);
        file.write(&path).unwrap();
        assert_eq!(HeadFile::read(&path).unwrap(), file, "{kind:?}");
        changes_are_refused(&file, &path);
        for other in KINDS {
            let result = HeadFile { kind: other, ..file.clone() }.to_model();
            let linear = [HeadKind::Logistic, HeadKind::Ridge, HeadKind::Centroid];
            let alike = kind == other || linear.contains(&kind) && linear.contains(&other);
            assert_eq!(result.is_ok(), alike, "{kind:?} as {other:?}");
        }
    }
}

#[test]
fn a_calibration_is_saved_loaded_and_cannot_be_changed() {
    let (x, labels, ..) = data();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.onnx");
    let figures = CalibrationFigures { log_loss: 0.1, ece: 0.25 };
    for classes in [2, 10] {
        let labels: Vec<usize> = labels.iter().map(|label| label % classes).collect();
        let curves = if classes == 2 { 1 } else { classes };
        let corners = vec![[-1.5, 0.1], [0.3, 0.1], [0.7, 0.8]];
        for calibrator in [
            Calibrator::Temperature { inverse: 0.3 },
            Calibrator::Platt(vec![[0.7, -0.1]; curves]),
            Calibrator::Isotonic(vec![corners; curves]),
        ] {
            let mut file = file(HeadKind::Centroid, x.view(), &labels);
            file.calibration = Some(CalibrationRecord { calibrator, rows: 300, before: figures, after: figures });
            file.attach("more", &[1, 2]).unwrap();
            assert!(file.attach("labels", &[1, 2]).is_err());
            file.write(&path).unwrap();
            let read = HeadFile::read(&path).unwrap();
            assert_eq!(read, file);
            assert_eq!(read.attached::<[u8; 2]>("more").unwrap(), Some([1, 2]));
            assert!(read.attached::<String>("more").is_err());
            assert_eq!(read.attached::<String>("other").unwrap(), None);
            changes_are_refused(&file, &path);
            let wrong = [
                Calibrator::Temperature { inverse: 0.0 },
                Calibrator::Platt(vec![[1.0, 0.0]; curves + 1]),
                Calibrator::Platt(vec![[f32::NAN, 0.0]; curves]),
                Calibrator::Isotonic(vec![vec![]; curves]),
                Calibrator::Isotonic(vec![vec![[0.0, 0.5], [1.0, 0.4]]; curves]),
            ];
            for calibrator in wrong {
                file.calibration.as_mut().unwrap().calibrator = calibrator;
                assert!(matches!(file.to_model(), Err(Error::Data(_))));
            }
        }
    }
}

#[test]
fn a_detector_is_saved_loaded_and_cannot_be_changed() {
    let (x, labels, ..) = data();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.onnx");
    let mahalanobis = |d| Strangeness::Mahalanobis {
        center: x.mean_axis(Axis(0)).unwrap(),
        whiten: Array2::eye(d),
        means: Array2::ones((10, d)),
    };
    let mut file = file(HeadKind::Centroid, x.view(), &labels);
    for score in [Strangeness::Energy, mahalanobis(64)] {
        file.detector = Some(Detector { score, threshold: 0.1 });
        file.write(&path).unwrap();
        assert_eq!(HeadFile::read(&path).unwrap(), file);
        changes_are_refused(&file, &path);
    }
    file.detector = Some(Detector { score: mahalanobis(63), threshold: 0.1 });
    assert!(file.to_model().unwrap_err().to_string().contains("64"));
    file.detector = Some(Detector { score: Strangeness::Energy, threshold: f64::NAN });
    assert!(file.to_model().unwrap_err().to_string().contains("NaN"));
}

#[test]
fn a_head_of_sigmoids_is_saved_loaded_and_cannot_be_changed() {
    let (x, digits, other, _) = data();
    let labels = multi_label::properties(&digits);
    let head = Logistic::new().alpha(10.0).fit_multi_label(x.view(), labels.view(), &()).unwrap().head;
    let names = ["even", "large", "prime"].map(String::from).to_vec();
    let file = HeadFile { link: Link::Sigmoid, ..HeadFile::new(HeadKind::Logistic, head.into(), names) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("head.onnx");
    file.write(&path).unwrap();
    assert_eq!(HeadFile::read(&path).unwrap(), file);
    assert_eq!(file.probabilities(other.view()).unwrap(), sigmoid(file.head.logits(other.view()).unwrap()));
    changes_are_refused(&file, &path);
    let figures = CalibrationFigures { log_loss: 0.1, ece: 0.25 };
    let calibrator = Calibrator::Temperature { inverse: 0.5 };
    let calibration = Some(CalibrationRecord { calibrator, rows: 300, before: figures, after: figures });
    let detector = Some(Detector { score: Strangeness::Energy, threshold: 0.1 });
    for file in [
        HeadFile { kind: HeadKind::Ridge, ..file.clone() },
        HeadFile { calibration, ..file.clone() },
        HeadFile { detector, ..file.clone() },
    ] {
        assert!(file.to_model().unwrap_err().to_string().contains("sigmoid"));
    }
}

/// Every constant shortened, every constant without which the head would be another one, every node: each change is told.
fn changes_are_refused(file: &HeadFile, path: &std::path::Path) {
    let model = file.to_model().unwrap();
    let refused = |model: &crate::onnx::Model, what: String| {
        crate::onnx::write_model(model, path).unwrap();
        let error = HeadFile::read(path);
        assert!(matches!(error, Err(Error::Malformed { .. })), "{:?}: {what}", file.kind);
    };
    let graph = model.graph.as_ref().unwrap();
    for index in 0..graph.initializer.len() {
        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut model = model.clone();
            let tensor = &mut model.graph.as_mut().unwrap().initializer[index];
            let mut bytes = tensor.raw_data.as_deref().unwrap().to_vec();
            change(&mut bytes);
            tensor.raw_data = Some(bytes.into());
            model
        };
        let name = graph.initializer[index].name().to_owned();
        refused(&changed(&|bytes| bytes.truncate(bytes.len() - 1)), format!("{name} shortened"));
        // All bits set: no number, or no class and no count.
        refused(&changed(&|bytes| bytes.iter_mut().for_each(|b| *b = 0xFF)), format!("{name} overwritten"));
        let mut model = model.clone();
        model.graph.as_mut().unwrap().initializer.remove(index);
        refused(&model, format!("{name} removed"));
    }
    for index in 0..graph.node.len() {
        let mut model = model.clone();
        model.graph.as_mut().unwrap().node[index].op_type = Some("Identity".into());
        refused(&model, format!("node {index} replaced"));
    }
}
