//! Matrix products whose activations are given codes at each run.

use super::super::build::{attr_int, node, tensor, tensor_f32};
use super::super::proto::NodeProto;
use super::super::proto::tensor_proto::DataType;
use super::super::tensor::FloatTensor;
use super::affine::Channels;
use super::rewrite::{Rewriter, bytes, dims};

impl<'a> Rewriter<'a> {
    /// `DynamicQuantizeLinear`, `MatMulInteger` and the scales of both, in the form that ONNX Runtime fuses to one operator; a bias is added
    /// as floats.
    pub(super) fn dynamic_product(&mut self, old: &'a NodeProto, output: &str, axis: usize) -> Result<(), String> {
        let [input, weights, rest @ ..] = &old.input[..] else { return Err(format!("{output} has no weights")) };
        let weights = columns_last(self.floats(weights)?, axis);
        let Channels { codes, scales } = Channels::of(&weights, 1, self.weights, |_| 0.0);
        let [activations, step, zero] = ["u8", "scale", "zero"].map(|part| format!("{input}/{part}"));
        if self.rounded.insert(input) {
            self.nodes.push(node("DynamicQuantizeLinear", &[input], &[&activations, &step, &zero], vec![]));
        }
        let [weight, steps, sums, floats, scale, product] =
            ["weight/i8", "weight/scale", "sums", "floats", "scale", "product"].map(|part| format!("{output}/{part}"));
        self.added.push(tensor(&weight, &dims(&weights.dims), DataType::Int8, bytes(&codes)));
        self.added.push(tensor_f32(&steps, &[scales.len() as i64], &scales));
        self.nodes.push(node("MatMulInteger", &[&activations, &weight, &zero], &[&sums], vec![]));
        self.nodes.push(node("Cast", &[&sums], &[&floats], vec![attr_int("to", DataType::Float as i64)]));
        self.nodes.push(node("Mul", &[&step, &steps], &[&scale], vec![]));
        match rest.first().filter(|bias| !bias.is_empty()) {
            None => self.nodes.push(node("Mul", &[&floats, &scale], &[output], vec![])),
            Some(bias) => {
                self.nodes.push(node("Mul", &[&floats, &scale], &[&product], vec![]));
                self.nodes.push(node("Add", &[&product, bias], &[output], vec![]));
            }
        }
        Ok(())
    }
}

/// The matrix with its outputs, now the indices of `axis`, as columns.
fn columns_last(matrix: FloatTensor, axis: usize) -> FloatTensor {
    let FloatTensor { dims, values } = &matrix;
    match dims[..] {
        [outputs, inputs] if axis == 0 => {
            let of_input = |input| (0..outputs).map(move |output| values[output * inputs + input]);
            FloatTensor { dims: vec![inputs, outputs], values: (0..inputs).flat_map(of_input).collect() }
        }
        _ => matrix,
    }
}
