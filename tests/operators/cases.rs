//! The operators, each in the forms in which exporters write it.

use engraft::onnx::Attribute;
use engraft::onnx::build::{attr_float as f, attr_int as i, attr_ints as ints, attr_string as text};
use engraft::onnx::{DataType, build};

/// What a node reads.
pub enum Feed {
    /// Floats with gradients: sizes, and between what they lie.
    Real(Vec<usize>, [f64; 2]),
    /// Floats that stay what they are.
    Constant(Vec<usize>, Vec<f32>),
    Ints(Vec<usize>, Vec<i64>),
    Bools(Vec<usize>, Vec<bool>),
    /// An input that is left out.
    None,
}

/// One node.
pub struct Case {
    pub op: &'static str,
    pub domain: &'static str,
    pub opset: i64,
    pub feeds: Vec<Feed>,
    pub attributes: Vec<Attribute>,
    pub outputs: usize,
    /// What it gives is no smooth function of anything.
    pub flat: bool,
    /// Inputs without gradients, by place.
    pub frozen: Vec<usize>,
}

impl Case {
    fn new(op: &'static str, feeds: Vec<Feed>) -> Self {
        let (attributes, frozen) = (Vec::new(), Vec::new());
        Self { op, domain: "", opset: 17, feeds, attributes, outputs: 1, flat: false, frozen }
    }

    fn with(mut self, attributes: Vec<Attribute>) -> Self {
        self.attributes = attributes;
        self
    }

    fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }

    fn giving(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }

    fn flat(mut self) -> Self {
        self.flat = true;
        self
    }

    pub fn title(&self) -> String {
        let sizes = |feed: &Feed| match feed {
            Feed::Real(dims, _) | Feed::Constant(dims, _) | Feed::Ints(dims, _) | Feed::Bools(dims, _) => {
                format!("{dims:?}")
            }
            Feed::None => "-".to_owned(),
        };
        let attributes: Vec<String> =
            self.attributes.iter().map(|a| format!("{} {:?}{:?}{:?}", a.name(), a.i, a.f, a.ints)).collect();
        let feeds: Vec<String> = self.feeds.iter().map(sizes).collect();
        format!("{} {} of {} with {}", self.op, self.opset, feeds.join(", "), attributes.join(", "))
    }
}

/// Around zero, but for a shift that keeps zero itself out.
fn real(dims: &[usize]) -> Feed {
    Feed::Real(dims.to_vec(), [-2.03, 1.98])
}

fn positive(dims: &[usize]) -> Feed {
    Feed::Real(dims.to_vec(), [0.31, 2.2])
}

fn wide(dims: &[usize]) -> Feed {
    Feed::Real(dims.to_vec(), [-6.03, 5.98])
}

fn list(values: &[i64]) -> Feed {
    Feed::Ints(vec![values.len()], values.to_vec())
}

fn number(value: f32) -> Feed {
    Feed::Constant(vec![], vec![value])
}

pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    arithmetic(&mut all);
    curves(&mut all);
    products(&mut all);
    convolutions(&mut all);
    norms(&mut all);
    reductions(&mut all);
    pools(&mut all);
    shapes(&mut all);
    parts(&mut all);
    plumbing(&mut all);
    all
}

fn arithmetic(all: &mut Vec<Case>) {
    let pairs: [(&[usize], &[usize]); 6] = [
        (&[3, 4], &[3, 4]),
        (&[2, 3, 4], &[4]),
        (&[4], &[2, 3, 1]),
        (&[2, 1, 4], &[3, 1]),
        (&[2, 3], &[]),
        (&[1, 1], &[5]),
    ];
    for (a, b) in pairs {
        all.push(Case::new("Add", vec![real(a), real(b)]));
        all.push(Case::new("Sub", vec![real(a), real(b)]));
        all.push(Case::new("Mul", vec![real(a), real(b)]));
        all.push(Case::new("Div", vec![real(a), positive(b)]));
        all.push(Case::new("Pow", vec![positive(a), real(b)]));
    }
    for exponent in [1.0, 2.0, 3.0, 0.5, -0.5, 2.5] {
        all.push(Case::new("Pow", vec![positive(&[3, 5]), number(exponent)]));
    }
    all.push(Case::new("Pow", vec![real(&[3, 5]), Feed::Constant(vec![1, 1], vec![2.0])]));
    all.push(Case::new("Pow", vec![real(&[3]), Feed::Ints(vec![2, 1], vec![2, 3])]));
    for op in ["Sum", "Mean", "Max", "Min"] {
        all.push(Case::new(op, vec![real(&[2, 3]), wide(&[2, 3]), Feed::Real(vec![1, 3], [-1.0, 0.7])]));
        all.push(Case::new(op, vec![real(&[4])]));
    }
    let whole = || vec![list(&[7, -7, 9]), list(&[2, 3, -4])];
    for op in ["Add", "Sub", "Mul", "Div", "Mod", "Equal", "Less", "Max"] {
        all.push(Case::new(op, whole()).flat());
    }
    all.push(Case::new("Mod", whole()).with(vec![i("fmod", 1)]).flat());
}

fn curves(all: &mut Vec<Case>) {
    for op in ["Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Neg", "Abs", "Sin", "Cos", "Softplus", "Softsign", "HardSwish"]
    {
        all.push(Case::new(op, vec![wide(&[3, 40])]));
    }
    for op in ["Log", "Sqrt", "Reciprocal"] {
        all.push(Case::new(op, vec![positive(&[3, 7])]));
    }
    let parameters =
        [("Elu", vec![f("alpha", 0.7)]), ("LeakyRelu", vec![f("alpha", 0.2)]), ("Celu", vec![f("alpha", 1.3)])];
    for (op, attributes) in parameters {
        all.push(Case::new(op, vec![wide(&[3, 7])]).with(attributes));
        all.push(Case::new(op, vec![wide(&[21])]));
    }
    all.push(Case::new("Selu", vec![wide(&[21])]));
    all.push(Case::new("HardSigmoid", vec![wide(&[21])]));
    all.push(Case::new("HardSigmoid", vec![wide(&[21])]).with(vec![f("alpha", 1.0 / 6.0), f("beta", 0.5)]));
    all.push(Case::new("Mish", vec![wide(&[21])]).opset(18));
    all.push(Case::new("Gelu", vec![wide(&[3, 21])]).opset(20));
    all.push(Case::new("Gelu", vec![wide(&[3, 21])]).opset(20).with(vec![text("approximate", "tanh")]));
    for op in ["Gelu", "FastGelu", "QuickGelu"] {
        all.push(Case { domain: "com.microsoft", ..Case::new(op, vec![wide(&[3, 21])]) });
    }
    all.push(Case::new("Clip", vec![wide(&[21]), number(0.0), number(6.0)]));
    all.push(Case::new("Clip", vec![wide(&[21]), Feed::None, number(1.0)]));
    all.push(Case::new("Clip", vec![wide(&[21])]).opset(10).with(vec![f("min", -1.0), f("max", 2.0)]));
    all.push(Case::new("PRelu", vec![wide(&[2, 3, 4]), real(&[3, 1])]));
}

fn products(all: &mut Vec<Case>) {
    let pairs: [(&[usize], &[usize]); 10] = [
        (&[3, 4], &[4, 5]),
        (&[2, 3, 4], &[4, 5]),
        (&[2, 3, 4], &[2, 4, 5]),
        (&[2, 1, 3, 4], &[5, 4, 2]),
        (&[3, 4], &[2, 4, 5]),
        (&[2, 1, 3, 4], &[1, 3, 4, 2]),
        (&[4], &[4, 5]),
        (&[3, 4], &[4]),
        (&[4], &[4]),
        (&[2, 3, 4], &[1, 4, 5]),
    ];
    for (a, b) in pairs {
        all.push(Case::new("MatMul", vec![real(a), real(b)]));
    }
    for turned in 0..4 {
        let a = if turned & 1 == 0 { [3, 4] } else { [4, 3] };
        let b = if turned & 2 == 0 { [4, 5] } else { [5, 4] };
        let attributes = vec![i("transA", turned & 1), i("transB", turned >> 1), f("alpha", 0.5), f("beta", 1.5)];
        for c in [&[5][..], &[3, 5], &[3, 1], &[]] {
            all.push(Case::new("Gemm", vec![real(&a), real(&b), real(c)]).with(attributes.clone()));
        }
        all.push(Case::new("Gemm", vec![real(&a), real(&b)]).with(attributes));
    }
}

fn convolutions(all: &mut Vec<Case>) {
    let conv = |x: &[usize], w: &[usize], attributes: Vec<Attribute>| {
        Case::new("Conv", vec![real(x), real(w), real(&w[..1])]).with(attributes)
    };
    all.push(conv(&[2, 3, 5, 6], &[4, 3, 1, 1], vec![]));
    all.push(conv(&[2, 3, 5, 6], &[4, 3, 3, 3], vec![ints("pads", &[1, 1, 1, 1])]));
    all.push(conv(
        &[2, 4, 5, 6],
        &[6, 2, 3, 2],
        vec![i("group", 2), ints("pads", &[0, 1, 2, 0]), ints("strides", &[2, 1])],
    ));
    all.push(conv(&[2, 3, 7, 6], &[2, 3, 3, 3], vec![ints("dilations", &[2, 1]), ints("strides", &[1, 2])]));
    all.push(conv(&[2, 3, 6, 5], &[3, 1, 3, 3], vec![i("group", 3), ints("pads", &[1, 1, 1, 1])]));
    all.push(conv(
        &[2, 3, 6, 5],
        &[3, 1, 3, 3],
        vec![i("group", 3), ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])],
    ));
    all.push(conv(
        &[1, 2, 6, 7],
        &[4, 1, 5, 3],
        vec![i("group", 2), ints("pads", &[4, 2, 4, 2]), ints("dilations", &[2, 2])],
    ));
    all.push(conv(
        &[1, 2, 35, 38],
        &[4, 1, 3, 2],
        vec![i("group", 2), ints("pads", &[0, 1, 2, 0]), ints("strides", &[2, 1]), ints("dilations", &[1, 2])],
    ));
    all.push(conv(&[1, 2, 40], &[2, 1, 3], vec![i("group", 2), ints("pads", &[9, 390]), ints("strides", &[30])]));
    all.push(conv(&[1, 2, 1300], &[2, 1, 3], vec![i("group", 2), ints("pads", &[0, 2])]));
    for auto in ["SAME_UPPER", "SAME_LOWER"] {
        all.push(conv(
            &[1, 3, 6, 5],
            &[3, 1, 3, 2],
            vec![i("group", 3), text("auto_pad", auto), ints("strides", &[2, 2])],
        ));
    }
    all.push(conv(&[2, 1, 4, 4], &[3, 1, 2, 2], vec![]));
    all.push(conv(&[2, 3, 5, 5], &[2, 3, 1, 1], vec![ints("strides", &[2, 2])]));
    for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
        let attributes = vec![text("auto_pad", auto), ints("strides", &[2, 2]), ints("kernel_shape", &[3, 2])];
        all.push(conv(&[1, 2, 6, 5], &[2, 2, 3, 2], attributes));
    }
    all.push(conv(&[2, 3, 9], &[4, 3, 3], vec![ints("pads", &[1, 1]), ints("strides", &[2])]));
    all.push(conv(&[2, 3, 9], &[3, 1, 3], vec![i("group", 3)]));
    all.push(Case::new("Conv", vec![real(&[1, 2, 4, 4]), real(&[3, 2, 2, 2])]));
}

fn norms(all: &mut Vec<Case>) {
    let statistics = || {
        vec![
            real(&[3]),
            real(&[3]),
            Feed::Constant(vec![3], vec![0.1, -0.2, 0.3]),
            Feed::Constant(vec![3], vec![0.5, 1.0, 2.0]),
        ]
    };
    for x in [&[2, 3, 4, 5][..], &[4, 3], &[2, 3, 4]] {
        let feeds = std::iter::once(real(x)).chain(statistics()).collect();
        all.push(Case::new("BatchNormalization", feeds).with(vec![f("epsilon", 1e-3)]));
    }
    all.push(
        Case::new("LayerNormalization", vec![real(&[2, 3, 8]), real(&[8]), real(&[8])]).with(vec![f("epsilon", 1e-4)]),
    );
    all.push(Case::new("LayerNormalization", vec![real(&[2, 3, 19]), real(&[19])]));
    let over_two = vec![real(&[2, 3, 4]), real(&[3, 4]), real(&[3, 4])];
    all.push(Case::new("LayerNormalization", over_two).with(vec![i("axis", 1)]));
    all.push(Case::new("InstanceNormalization", vec![real(&[2, 3, 4, 2]), real(&[3]), real(&[3])]));
    for (opset, size) in [(18, 2), (21, 4)] {
        let feeds = vec![real(&[2, 4, 3, 2]), real(&[size]), real(&[size])];
        all.push(Case::new("GroupNormalization", feeds).opset(opset).with(vec![i("num_groups", 2)]));
    }
    for op in ["Softmax", "LogSoftmax"] {
        all.push(Case::new(op, vec![real(&[2, 3, 9])]));
        all.push(Case::new(op, vec![real(&[2, 3, 4])]).with(vec![i("axis", 1)]));
        all.push(Case::new(op, vec![real(&[2, 3, 4])]).opset(11));
        all.push(Case::new(op, vec![real(&[2, 3, 4])]).opset(11).with(vec![i("axis", 2)]));
    }
}

fn reductions(all: &mut Vec<Case>) {
    let ops = [
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ];
    for op in ops {
        all.push(Case::new(op, vec![real(&[2, 3, 4])]).with(vec![ints("axes", &[-1])]));
        all.push(Case::new(op, vec![real(&[2, 3, 4])]).with(vec![ints("axes", &[0, 2]), i("keepdims", 0)]));
        all.push(Case::new(op, vec![real(&[2, 3, 4]), list(&[1])]).opset(18));
        all.push(Case::new(op, vec![real(&[2, 3])]));
    }
    all.push(Case::new("ReduceSum", vec![real(&[2, 3, 4]), list(&[1])]));
    all.push(Case::new("ReduceSum", vec![real(&[2, 3, 4]), list(&[0, -1])]).with(vec![i("keepdims", 0)]));
    all.push(Case::new("ReduceSum", vec![real(&[2, 3])]).with(vec![i("noop_with_empty_axes", 1)]));
    all.push(Case::new("ReduceProd", vec![list(&[2, 3, 4])]).with(vec![i("keepdims", 0)]).flat());
    all.push(Case::new("ReduceMax", vec![list(&[2, 5, 4])]).with(vec![i("keepdims", 0)]).flat());
}

fn pools(all: &mut Vec<Case>) {
    let square = |size: i64, stride: i64| vec![ints("kernel_shape", &[size, size]), ints("strides", &[stride, stride])];
    for op in ["MaxPool", "AveragePool"] {
        all.push(Case::new(op, vec![real(&[2, 3, 5, 6])]).with(square(2, 2)));
        let padded = [square(3, 2), vec![ints("pads", &[1, 1, 1, 1])]].concat();
        all.push(Case::new(op, vec![real(&[2, 3, 5, 6])]).with(padded.clone()));
        all.push(Case::new(op, vec![real(&[1, 2, 6, 7])]).with([square(3, 2), vec![i("ceil_mode", 1)]].concat()));
        all.push(
            Case::new(op, vec![real(&[1, 2, 5, 5])])
                .with([square(3, 2), vec![text("auto_pad", "SAME_UPPER")]].concat()),
        );
        all.push(Case::new(op, vec![real(&[1, 2, 7])]).with(vec![ints("kernel_shape", &[3])]));
    }
    let counting = [square(3, 2), vec![ints("pads", &[1, 1, 1, 1]), i("count_include_pad", 1)]].concat();
    all.push(Case::new("AveragePool", vec![real(&[2, 3, 5, 6])]).with(counting));
    for op in ["GlobalAveragePool", "GlobalMaxPool"] {
        all.push(Case::new(op, vec![real(&[2, 3, 4, 5])]));
        all.push(Case::new(op, vec![real(&[2, 3, 4])]));
    }
}

fn shapes(all: &mut Vec<Case>) {
    all.push(Case::new("Identity", vec![real(&[2, 3])]));
    all.push(Case::new("Dropout", vec![real(&[2, 3])]));
    all.push(Case::new("Reshape", vec![real(&[2, 3, 4]), list(&[0, -1])]));
    all.push(Case::new("Reshape", vec![real(&[2, 3, 4]), list(&[4, 6])]));
    all.push(Case::new("Flatten", vec![real(&[2, 3, 4])]));
    all.push(Case::new("Flatten", vec![real(&[2, 3, 4])]).with(vec![i("axis", 0)]));
    all.push(Case::new("Flatten", vec![real(&[2, 3, 4])]).with(vec![i("axis", 3)]));
    all.push(Case::new("Squeeze", vec![real(&[2, 1, 3, 1])]));
    all.push(Case::new("Squeeze", vec![real(&[2, 1, 3, 1]), list(&[-1])]));
    all.push(Case::new("Squeeze", vec![real(&[2, 1, 3, 1])]).opset(11).with(vec![ints("axes", &[1])]));
    all.push(Case::new("Unsqueeze", vec![real(&[2, 3]), list(&[0, -1])]));
    all.push(Case::new("Unsqueeze", vec![real(&[2, 3])]).opset(11).with(vec![ints("axes", &[1, 2])]));
    all.push(Case::new("Transpose", vec![real(&[2, 3, 4])]));
    all.push(Case::new("Transpose", vec![real(&[2, 3, 4, 2])]).with(vec![ints("perm", &[0, 2, 3, 1])]));
    all.push(Case::new("Expand", vec![real(&[3, 1]), list(&[2, 1, 4])]));
    all.push(Case::new("Tile", vec![real(&[2, 3]), list(&[2, 3])]));
    all.push(Case::new("Cast", vec![real(&[2, 3])]).with(vec![i("to", DataType::Float as i64)]));
}

fn parts(all: &mut Vec<Case>) {
    let x = || real(&[4, 5, 3]);
    all.push(Case::new("Slice", vec![x(), list(&[1, 0]), list(&[3, 9]), list(&[0, 1]), list(&[1, 2])]));
    all.push(Case::new("Slice", vec![x(), list(&[-1]), list(&[i64::MIN]), list(&[1]), list(&[-2])]));
    all.push(Case::new("Slice", vec![x(), list(&[0, 1]), list(&[-1, i64::MAX])]));
    all.push(Case::new("Slice", vec![x()]).opset(9).with(vec![
        ints("starts", &[1]),
        ints("ends", &[3]),
        ints("axes", &[1]),
    ]));
    all.push(Case::new("Split", vec![x(), list(&[2, 3])]).with(vec![i("axis", 1)]).giving(2));
    all.push(Case::new("Split", vec![x()]).giving(2));
    all.push(Case::new("Split", vec![x()]).opset(11).with(vec![i("axis", 1), ints("split", &[1, 4])]).giving(2));
    all.push(Case::new("Split", vec![x()]).opset(18).with(vec![i("axis", 1), i("num_outputs", 2)]).giving(2));
    all.push(Case::new("Pad", vec![real(&[2, 3]), list(&[1, 0, 2, 1])]));
    all.push(Case::new("Pad", vec![real(&[2, 3]), list(&[1, 0, 2, 1]), number(0.5)]));
    all.push(Case::new("Pad", vec![real(&[2, 3]), list(&[1, 2]), Feed::None, list(&[1])]).opset(18));
    all.push(Case::new("Gather", vec![x(), Feed::Ints(vec![2, 2], vec![0, -1, 0, 2])]));
    all.push(Case::new("Gather", vec![x(), Feed::Ints(vec![], vec![0])]).with(vec![i("axis", 1)]));
    all.push(Case::new("GatherElements", vec![real(&[3, 2]), Feed::Ints(vec![2, 2], vec![0, 1, -1, 0])]));
    all.push(
        Case::new("GatherElements", vec![real(&[3, 2]), Feed::Ints(vec![3, 1], vec![1, 1, 0])])
            .with(vec![i("axis", 1)]),
    );
    all.push(Case::new("GatherND", vec![x(), Feed::Ints(vec![3, 2], vec![0, 1, 3, -1, 0, 1])]));
    all.push(Case::new("Concat", vec![real(&[2, 3]), real(&[2, 1]), real(&[2, 2])]).with(vec![i("axis", -1)]));
    all.push(Case::new("Concat", vec![real(&[1, 3]), real(&[2, 3])]).with(vec![i("axis", 0)]));
    all.push(Case::new("Concat", vec![list(&[1, 2]), list(&[3])]).with(vec![i("axis", 0)]).flat());
    let condition = Feed::Bools(vec![2, 1], vec![true, false]);
    all.push(Case::new("Where", vec![condition, real(&[2, 3]), real(&[3])]));
    all.push(Case::new("Where", vec![Feed::Bools(vec![2], vec![true, false]), list(&[1, 2]), list(&[3, 4])]).flat());
}

fn plumbing(all: &mut Vec<Case>) {
    let x = || real(&[2, 3, 4]);
    all.push(Case::new("Shape", vec![x()]).flat());
    all.push(Case::new("Shape", vec![x()]).with(vec![i("start", -2), i("end", -1)]).flat());
    all.push(Case::new("Size", vec![x()]).flat());
    let whole = |value| Feed::Ints(vec![], vec![value]);
    all.push(Case::new("Range", vec![whole(7), whole(-2), whole(-3)]).flat());
    all.push(Case::new("Range", vec![number(0.5), number(3.0), number(0.75)]).flat());
    all.push(Case::new("ConstantOfShape", vec![list(&[2, 3])]).flat());
    let one = vec![build::attr_tensor("value", build::tensor_i64("", &[1], &[5]))];
    all.push(Case::new("ConstantOfShape", vec![list(&[2, 3])]).with(one).flat());
    for op in ["ArgMax", "ArgMin"] {
        all.push(Case::new(op, vec![x()]).with(vec![i("axis", 1)]).flat());
        all.push(Case::new(op, vec![x()]).with(vec![i("axis", -1), i("keepdims", 0)]).flat());
    }
    for op in ["Floor", "Ceil", "Round", "Sign", "IsNaN", "IsInf"] {
        all.push(Case::new(op, vec![wide(&[21])]).flat());
    }
    for op in ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"] {
        all.push(Case::new(op, vec![real(&[2, 3]), wide(&[3])]).flat());
    }
    let truths = |values: &[bool]| Feed::Bools(vec![values.len()], values.to_vec());
    for op in ["And", "Or", "Xor"] {
        all.push(Case::new(op, vec![truths(&[true, true, false, false]), truths(&[true, false, true, false])]).flat());
    }
    all.push(Case::new("Not", vec![truths(&[true, false])]).flat());
    for to in [DataType::Int64, DataType::Bool] {
        all.push(Case::new("Cast", vec![wide(&[21])]).with(vec![i("to", to as i64)]).flat());
    }
    all.push(Case::new("Cast", vec![truths(&[true, false])]).with(vec![i("to", DataType::Float as i64)]).flat());
    all.push(Case::new("CastLike", vec![wide(&[5]), list(&[1])]).flat());
}
