//! Student's t distribution with a whole number of degrees of freedom.

use std::f64::consts::FRAC_2_PI;

/// `P(|T| > |t|)` with `freedom` ≥ 1 degrees of freedom, by the finite series of Abramowitz & Stegun, 26.7.3 and 26.7.4.
pub(super) fn two_sided(t: f64, freedom: u32) -> f64 {
    let nu = f64::from(freedom);
    let theta = (t.abs() / nu.sqrt()).atan();
    let (sine, square) = (theta.sin(), theta.cos().powi(2));
    let odd = freedom % 2 == 1;
    // Odd: cos θ (1 + 2/3 cos²θ + 2·4/(3·5) cos⁴θ + …); even: 1 + 1/2 cos²θ + 1·3/(2·4) cos⁴θ + …
    let (mut term, mut sum) = (if odd { theta.cos() } else { 1.0 }, 0.0);
    let terms = if odd { (freedom - 1) / 2 } else { freedom / 2 };
    for i in 1..=terms {
        sum += term;
        let i = 2.0 * f64::from(i);
        term *= square * if odd { i / (i + 1.0) } else { (i - 1.0) / i };
    }
    let within = if odd { FRAC_2_PI * (theta + sine * sum) } else { sine * sum };
    (1.0 - within).clamp(0.0, 1.0)
}

/// The value that |T| exceeds with the chance `p`, 0 < p < 1, by bisection.
pub(super) fn two_sided_quantile(p: f64, freedom: u32) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, freedom) > p && high < 1e12 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if two_sided(middle, freedom) > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}
