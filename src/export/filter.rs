//! Pillow's filters as graphs, in double precision.

use std::f64::consts::PI;

use super::formula::Formula;
use crate::onnx::DataType;
use crate::preprocess::Interpolation;

/// The filter's values at `x`, an f64 tensor, as `Resample.c` writes them; they need not be right beyond its support. Bicubic with
/// a = −1/2.
pub(super) fn weigh(f: &mut Formula, filter: Interpolation, x: &str) -> String {
    match filter {
        Interpolation::Nearest | Interpolation::Box => {
            let (above, below) = (f.with_double("Greater", x, -0.5), f.with_double("LessOrEqual", x, 0.5));
            let within = f.of("And", &[&above, &below]);
            f.cast(&within, DataType::Double)
        }
        Interpolation::Bilinear => {
            let r = f.of("Abs", &[x]);
            let one = f.double(1.0);
            let weights = f.of("Sub", &[&one, &r]);
            f.with_double("Max", &weights, 0.0)
        }
        Interpolation::Hamming => {
            let r = f.of("Abs", &[x]);
            let sinc = sinc(f, &r);
            let angle = f.with_double("Mul", &r, PI);
            let window = f.of("Cos", &[&angle]);
            // The constants are single precision in Pillow.
            let window = f.with_double("Mul", &window, f64::from(0.46_f32));
            let window = f.with_double("Add", &window, f64::from(0.54_f32));
            let weights = f.of("Mul", &[&sinc, &window]);
            let near = f.with_double("Less", &r, 1.0);
            or_zero(f, &near, &weights)
        }
        Interpolation::Bicubic => {
            let r = f.of("Abs", &[x]);
            let mut polynomial = |start: [f64; 2], rest: &[f64]| {
                let [factor, sum] = start;
                let first = f.with_double("Mul", &r, factor);
                let first = f.with_double("Add", &first, sum);
                rest.iter().fold(first, |value, sum| {
                    let value = f.of("Mul", &[&value, &r]);
                    f.with_double("Add", &value, *sum)
                })
            };
            let inner = polynomial([1.5, -2.5], &[0.0, 1.0]);
            let outer = polynomial([1.0, -5.0], &[8.0, -4.0]);
            let outer = f.with_double("Mul", &outer, -0.5);
            let (near, far) = (f.with_double("Less", &r, 1.0), f.with_double("Less", &r, 2.0));
            let outer = or_zero(f, &far, &outer);
            f.of("Where", &[&near, &inner, &outer])
        }
        Interpolation::Lanczos => {
            let third = f.with_double("Div", x, 3.0);
            let (wave, window) = (sinc(f, x), sinc(f, &third));
            let weights = f.of("Mul", &[&wave, &window]);
            let (above, below) = (f.with_double("GreaterOrEqual", x, -3.0), f.with_double("Less", x, 3.0));
            let within = f.of("And", &[&above, &below]);
            or_zero(f, &within, &weights)
        }
    }
}

fn or_zero(f: &mut Formula, condition: &str, x: &str) -> String {
    let zero = f.double(0.0);
    f.of("Where", &[condition, x, &zero])
}

/// `sin(πx) / (πx)`, 1 at 0.
fn sinc(f: &mut Formula, x: &str) -> String {
    let (middle, one) = (f.with_double("Equal", x, 0.0), f.double(1.0));
    let angle = f.with_double("Mul", x, PI);
    let angle = f.of("Where", &[&middle, &one, &angle]);
    let wave = f.of("Sin", &[&angle]);
    let quotient = f.of("Div", &[&wave, &angle]);
    f.of("Where", &[&middle, &one, &quotient])
}
