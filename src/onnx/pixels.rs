//! Normalisation in the graph: the model takes bytes, a quarter of what floats are, and makes the floats itself.

use super::build::{self, Dim};
use super::proto::tensor_proto::DataType;
use super::proto::{GraphProto, ModelProto};
use super::signature::{Dimension, signature};
use super::splice::splice;
use crate::error::{Error, Result};

/// How the bytes of an image follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelLayout {
    /// Height, width, channels: as decoders write them.
    Hwc,
    /// Channels, height, width: as networks take them.
    Chw,
}

/// What becomes of a byte `x` of a channel: `(scale·x − mean) / std`, in 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PixelScale {
    /// Applied first.
    pub scale: f32,
    /// Of each channel.
    pub mean: [f32; 3],
    /// Of each channel.
    pub std: [f32; 3],
}

/// Puts the normalisation before an image model (called `name` in errors) whose one input is f32, batch × 3 × height ×
/// width. The new input is called as the old one with `/bytes` behind it and holds bytes in this layout. Nothing inside
/// the graph is renamed.
///
/// # Errors
/// When the model has not one such input.
pub fn take_bytes(model: ModelProto, layout: PixelLayout, pixels: PixelScale, name: &str) -> Result<ModelProto> {
    let inputs = signature(&model).inputs;
    let [input] = &inputs[..] else {
        return Err(Error::model(name, format!("it has {} inputs, and one image input is needed", inputs.len())));
    };
    let shape = input.shape.as_deref().unwrap_or_default();
    let (DataType::Float, [batch, channels, height, width]) = (input.element, shape) else {
        let reason = format!("its input {:?} is not f32 of batch × 3 × height × width", input.name);
        return Err(Error::model(name, reason));
    };
    if *channels != Dimension::Fixed(3) {
        return Err(Error::model(name, format!("its input {:?} has not 3 channels in axis 1", input.name)));
    }
    let dims = match layout {
        PixelLayout::Hwc => [batch, height, width, channels],
        PixelLayout::Chw => [batch, channels, height, width],
    };
    let (image, bytes) = (input.name.as_str(), format!("{}/bytes", input.name));
    let sizes: Vec<Dim> = dims.into_iter().map(Dim::from).collect();
    let mut graph = GraphProto { input: vec![build::value(&bytes, DataType::Uint8, &sizes)], ..Default::default() };
    let pixels = steps(&bytes, image, layout, pixels, &mut graph);
    let planes: Vec<Dim> = shape.iter().map(Dim::from).collect();
    graph.output.push(build::value(&pixels, DataType::Float, &planes));
    // These operators are the same in every version.
    let before = ModelProto { opset_import: model.opset_import.clone(), ..build::model(graph) };
    splice(before, model, &[(&pixels, image)], name)
}

/// The same operations in the same order as on the host, so that they round alike. Returns what the last one gives.
fn steps(bytes: &str, image: &str, layout: PixelLayout, pixels: PixelScale, graph: &mut GraphProto) -> String {
    let inner = |what: &str| format!("{image}/{what}");
    let [scale, mean, std] = ["scale", "mean", "std"].map(inner);
    graph.initializer.push(build::tensor_f32(&scale, &[], &[pixels.scale]));
    graph.initializer.push(build::tensor_f32(&mean, &[3, 1, 1], &pixels.mean));
    graph.initializer.push(build::tensor_f32(&std, &[3, 1, 1], &pixels.std));
    let [floats, planes, scaled, centred, normalized] =
        ["floats", "planes", "scaled", "centred", "normalized"].map(inner);
    let cast = vec![build::attr_int("to", DataType::Float as i64)];
    graph.node.push(build::node("Cast", &[bytes], &[&floats], cast));
    let planar = match layout {
        PixelLayout::Chw => &floats,
        PixelLayout::Hwc => {
            let order = vec![build::attr_ints("perm", &[0, 3, 1, 2])];
            graph.node.push(build::node("Transpose", &[&floats], &[&planes], order));
            &planes
        }
    };
    graph.node.push(build::node("Mul", &[planar, &scale], &[&scaled], Vec::new()));
    graph.node.push(build::node("Sub", &[&scaled, &mean], &[&centred], Vec::new()));
    graph.node.push(build::node("Div", &[&centred, &std], &[&normalized], Vec::new()));
    normalized
}

#[cfg(test)]
mod tests {
    use super::super::signature::Port;
    use super::*;

    const PIXELS: PixelScale = PixelScale { scale: 0.5, mean: [0.0; 3], std: [1.0; 3] };

    fn model(element: DataType, dims: &[Dim]) -> ModelProto {
        build::model(GraphProto {
            input: vec![build::value("image", element, dims)],
            node: vec![build::node("Relu", &["image"], &["y"], vec![])],
            output: vec![build::value("y", element, &[])],
            ..Default::default()
        })
    }

    #[test]
    fn the_input_becomes_bytes_and_the_rest_stays() {
        let dims = [Dim::Named("n"), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(5)];
        let model = take_bytes(model(DataType::Float, &dims), PixelLayout::Hwc, PIXELS, "m").unwrap();
        let fixed = Dimension::Fixed;
        let shape = vec![Dimension::Named("n".to_owned()), fixed(4), fixed(5), fixed(3)];
        let bytes = Port { name: "image/bytes".to_owned(), element: DataType::Uint8, shape: Some(shape) };
        assert_eq!(signature(&model).inputs, [bytes]);
        let graph = model.graph.unwrap();
        let operations: Vec<&str> = graph.node.iter().map(|n| n.op_type()).collect();
        assert_eq!(operations, ["Cast", "Transpose", "Mul", "Sub", "Div", "Relu"]);
        assert_eq!(graph.node[4].output, graph.node[5].input);
    }

    #[test]
    fn names_that_the_model_uses_are_left_to_it() {
        let dims = [Dim::Named("n"), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(5)];
        let mut taken = model(DataType::Float, &dims);
        let scale = build::tensor_f32("image/scale", &[], &[7.0]);
        let graph = taken.graph.as_mut().unwrap();
        graph.initializer.push(scale.clone());
        graph.node[0] = build::node("Mul", &["image", "image/scale"], &["y"], vec![]);
        let graph = take_bytes(taken, PixelLayout::Chw, PIXELS, "m").unwrap().graph.unwrap();
        let names: Vec<&str> = graph.initializer.iter().map(|t| t.name()).collect();
        assert_eq!(names, ["image/scale/1", "image/mean", "image/std", "image/scale"]);
        assert_eq!(graph.initializer[3], scale);
        assert_eq!(
            (&graph.node[1].input[1], &graph.node[4].input[1]),
            (&"image/scale/1".into(), &"image/scale".into())
        );
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let image = [Dim::Named("n"), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(5)];
        let grey = [Dim::Named("n"), Dim::Fixed(1), Dim::Fixed(4), Dim::Fixed(5)];
        for model in
            [model(DataType::Int64, &image), model(DataType::Float, &grey), model(DataType::Float, &image[..2])]
        {
            assert!(matches!(take_bytes(model, PixelLayout::Chw, PIXELS, "m"), Err(Error::Model { .. })));
        }
    }
}
