//! The one tolerance helper: fails on another length, on NaN, and says where the worst difference is.

/// How near is near enough.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code)]
pub enum Tolerance {
    /// Bit for bit.
    Exact,
    /// 1e-12, absolute or relative: the same formula in f64.
    Close,
    /// 1e-5, absolute or relative: f32 arithmetic in another order.
    Approximate,
    /// Absolute or relative, as given.
    Within(f64),
}

/// Panics unless every pair differs by at most the tolerance, absolutely or relative to the wanted value.
#[track_caller]
#[allow(dead_code)]
pub fn assert_close<A, B>(got: impl IntoIterator<Item = A>, want: impl IntoIterator<Item = B>, tolerance: Tolerance)
where
    A: Into<f64>,
    B: Into<f64>,
{
    let got: Vec<f64> = got.into_iter().map(Into::into).collect();
    let want: Vec<f64> = want.into_iter().map(Into::into).collect();
    assert_eq!(got.len(), want.len(), "another number of values");
    let limit = match tolerance {
        Tolerance::Exact => 0.0,
        Tolerance::Close => 1e-12,
        Tolerance::Approximate => 1e-5,
        Tolerance::Within(x) => x,
    };
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let error = (g - w).abs() / w.abs().max(1.0);
        assert!(error <= limit, "value {i}: got {g}, want {w}: off by {error:e}, allowed {limit:e}");
    }
}
