//! The out-of-distribution score as one more output, `ood_score [n]`.

use ndarray::Array2;

use super::super::detector::{Detector, DetectorRecord, ScoreName, Strangeness};
use super::matrix;
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
            for (name, values) in [("ood_whiten", whiten), ("ood_means", means)] {
                let dims = [values.nrows() as i64, values.ncols() as i64];
                graph.tensor_f32(name, &dims, &values.iter().copied().collect::<Vec<_>>());
            }
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
    }
    graph.output("ood_score", DataType::Float, &[Dim::Named("n")]);
}

/// The detector of which `record` is the metadata.
pub(in super::super) fn read(record: DetectorRecord, model: &Model) -> Result<Detector, String> {
    let score = match record.score {
        ScoreName::Energy => Strangeness::Energy,
        ScoreName::Mahalanobis => {
            let square = |name| {
                let (tensor, dims) = matrix(model, name)?;
                Array2::from_shape_vec(dims, tensor.values).map_err(|e| e.to_string())
            };
            let center = float_constant(model, "ood_center")?;
            if center.dims.len() != 1 {
                return Err(format!("tensor ood_center has {} dimensions, not 1", center.dims.len()));
            }
            Strangeness::Mahalanobis {
                center: center.values.into(),
                whiten: square("ood_whiten")?,
                means: square("ood_means")?,
            }
        }
    };
    Ok(Detector { score, threshold: record.threshold })
}
