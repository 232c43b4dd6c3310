//! The out-of-distribution score as one more output, `ood_score [n]`.

use super::super::detector::{Detector, DetectorRecord, ScoreRecord, Strangeness};
use super::super::fitted::Head;
use super::super::linear::Input;
use super::super::standardize::MIN_LENGTH;
use super::{add_matrix, fixed, matrix, single, unit_length, vector};
use crate::onnx::build::{Dim, attr_float, attr_int, attr_ints};
use crate::onnx::{DataType, GraphBuilder, Model, float_constant};

pub(super) fn write(detector: &Detector, graph: &mut GraphBuilder) {
    let of_rows = || vec![attr_ints("axes", &[1]), attr_int("keepdims", 0)];
    match &detector.score {
        Strangeness::Energy => {
            graph.node("ReduceLogSumExp", &["logits"], "ood_energy", of_rows());
            graph.node("Neg", &["ood_energy"], "ood_score", vec![]);
        }
        Strangeness::Mahalanobis { center, whiten, means } => {
            graph.tensor_f32("ood_center", &[center.len() as i64], &center.to_vec());
            add_matrix("ood_whiten", whiten.view(), graph);
            add_matrix("ood_means", means.view(), graph);
            graph.node("Sub", &["embedding", "ood_center"], "ood_centered", vec![]);
            graph.node("MatMul", &["ood_centered", "ood_whiten"], "ood_white", vec![]);
            // |a − b|² = |a|² + (|b|² − 2·a·b).
            graph.node("ReduceSumSquare", &["ood_means"], "ood_mean_squares", of_rows());
            let product = vec![attr_int("transB", 1), attr_float("alpha", -2.0)];
            graph.node("Gemm", &["ood_white", "ood_means", "ood_mean_squares"], "ood_beyond", product);
            graph.node("ReduceMin", &["ood_beyond"], "ood_nearest", of_rows());
            graph.node("ReduceSumSquare", &["ood_white"], "ood_squares", of_rows());
            graph.node("Add", &["ood_nearest", "ood_squares"], "ood_score", vec![]);
        }
        Strangeness::Vim { input, origin, rest, alpha } => {
            graph.tensor_f32("ood_origin", &[origin.len() as i64], &origin.to_vec());
            add_matrix("ood_rest", rest.view(), graph);
            graph.tensor_f32("ood_alpha", &[1], &[*alpha]);
            let features = match input {
                Input::Raw => "embedding",
                // The head's own.
                Input::UnitLength => "unit",
            };
            graph.node("Sub", &[features, "ood_origin"], "ood_centered", vec![]);
            graph.node("MatMul", &["ood_centered", "ood_rest"], "ood_outside", vec![]);
            graph.node("ReduceL2", &["ood_outside"], "ood_length", of_rows());
            graph.node("Mul", &["ood_length", "ood_alpha"], "ood_virtual_logit", vec![]);
            graph.node("ReduceLogSumExp", &["logits"], "ood_energy", of_rows());
            graph.node("Sub", &["ood_virtual_logit", "ood_energy"], "ood_score", vec![]);
        }
        Strangeness::Knn { neighbours, rows } => {
            add_matrix("ood_rows", rows.view(), graph);
            graph.tensor_i64("ood_k", &[1], &[*neighbours as i64]);
            let unit = unit_length("ood_", graph);
            graph.tensor_f32("ood_one", &[1], &[1.0]);
            graph.node("Gemm", &[&unit, "ood_rows"], "ood_cosines", vec![attr_int("transB", 1)]);
            graph.node_of_many("TopK", &["ood_cosines", "ood_k"], &["ood_best", "ood_row"], vec![attr_int("axis", 1)]);
            graph.node("ReduceMin", &["ood_best"], "ood_cosine", of_rows());
            graph.node("Sub", &["ood_one", "ood_cosine"], "ood_score", vec![]);
        }
    }
    graph.output("ood_score", DataType::Float, &[Dim::Named("n")]);
}

/// The detector of `head` of which `record` is the metadata.
pub(in super::super) fn read(record: DetectorRecord, head: &Head, model: &Model) -> Result<Detector, String> {
    let score = match (record.score, head) {
        (ScoreRecord::Energy, _) => Strangeness::Energy,
        (ScoreRecord::Mahalanobis, _) => Strangeness::Mahalanobis {
            center: vector(model, "ood_center")?,
            whiten: matrix(model, "ood_whiten")?,
            means: matrix(model, "ood_means")?,
        },
        (ScoreRecord::Vim { .. }, Head::Linear(head)) => {
            let [alpha] = float_constant(model, "ood_alpha")?.values[..] else {
                return Err("tensor ood_alpha is not one value".into());
            };
            Strangeness::Vim {
                input: head.input(),
                origin: vector(model, "ood_origin")?,
                rest: matrix(model, "ood_rest")?,
                alpha,
            }
        }
        (ScoreRecord::Knn { .. }, _) => {
            fixed(model, "ood_min_length", &[MIN_LENGTH])?;
            fixed(model, "ood_one", &[1.0])?;
            Strangeness::Knn { neighbours: single(model, "ood_k")?, rows: matrix(model, "ood_rows")? }
        }
        (ScoreRecord::Vim { .. }, _) => return Err("virtual-logit matching is for linear heads".into()),
    };
    let detector = Detector { score, threshold: record.threshold };
    match detector.record() == record {
        true => Ok(detector),
        false => Err("the out-of-distribution score is not what the metadata says".into()),
    }
}
