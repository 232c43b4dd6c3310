//! Eigenvectors of a symmetric matrix.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par};
use ndarray::{Array1, Array2};

use crate::error::{Error, Result};

/// The n eigenvalues of a symmetric n×n matrix, least first, and the eigenvectors as columns.
///
/// # Errors
/// [`Error::Data`] when the decomposition does not converge.
pub(crate) fn eigen(matrix: &Array2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let n = matrix.nrows();
    let source = Mat::from_fn(n, n, |i, j| matrix[[i, j]]);
    let (mut values, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    // On one thread: the result may not depend on how many there are.
    let scratch = self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, Par::Seq, Default::default());
    self_adjoint_evd(
        source.as_ref(),
        values.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| Error::Data("the eigenvalues of the features could not be found".into()))?;
    let values = Array1::from_shape_fn(n, |i| values.column_vector()[i]);
    Ok((values, Array2::from_shape_fn((n, n), |(i, j)| vectors[(i, j)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_matrix_is_rebuilt() {
        let mut rng = fastrand::Rng::with_seed(3);
        let half = Array2::from_shape_fn((9, 9), |_| rng.f64() - 0.5);
        let matrix = half.t().dot(&half);
        let (values, vectors) = eigen(&matrix).unwrap();
        assert!(values.windows(2).into_iter().all(|pair| pair[0] <= pair[1]));
        assert_close(vectors.t().dot(&vectors), Array2::<f64>::eye(9), Tolerance::Close);
        assert_close((&vectors * &values).dot(&vectors.t()), matrix, Tolerance::Close);
    }
}
