//! Column by column.

use super::super::adapted::{Adapted, Serving, Training};
use super::super::affine::Affine;
use super::super::domains::Domains;
use super::statistics::columns;
use crate::error::Result;
use crate::progress::Progress;

/// Gives every source column the mean and the deviation of the target's: `(x − m_s)/s_s·s_t + m_t`. To standardise each domain by
/// itself is the same up to the scale of the columns. A column that is
/// constant in either domain is moved alone.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) when a domain has one row only; [`Error::Interrupted`](crate::Error::Interrupted).
pub(in crate::adapt) fn fit(domains: &Domains, progress: &dyn Progress) -> Result<Adapted> {
    domains.two_rows("standardisation")?;
    let (source, target) = (columns(domains.source, progress)?, columns(domains.target, progress)?);
    let factors = ndarray::Zip::from(&source.1).and(&target.1).map_collect(|&from, &to| match from > 0.0 && to > 0.0 {
        true => to / from,
        false => 1.0,
    });
    let offset = &target.0 - &source.0 * &factors;
    Ok(Adapted::new(Training::Mapped(Affine::diagonal(factors, offset)), Serving::AsIs))
}
