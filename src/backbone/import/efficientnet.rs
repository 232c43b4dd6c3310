//! EfficientNet-Lite as an ONNX graph around the weights of its PyTorch port.
//!
//! The architecture is Tan and Le, "EfficientNet" (2019), in the Lite form of `tensorflow/tpu`: no squeeze-and-excitation,
//! ReLU6 instead of Swish, and stem, head and the depth of the first and last stage not scaled.

use super::weights::Weights;
use crate::error::{Error, Result};
use crate::onnx::build::{Dim, attr_float, attr_int, attr_ints};
use crate::onnx::{self, DataType, GraphBuilder};

/// What the batch normalisations add to the variance.
const EPSILON: f64 = 1e-3;
const STEM: usize = 32;
const FEATURES: usize = 1280;
const CLASSES: usize = 1000;
/// Beyond these the network is none that was ever published, and its sizes could overflow.
const MAX_MULTIPLIER: f64 = 8.0;
const MAX_SIZE: u32 = 4096;

/// A run of equal blocks, before scaling.
struct Stage {
    repeats: usize,
    kernel: usize,
    /// Of the first block; the others have 1.
    stride: usize,
    /// How many times wider a block is inside.
    expansion: usize,
    channels: usize,
}

const fn stage(repeats: usize, kernel: usize, stride: usize, expansion: usize, channels: usize) -> Stage {
    Stage { repeats, kernel, stride, expansion, channels }
}

/// Table 1 of the paper.
const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

/// The graph: `image [batch,3,size,size]` → `features [batch,1280]`, the pooled vector before the classifier, and
/// `logits [batch,1000]`. Batch normalisations are folded into the convolutions before them.
///
/// # Errors
/// When a weight is missing or of another shape, or one has no place in the network.
pub(super) fn build(weights: Weights, width: f64, depth: f64, size: u32) -> Result<onnx::Model> {
    let multipliers = (0.0..=MAX_MULTIPLIER).contains(&width) && (0.0..=MAX_MULTIPLIER).contains(&depth);
    if !multipliers || !(1..=MAX_SIZE).contains(&size) {
        let reason = format!("no such network: width {width}, depth {depth}, size {size}");
        return Err(Error::model("efficientnet-lite", reason));
    }
    let mut net = Network { graph: GraphBuilder::new("efficientnet-lite"), weights, size: size as usize };
    let image = [Dim::Named("batch"), Dim::Fixed(3), Dim::Fixed(size.into()), Dim::Fixed(size.into())];
    net.graph.input("image", DataType::Float, &image);
    net.graph.tensor_f32("zero", &[], &[0.0]);
    net.graph.tensor_f32("six", &[], &[6.0]);

    let stem = Convolution { kernel: 3, stride: 2, groups: Groups::One, input: 3, output: STEM };
    let x = net.convolution("image", ("_conv_stem", "_bn0"), "stem", stem)?;
    let mut x = net.relu6(&x);
    let (mut channels, mut block) = (STEM, 0);
    for (i, stage) in STAGES.iter().enumerate() {
        let output = scaled_width(stage.channels, width);
        let ends = i == 0 || i + 1 == STAGES.len();
        let repeats = if ends { stage.repeats } else { (depth * stage.repeats as f64).ceil() as usize };
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stage.stride } else { 1 };
            x = net.block(&x, block, &Stage { stride, channels: output, ..*stage }, channels)?;
            (channels, block) = (output, block + 1);
        }
    }
    let head = Convolution { kernel: 1, stride: 1, groups: Groups::One, input: channels, output: FEATURES };
    let x = net.convolution(&x, ("_conv_head", "_bn1"), "head", head)?;
    let x = net.relu6(&x);
    net.classify(&x)?;

    let Network { graph, weights, .. } = net;
    weights.finish(|name| name.ends_with(".num_batches_tracked"))?;
    Ok(graph.finish())
}

/// Channels after the width multiplier: the nearest multiple of 8, but at least nine tenths of the exact number.
fn scaled_width(channels: usize, width: f64) -> usize {
    let exact = channels as f64 * width;
    let rounded = (((exact + 4.0) / 8.0).floor() * 8.0).max(8.0);
    (if rounded < 0.9 * exact { rounded + 8.0 } else { rounded }) as usize
}

/// TensorFlow's "SAME" padding of one axis, `(before, after)`: what makes `ceil(size / stride)` outputs; an odd pixel
/// goes after.
fn same_padding(size: usize, kernel: usize, stride: usize) -> (i64, i64) {
    let outputs = size.div_ceil(stride);
    let total = ((outputs - 1) * stride + kernel).saturating_sub(size) as i64;
    (total / 2, total - total / 2)
}

#[derive(Clone, Copy, PartialEq)]
enum Groups {
    One,
    /// Each channel by itself.
    Depthwise,
}

struct Convolution {
    kernel: usize,
    stride: usize,
    groups: Groups,
    input: usize,
    output: usize,
}

/// The graph so far and the weights still to be placed.
struct Network<'a> {
    graph: GraphBuilder,
    weights: Weights<'a>,
    /// Height and width of the maps at this depth.
    size: usize,
}

impl Network<'_> {
    /// An inverted residual: widen, filter each channel, narrow; the input is added where the shape allows.
    fn block(&mut self, x: &str, number: usize, stage: &Stage, input: usize) -> Result<String> {
        let weight = |part: &str| format!("_blocks.{number}.{part}");
        let name = |part: &str| format!("block{number}/{part}");
        let inner = input * stage.expansion;
        let mut y = x.to_owned();
        if stage.expansion > 1 {
            let expand = Convolution { kernel: 1, stride: 1, groups: Groups::One, input, output: inner };
            y = self.convolution(&y, (&weight("_expand_conv"), &weight("_bn0")), &name("expand"), expand)?;
            y = self.relu6(&y);
        }
        let (kernel, stride) = (stage.kernel, stage.stride);
        let depthwise = Convolution { kernel, stride, groups: Groups::Depthwise, input: inner, output: inner };
        y = self.convolution(&y, (&weight("_depthwise_conv"), &weight("_bn1")), &name("depthwise"), depthwise)?;
        y = self.relu6(&y);
        let project = Convolution { kernel: 1, stride: 1, groups: Groups::One, input: inner, output: stage.channels };
        y = self.convolution(&y, (&weight("_project_conv"), &weight("_bn2")), &name("project"), project)?;
        if stage.stride == 1 && input == stage.channels {
            y = self.graph.node("Add", &[&y, x], &name("add"), Vec::new());
        }
        Ok(y)
    }

    /// A convolution without bias and its batch normalisation, as one: `w·g/√(v+ε)` and `b − m·g/√(v+ε)`.
    fn convolution(&mut self, x: &str, (conv, norm): (&str, &str), name: &str, c: Convolution) -> Result<String> {
        let (groups, per_group) = match c.groups {
            Groups::One => (1, c.input),
            Groups::Depthwise => (c.input, 1),
        };
        let shape = [c.output, per_group, c.kernel, c.kernel];
        let mut kernel = self.weights.take(&format!("{conv}.weight"), &shape)?;
        let mut part = |part: &str| self.weights.take(&format!("{norm}.{part}"), &[c.output]);
        let (gain, shift, mean, variance) =
            (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
        let gain = gain.iter().zip(&variance).map(|(g, v)| f64::from(*g) / (f64::from(*v) + EPSILON).sqrt());
        let gain: Vec<f64> = gain.collect();
        for (filter, g) in kernel.chunks_exact_mut(per_group * c.kernel * c.kernel).zip(&gain) {
            filter.iter_mut().for_each(|w| *w = (f64::from(*w) * g) as f32);
        }
        let bias = shift.iter().zip(&mean).zip(&gain).map(|((b, m), g)| (f64::from(*b) - f64::from(*m) * g) as f32);
        let bias: Vec<f32> = bias.collect();

        let w = self.graph.tensor_f32(&format!("{name}/weight"), &shape.map(|n| n as i64), &kernel);
        let b = self.graph.tensor_f32(&format!("{name}/bias"), &[c.output as i64], &bias);
        let (before, after) = same_padding(self.size, c.kernel, c.stride);
        self.size = self.size.div_ceil(c.stride);
        let attributes = vec![
            attr_int("group", groups as i64),
            attr_ints("kernel_shape", &[c.kernel as i64; 2]),
            attr_ints("pads", &[before, before, after, after]),
            attr_ints("strides", &[c.stride as i64; 2]),
        ];
        Ok(self.graph.node("Conv", &[x, &w, &b], name, attributes))
    }

    fn relu6(&mut self, x: &str) -> String {
        self.graph.node("Clip", &[x, "zero", "six"], &format!("{x}/relu6"), Vec::new())
    }

    fn classify(&mut self, x: &str) -> Result<()> {
        let pooled = self.graph.node("GlobalAveragePool", &[x], "pooled", Vec::new());
        let features = self.graph.node("Flatten", &[&pooled], "features", Vec::new());
        let weight = self.weights.take("_fc.weight", &[CLASSES, FEATURES])?;
        let bias = self.weights.take("_fc.bias", &[CLASSES])?;
        let w = self.graph.tensor_f32("classifier/weight", &[CLASSES as i64, FEATURES as i64], &weight);
        let b = self.graph.tensor_f32("classifier/bias", &[CLASSES as i64], &bias);
        let attributes = vec![attr_float("alpha", 1.0), attr_float("beta", 1.0), attr_int("transB", 1)];
        self.graph.node("Gemm", &[&features, &w, &b], "logits", attributes);
        self.graph.output("features", DataType::Float, &[Dim::Named("batch"), Dim::Fixed(FEATURES as i64)]);
        self.graph.output("logits", DataType::Float, &[Dim::Named("batch"), Dim::Fixed(CLASSES as i64)]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::weights::{Element, Tensor};
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn widths_round_as_in_the_published_networks() {
        let channels = |width| STAGES.map(|s| scaled_width(s.channels, width));
        assert_eq!(channels(1.0), [16, 24, 40, 80, 112, 192, 320]);
        // EfficientNet-Lite2 and Lite4.
        assert_eq!(channels(1.1), [16, 24, 48, 88, 120, 208, 352]);
        assert_eq!(channels(1.4), [24, 32, 56, 112, 160, 272, 448]);
    }

    #[test]
    fn same_padding_is_uneven_where_tensorflow_makes_it_so() {
        assert_eq!(same_padding(224, 3, 2), (0, 1));
        assert_eq!(same_padding(65, 3, 2), (1, 1));
        assert_eq!(same_padding(56, 5, 2), (1, 2));
        assert_eq!(same_padding(56, 5, 1), (2, 2));
        assert_eq!(same_padding(7, 1, 1), (0, 0));
    }

    #[test]
    fn batch_normalisation_is_folded() {
        let values = [2.0, 3.0, 0.5, 1.0, 2.25 - EPSILON as f32].map(f32::to_le_bytes);
        let names = ["c.weight", "n.weight", "n.bias", "n.running_mean", "n.running_var"];
        let tensors = names.iter().zip(&values).map(|(name, bytes)| {
            let shape = if *name == "c.weight" { vec![1; 4] } else { vec![1] };
            ((*name).to_owned(), Tensor::dense(shape, Element::F32, bytes).unwrap())
        });
        let weights = Weights::new(Path::new("w.pth"), tensors);
        let mut net = Network { graph: GraphBuilder::new("one"), weights, size: 4 };
        let one = Convolution { kernel: 1, stride: 1, groups: Groups::One, input: 1, output: 1 };
        net.convolution("x", ("c", "n"), "y", one).unwrap();
        let graph = net.graph.finish().graph.unwrap();
        let folded = graph.initializer.iter().map(|t| f32::from_le_bytes(t.raw_data().try_into().unwrap()));
        // 3 / 1.5 = 2 times the weight; 0.5 - 2 * 1.
        assert_close(folded, [4.0f32, -1.5], Tolerance::Approximate);
    }

    #[test]
    fn a_missing_weight_is_named_and_absurd_sizes_are_refused() {
        let weights = || Weights::new(Path::new("w.pth"), []);
        let error = build(weights(), 1.0, 1.0, 224).unwrap_err().to_string();
        assert!(error.contains("no tensor _conv_stem.weight"), "{error}");
        for (width, depth, size) in [(f64::NAN, 1.0, 224), (1.0, 1e9, 224), (1.0, 1.0, 0), (-1.0, 1.0, 224)] {
            assert!(build(weights(), width, depth, size).unwrap_err().to_string().contains("no such network"));
        }
    }
}
