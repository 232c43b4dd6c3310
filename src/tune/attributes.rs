//! A node's attributes, read once and checked.

use crate::onnx::{AttributeView, Constant, NodeView};

/// Reads attributes of one node.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a NodeView);

impl<'a> Attributes<'a> {
    fn wrong<R>(name: &str, wanted: &str) -> Result<R, String> {
        Err(format!("attribute {name} is not {wanted}"))
    }

    pub(super) fn int(self, name: &str, default: i64) -> Result<i64, String> {
        Ok(self.int_if_any(name)?.unwrap_or(default))
    }

    pub(super) fn int_if_any(self, name: &str) -> Result<Option<i64>, String> {
        match self.0.attributes.get(name) {
            None => Ok(None),
            Some(AttributeView::Int(value)) => Ok(Some(*value)),
            Some(_) => Self::wrong(name, "an integer"),
        }
    }

    pub(super) fn float(self, name: &str, default: f32) -> Result<f64, String> {
        match self.0.attributes.get(name) {
            None => Ok(f64::from(default)),
            Some(AttributeView::Float(value)) => Ok(f64::from(*value)),
            Some(_) => Self::wrong(name, "a float"),
        }
    }

    pub(super) fn ints(self, name: &str) -> Result<Option<&'a [i64]>, String> {
        match self.0.attributes.get(name) {
            None => Ok(None),
            Some(AttributeView::Ints(values)) => Ok(Some(values)),
            Some(_) => Self::wrong(name, "a list of integers"),
        }
    }

    pub(super) fn text(self, name: &str, default: &'a str) -> Result<&'a str, String> {
        match self.0.attributes.get(name) {
            None => Ok(default),
            Some(AttributeView::Text(value)) => Ok(value),
            Some(_) => Self::wrong(name, "a text"),
        }
    }

    pub(super) fn tensor(self, name: &str) -> Result<Option<&'a Constant>, String> {
        match self.0.attributes.get(name) {
            None => Ok(None),
            Some(AttributeView::Tensor(value)) => Ok(Some(value)),
            Some(_) => Self::wrong(name, "a tensor"),
        }
    }
}
