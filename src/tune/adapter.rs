//! Low-rank adapters: a matrix stays as it is, and two thin ones are trained whose product is added to it (LoRA; Hu et al. 2022).

use std::collections::HashMap;

use super::product::{Into, Matrix, Threads, multiply};
use super::program::Program;
use super::roles::{Role, Weight};
use super::tail::{Tail, node};
use super::write_back::replace;
use crate::error::{Error, Result};
use crate::onnx::{Constant, FloatTensor, IntTensor, Model, float_constant};

/// What stands for a matrix in training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// The matrix, or filters, that it is added to.
    pub matrix: String,
    /// Names of the factors: rows×rank and rank×columns, where columns are all sizes of the matrix but the first.
    pub factors: [String; 2],
}

impl Tail {
    /// The tail in which matrices and filters stay as they are and a product of two factors of `rank` is added to each that has more
    /// values than they have together; only these factors are among its weights, and what `whole` says is trained itself. The
    /// first factor is drawn from U(−1/√columns, 1/√columns), the second is 0: nothing is changed at first.
    ///
    /// # Errors
    /// [`Error::Usage`] when no matrix has more values than its factors.
    pub fn with_adapters(
        mut self,
        rank: usize,
        seed: u64,
        whole: impl Fn(&Weight) -> bool,
    ) -> Result<(Self, Vec<Adapter>)> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut adapters, mut weights) = (Vec::new(), Vec::new());
        for weight in std::mem::take(&mut self.weights) {
            if whole(&weight) {
                weights.push(weight);
                continue;
            }
            let (rows, columns) = match weight.dims.split_first() {
                Some((&rows, others)) if weight.role == Role::Weight => (rows, others.iter().product::<usize>()),
                _ => continue,
            };
            if rank * (rows + columns) >= rows * columns {
                continue;
            }
            let bound = 1.0 / (columns as f32).sqrt();
            let left = (0..rows * rank).map(|_| bound * (2.0 * rng.f32() - 1.0)).collect();
            let factors = ["left", "right"].map(|side| format!("engraft/adapter/{}/{side}", weight.name));
            let values = [(vec![rows, rank], left), (vec![rank, columns], vec![0.0; rank * columns])];
            for (name, (dims, values)) in factors.iter().zip(values) {
                weights.push(Weight { name: name.clone(), role: Role::Weight, dims: dims.clone() });
                self.graph.constants.insert(name.clone(), Constant::Float(FloatTensor { dims, values }));
            }
            self.adapt(&weight, &factors);
            adapters.push(Adapter { matrix: weight.name, factors });
        }
        self.weights = weights;
        match adapters.is_empty() {
            true => Err(Error::Usage(format!("no matrix behind the cut has more values than factors of rank {rank}"))),
            false => Ok((self, adapters)),
        }
    }

    fn adapt(&mut self, weight: &Weight, [left, right]: &[String; 2]) {
        let name = |part: &str| format!("engraft/adapter/{}/{part}", weight.name);
        let (product, sizes, added, whole) = (name("product"), name("sizes"), name("added"), name("whole"));
        let dims: Vec<i64> = weight.dims.iter().map(|&d| d as i64).collect();
        let sizes_of = IntTensor { dims: vec![dims.len()], values: dims };
        self.graph.constants.insert(sizes.clone(), Constant::Int(sizes_of));
        let nodes = vec![
            node("MatMul", &product, &[left, right]),
            node("Reshape", &added, &[&product, &sizes]),
            node("Add", &whole, &[&weight.name, &added]),
        ];
        self.replace(&weight.name, nodes);
    }
}

/// Adds to the matrices of `model` (called `name` in errors) what the factors that `program` trained come to.
///
/// # Errors
/// [`Error::Model`] when the model has no such initializer of that size, or a value is no finite number.
pub(super) fn merge(model: &mut Model, program: &Program<f32>, adapters: &[Adapter], name: &str) -> Result<()> {
    let leaves: HashMap<&str, _> = program.leaves().iter().map(|leaf| (leaf.name(), leaf.values())).collect();
    for Adapter { matrix, factors: [left, right] } in adapters {
        let factor = |factor: &String| {
            let known = leaves.get(factor.as_str()).copied().flatten();
            known.ok_or_else(|| Error::model(name, format!("the factor {factor} was not trained")))
        };
        let (left, right) = (factor(left)?, factor(right)?);
        let (&[rows, rank], &[inner, columns]) = (left.dims(), right.dims()) else {
            return Err(Error::model(name, format!("the factors of {matrix} are no matrices")));
        };
        let mut values = float_constant(model, matrix).map_err(|reason| Error::model(name, reason))?.values;
        if rank != inner || rows * columns != values.len() {
            return Err(Error::model(name, format!("the factors of {matrix} do not make a matrix of its size")));
        }
        let (left, right) = (Matrix::new(left.values(), rows, rank), Matrix::new(right.values(), rank, columns));
        multiply(&mut values, left, right, Into::Add, Threads::All);
        replace(model, matrix, &values, name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::array::Array;
    use super::super::tail::MIXING;
    use super::super::write_back::write_back;
    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::onnx::build::{Dim, attr_int};
    use crate::onnx::{DataType, GraphBuilder, view};

    /// A matrix that is multiplied with, one that is turned, filters, and a head.
    fn model() -> Model {
        let mut graph = GraphBuilder::new("g");
        let mut random = fastrand::Rng::with_seed(7);
        let mut draw = |n: usize| (0..n).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
        graph.input("x", DataType::Float, &[Dim::Named("n"), Dim::Fixed(8)]);
        graph.tensor_f32("a", &[8, 6], &draw(48));
        graph.tensor_f32("b", &[8, 6], &draw(48));
        graph.tensor_f32("bias", &[8], &draw(8));
        graph.tensor_f32("f", &[6, 8, 1, 1], &draw(48));
        graph.tensor_f32("head", &[6, 2], &draw(12));
        graph.tensor_i64("image", &[4], &[-1, 8, 1, 1]);
        graph.node("Relu", &["x"], "x0", vec![]);
        graph.node("MatMul", &["x0", "a"], "x1", vec![]);
        graph.node("Gemm", &["x1", "b", "bias"], "x2", vec![attr_int("transB", 1)]);
        graph.node("Reshape", &["x2", "image"], "x3", vec![]);
        graph.node("Conv", &["x3", "f"], "x4", vec![]);
        graph.node("Flatten", &["x4"], "e", vec![]);
        graph.node("MatMul", &["e", "head"], "y", vec![]);
        graph.output("y", DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)]);
        graph.finish()
    }

    fn names(tail: &Tail) -> Vec<&str> {
        tail.weights().iter().map(|weight| weight.name.as_str()).collect()
    }

    #[test]
    fn the_merged_matrices_do_what_the_factors_did() {
        let mut model = model();
        let tail = Tail::find(view(&model), "x0", "y", "m").unwrap();
        assert_eq!(names(&tail), ["a", "b", "bias", "f", "head"]);
        assert_eq!(tail.depths(&["x0".into(), "x3".into()], "e"), [2, 2, 2, 1, 0]);
        let (adapted, adapters) = tail.clone().with_adapters(2, 3, |weight| weight.name == "head").unwrap();
        let matrices: Vec<&str> = adapters.iter().map(|adapter| adapter.matrix.as_str()).collect();
        assert_eq!((matrices, names(&adapted).len()), (vec!["a", "b", "f"], 7));
        assert!(tail.clone().with_adapters(4, 3, |_| false).unwrap_err().to_string().contains("rank 4"));

        let x = || vec![Array::new(vec![3, 8], (0..24).map(|i| (i as f32).cos()).collect()).unwrap().into()];
        let run = |program: &Program<f32>| program.run(x()).unwrap()[0].real().unwrap().values().to_vec();
        let mut program = adapted.program::<f32>(&names(&adapted)).unwrap();
        let before = run(&tail.program(&[]).unwrap());
        assert_close(run(&program), before.clone(), Tolerance::Within(1e-6));
        for leaf in program.leaves_mut() {
            leaf.values_mut().unwrap().values_mut().iter_mut().for_each(|v| *v += 0.1);
        }
        write_back(&mut model, &program, &adapters, "m").unwrap();
        let merged = Tail::find(view(&model), "x0", "y", "m").unwrap();
        assert_eq!(names(&merged), names(&tail));
        assert_close(run(&merged.program(&[]).unwrap()), run(&program), Tolerance::Within(1e-5));
        assert!(run(&program).iter().zip(&before).any(|(a, b)| (a - b).abs() > 1e-2));
        let mut lost = adapters;
        lost.push(Adapter { matrix: "a".into(), factors: ["?".into(), "?".into()] });
        assert!(write_back(&mut model, &program, &lost, "m").unwrap_err().to_string().contains("was not trained"));
    }

    #[test]
    fn rows_are_mixed_before_the_head() {
        let model = model();
        let tail = Tail::find(view(&model), "x0", "y", "m").unwrap();
        let mixed = tail.clone().with_mixing("e").unwrap();
        assert_eq!(mixed.boundary(), ["x0", MIXING]);
        let x = || Array::new(vec![2, 8], (0..16).map(|i| (i as f32).cos()).collect()).unwrap().into();
        let run = |tail: &Tail, inputs| tail.program::<f32>(&[]).unwrap().run(inputs).unwrap()[0].clone();
        let plain = run(&tail, vec![x()]).real().unwrap().values().to_vec();
        let shares = Array::new(vec![2, 2], vec![0.25, 0.75, 0.0, 1.0]).unwrap();
        let got = run(&mixed, vec![x(), shares.into()]);
        let want = [0.25 * plain[0] + 0.75 * plain[2], 0.25 * plain[1] + 0.75 * plain[3], plain[2], plain[3]];
        assert_close(got.real().unwrap().values().to_vec(), want, Tolerance::Within(1e-6));
    }
}
