//! The operators, a file for each family.

mod activation;
mod arithmetic;
mod compare;
mod conv;
mod curve;
mod gather;
mod gemm;
mod join;
mod matmul;
mod norm;
mod plumbing;
mod pool;
mod reduce;
mod select;
mod shape;
mod softmax;
mod window;

use super::attributes::Attributes;
use super::operator::Operator;
use super::scalar::Scalar;
use crate::onnx::NodeView;

/// An operator, if a family knows it.
type Found<T> = Result<Option<Box<dyn Operator<T>>>, String>;

/// The version of an operator set that a node is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Opset(pub(super) i64);

/// The computation of a node.
///
/// # Errors
/// The reason why it cannot be computed here: it is not known, or not in this form.
pub(super) fn operator<T: Scalar>(node: &NodeView, opset: Opset) -> Result<Box<dyn Operator<T>>, String> {
    let families = [
        arithmetic::build::<T>,
        curve::build,
        activation::build,
        matmul::build,
        gemm::build,
        conv::build,
        norm::build,
        softmax::build,
        reduce::build,
        pool::build,
        shape::build,
        select::build,
        gather::build,
        join::build,
        compare::build,
        plumbing::build,
    ];
    for family in families {
        if let Some(operator) = family(Attributes(node), opset)? {
            return Ok(operator);
        }
    }
    Err(unknown(node))
}

fn unknown(node: &NodeView) -> String {
    let op = if node.domain.is_empty() { node.op.clone() } else { format!("{}.{}", node.domain, node.op) };
    let quantised = ["QLinear", "Quantize", "Dequantize", "DynamicQuantize"].iter().any(|p| node.op.starts_with(p));
    if quantised || node.op.ends_with("Integer") {
        return format!(
            "{op} computes with quantised integers, which have no gradients: tune the float model, then quantise"
        );
    }
    format!("the operator {op} has no gradient here: cut behind it")
}

/// The name of a standard operator, or of one of ONNX Runtime's own.
fn name<'a>(attributes: Attributes<'a>) -> (&'a str, &'a str) {
    (&attributes.0.domain, &attributes.0.op)
}

fn boxed<T: Scalar>(operator: impl Operator<T> + 'static) -> Found<T> {
    Ok(Some(Box::new(operator)))
}
