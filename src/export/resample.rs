//! The 8-bit resampling of Pillow as a graph, to the bit.
//!
//! As in [`crate::preprocess`], a pass is a product with weights of 22 bits, and its result is rounded to bytes. The weights are
//! computed in double precision from the sizes, cut into two halves of 11 bits, and multiplied in single precision: halves, bytes
//! and their sums are whole numbers below 2²⁴, so that nothing is rounded. (Sums of lower halves are, for certain, up to 64 inputs an
//! output; of more only where nearly all have one sign, and what is lost then is some 2⁻²² of a byte.) Outputs come in blocks of
//! [`BLOCK`] that share their inputs, so that the products are dense although each output sees but a few inputs.
//!
//! ONNX's own `Resize` with `antialias` has neither box, Hamming nor Lanczos, rounds otherwise where it enlarges linearly, and computes what
//! a crop throws away. This is MatMul, Gather, If and arithmetic.

use super::filter::weigh;
use super::formula::Formula;
use crate::onnx::DataType;
use crate::onnx::build::attr_ints;
use crate::preprocess::Interpolation;

/// Outputs that share their inputs.
const BLOCK: i64 = 16;
/// Fraction bits of a weight, and those of its lower half.
const PRECISION: u32 = 22;
const LOW: u32 = 11;

/// One axis of a resize, whose sizes the graph knows when it runs: all are i64 of no dimensions.
pub(super) struct Line {
    /// Pixels before.
    pub(super) from: String,
    /// Pixels after.
    pub(super) to: String,
    /// Of these, the first that is wanted, and the one behind the last.
    pub(super) wanted: [String; 2],
}

/// The bytes `x [n, height, width, 3]`, resized by `filter` along their rows and columns.
pub(super) fn resize(f: &mut Formula, x: &str, filter: Interpolation, [rows, columns]: [&Line; 2]) -> String {
    if filter == Interpolation::Nearest {
        let (rows, columns) = (nearest(f, rows), nearest(f, columns));
        let x = f.along(1, "Gather", &[x, &rows]);
        return f.along(2, "Gather", &[&x, &columns]);
    }
    // Pillow 13 begins with the axis that loses more, if this is the vertical one by far.
    let shrunk = [rows, columns].map(|line| f.of("Sub", &[&line.from, &line.to]));
    let twice = f.with_int("Mul", &shrunk[1], 2);
    let twice = f.with_int("Max", &twice, 0);
    let vertical_first = f.of("Greater", &[&shrunk[0], &twice]);

    let (rows, columns) = (Pass::new(f, filter, rows), Pass::new(f, filter, columns));
    let x = rows.narrowed(f, x, 1);
    let x = columns.narrowed(f, &x, 2);
    f.either(
        &vertical_first,
        |f| {
            let x = rows.down(f, &x);
            columns.across(f, &x)
        },
        |f| {
            let x = columns.across(f, &x);
            rows.down(f, &x)
        },
    )
}

/// The places of the wanted outputs' pixels. Sums of the step, not products, as Pillow's.
fn nearest(f: &mut Formula, Line { from, to, wanted }: &Line) -> String {
    let step = ratio(f, from, to);
    let half = f.with_double("Mul", &step, 0.5);
    let others = f.with_int("Sub", &wanted[1], 1);
    let (half, others, axis) = (f.list(&[&half]), f.list(&[&others]), f.int(0));
    let others = f.of("Expand", &[&step, &others]);
    let steps = f.along(0, "Concat", &[&half, &others]);
    let places = f.of("CumSum", &[&steps, &axis]);
    let places = f.cast(&places, DataType::Int64);
    let last = f.with_int("Sub", from, 1);
    let places = f.of("Min", &[&places, &last]);
    f.part(&places, 0, [&wanted[0], &wanted[1]])
}

fn ratio(f: &mut Formula, a: &str, b: &str) -> String {
    let [a, b] = [a, b].map(|x| f.cast(x, DataType::Double));
    f.of("Div", &[&a, &b])
}

/// What is needed to resize along one axis.
struct Pass {
    /// The inputs that any output sees: the first, and the one behind the last.
    seen: [String; 2],
    /// `[blocks, inputs]`: which input, from the first that is seen on.
    inputs: String,
    /// `[blocks, 2·BLOCK, inputs]`, f32: the upper halves of the weights, then the lower ones.
    weights: String,
    outputs: String,
}

impl Pass {
    /// In the words and the order of operations of [`crate::preprocess`]'s own.
    fn new(f: &mut Formula, filter: Interpolation, Line { from, to, wanted: [first, end] }: &Line) -> Self {
        let outputs = f.of("Sub", &[end, first]);
        let centers = {
            let blocks = f.with_int("Add", &outputs, BLOCK - 1);
            let blocks = f.with_int("Div", &blocks, BLOCK);
            let padded = f.with_int("Mul", &blocks, BLOCK);
            let (padded, one) = (f.of("Add", &[first, &padded]), f.int(1));
            let all = f.of("Range", &[first, &padded, &one]);
            // The last block is filled up with its last output.
            let last = f.with_int("Sub", end, 1);
            let all = f.of("Min", &[&all, &last]);
            let shape = f.ints(&[-1, BLOCK]);
            f.of("Reshape", &[&all, &shape])
        };
        let scale = ratio(f, from, to);
        let centers = f.cast(&centers, DataType::Double);
        let centers = f.with_double("Add", &centers, 0.5);
        let centers = f.of("Mul", &[&centers, &scale]);
        let filter_scale = f.with_double("Max", &scale, 1.0);
        let reach = f.with_double("Mul", &filter_scale, filter.support());
        let [starts, ends] = ["Sub", "Add"].map(|sign| {
            let edge = f.of(sign, &[&centers, &reach]);
            let edge = f.with_double("Add", &edge, 0.5);
            f.cast(&edge, DataType::Int64)
        });
        let (starts, ends) = (f.with_int("Max", &starts, 0), f.of("Min", &[&ends, from]));

        let (zero, one) = (f.int(0), f.int(1));
        let bases = f.part(&starts, 1, [&zero, &one]);
        let lengths = f.of("Sub", &[&ends, &bases]);
        let length = f.reduced("ReduceMax", &lengths);
        let range = f.of("Range", &[&zero, &length, &one]);
        let inputs = f.of("Add", &[&bases, &range]);
        let weights = {
            let (inner, last) = (f.ints(&[1]), f.ints(&[2]));
            let inputs = f.of("Unsqueeze", &[&inputs, &inner]);
            let [starts, ends, centers] = [&starts, &ends, &centers].map(|x| f.of("Unsqueeze", &[x, &last]));
            let begun = f.of("GreaterOrEqual", &[&inputs, &starts]);
            let open = f.of("Less", &[&inputs, &ends]);
            let seen = f.of("And", &[&begun, &open]);
            let x = f.cast(&inputs, DataType::Double);
            let x = f.of("Sub", &[&x, &centers]);
            let x = f.with_double("Add", &x, 0.5);
            let inverse = f.of("Reciprocal", &[&filter_scale]);
            let x = f.of("Mul", &[&x, &inverse]);
            let (weights, none) = (weigh(f, filter, &x), f.double(0.0));
            let weights = f.of("Where", &[&seen, &weights, &none]);
            let sums = f.of("ReduceSum", &[&weights, &last]);
            let weights = f.of("Div", &[&weights, &sums]);
            halves(f, &weights)
        };
        let seen = [f.reduced("ReduceMin", &starts), f.reduced("ReduceMax", &ends)];
        let last = f.with_int("Sub", &seen[1], 1);
        let inputs = f.of("Min", &[&inputs, &last]);
        let inputs = f.of("Sub", &[&inputs, &seen[0]]);
        Self { seen, inputs, weights, outputs }
    }

    /// The part of an axis of `x` that any output sees.
    fn narrowed(&self, f: &mut Formula, x: &str, axis: i64) -> String {
        f.part(x, axis, [&self.seen[0], &self.seen[1]])
    }

    /// Along the columns.
    fn across(&self, f: &mut Formula, x: &str) -> String {
        let x = swapped(f, x);
        let x = self.down(f, &x);
        swapped(f, &x)
    }

    /// Along the rows, axis 1.
    fn down(&self, f: &mut Formula, x: &str) -> String {
        let width = f.size(x, 2);
        let flat = f.ints(&[0, 0, -1]);
        let x = f.of("Reshape", &[x, &flat]);
        let x = f.along(1, "Gather", &[&x, &self.inputs]);
        let x = f.cast(&x, DataType::Float);
        let sums = f.of("MatMul", &[&self.weights, &x]);
        let (zero, middle, both) = (f.int(0), f.int(BLOCK), f.int(2 * BLOCK));
        let [high, low] = [[&zero, &middle], [&middle, &both]].map(|[from, to]| {
            let sums = f.part(&sums, 2, [from, to]);
            f.cast(&sums, DataType::Int32)
        });
        let [base, half, whole, least, most] = [1 << LOW, 1 << (PRECISION - 1), 1 << PRECISION, 0, 255].map(|value| {
            let value = f.int(value);
            f.cast(&value, DataType::Int32)
        });
        let sums = f.of("Mul", &[&high, &base]);
        let sums = f.of("Add", &[&sums, &low]);
        let sums = f.of("Add", &[&sums, &half]);
        // Rounds negative sums towards zero, where a shift would not, and they become zero in both ways.
        let bytes = f.of("Div", &[&sums, &whole]);
        let bytes = f.of("Clip", &[&bytes, &least, &most]);
        let bytes = f.cast(&bytes, DataType::Uint8);
        let (keep, all, channels) = (f.int(0), f.int(-1), f.int(3));
        let shape = f.list(&[&keep, &all, &width, &channels]);
        let bytes = f.of("Reshape", &[&bytes, &shape]);
        f.part(&bytes, 1, [&zero, &self.outputs])
    }
}

/// Rows and columns in each other's place.
fn swapped(f: &mut Formula, x: &str) -> String {
    f.with("Transpose", &[x], vec![attr_ints("perm", &[0, 2, 1, 3])])
}

/// Normalised weights as whole numbers of 1 / 2^[`PRECISION`], cut in two: the upper halves, then the lower ones.
fn halves(f: &mut Formula, weights: &str) -> String {
    let scaled = f.with_double("Mul", weights, f64::from(1 << PRECISION));
    // Away from zero where it lies in the middle.
    let (sign, size) = (f.of("Sign", &[&scaled]), f.of("Abs", &[&scaled]));
    let size = f.with_double("Add", &size, 0.5);
    let size = f.of("Floor", &[&size]);
    let whole = f.of("Mul", &[&sign, &size]);
    let base = f64::from(1 << LOW);
    let high = f.with_double("Div", &whole, base);
    let high = f.with_double("Add", &high, 0.5);
    let high = f.of("Floor", &[&high]);
    let above = f.with_double("Mul", &high, base);
    let low = f.of("Sub", &[&whole, &above]);
    let both = f.along(1, "Concat", &[&high, &low]);
    f.cast(&both, DataType::Float)
}
