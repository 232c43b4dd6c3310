//! The training rows, their k best products with each embedding, and the vote: `Softmax(products/T)` times one-hot labels.

use super::super::knn::{FLOOR, KnnHead};
use super::super::linear::Input;
use super::{add_matrix, features, fixed, input, matrix, single};
use crate::onnx::build::attr_int;
use crate::onnx::{GraphBuilder, Model, float_constant, int_constant};

pub(super) fn write(head: &KnnHead, graph: &mut GraphBuilder) {
    let n = head.labels().len() as i64;
    add_matrix("rows", head.rows(), graph);
    graph.tensor_i64("row_labels", &[n], &head.labels().iter().map(|&label| label as i64).collect::<Vec<_>>());
    graph.tensor_i64("classes", &[1], &[head.classes() as i64]);
    graph.tensor_i64("k", &[1], &[head.neighbours() as i64]);
    graph.tensor_f32("temperature", &[1], &[head.temperature()]);
    graph.tensor_f32("off_on", &[2], &[0.0, 1.0]);
    graph.tensor_f32("floor", &[1], &[FLOOR]);
    graph.tensor_i64("one", &[1], &[1]);
    let features = features(Input::UnitLength, graph);
    graph.node("Gemm", &[&features, "rows"], "similarities", vec![attr_int("transB", 1)]);
    // Greatest first, the lower index among equals.
    graph.node_of_many("TopK", &["similarities", "k"], &["similarity", "neighbour"], vec![attr_int("axis", 1)]);
    graph.node("Div", &["similarity", "temperature"], "exponent", vec![]);
    graph.node("Softmax", &["exponent"], "weights", vec![attr_int("axis", 1)]);
    graph.node("Gather", &["row_labels", "neighbour"], "neighbour_label", vec![attr_int("axis", 0)]);
    graph.node("OneHot", &["neighbour_label", "classes", "off_on"], "neighbour_class", vec![attr_int("axis", -1)]);
    graph.node("Unsqueeze", &["weights", "one"], "weights_row", vec![]);
    graph.node("MatMul", &["weights_row", "neighbour_class"], "votes_row", vec![]);
    graph.node("Squeeze", &["votes_row", "one"], "votes", vec![]);
    graph.node("Add", &["votes", "floor"], "floored", vec![]);
    graph.node("Log", &["floored"], "logits", vec![]);
}

pub(super) fn read(model: &Model) -> Result<KnnHead, String> {
    let rows = matrix(model, "rows")?;
    let (n, d) = rows.dim();
    let labels = int_constant(model, "row_labels")?;
    if labels.dims != [n] {
        return Err(format!("tensor row_labels is {:?}, not [{n}] as rows [{n}, {d}] asks for", labels.dims));
    }
    let whole = |value: &i64| usize::try_from(*value).map_err(|_| format!("{value} is no class"));
    let labels = labels.values.iter().map(whole).collect::<Result<Vec<_>, _>>()?;
    let [temperature] = float_constant(model, "temperature")?.values[..] else {
        return Err("tensor temperature is not one value".into());
    };
    fixed(model, "off_on", &[0.0, 1.0])?;
    fixed(model, "floor", &[FLOOR])?;
    if input(model)? != Input::UnitLength || single(model, "one")? != 1 {
        return Err("its graph is not the one that engraft writes for this kind of head".into());
    }
    KnnHead::of_unit_rows(rows, labels, single(model, "classes")?, single(model, "k")?, temperature)
        .map_err(|e| e.to_string())
}
