//! Which flags of `train` go with `--label-separator`.

use super::super::fit::FitArgs;
use crate::error::{Error, Result};

impl FitArgs {
    /// Refuses flags that have no meaning where a row may have any number of labels.
    pub(in super::super) fn check_multi_label(&self) -> Result<()> {
        let flags = [self.judging.of_one_class(), self.head.of_one_class(), self.confidence.of_one_class()];
        match flags.into_iter().flatten().next() {
            None => Ok(()),
            Some(flag) => Err(Error::Usage(format!(
                "{flag} is for rows of one class each: it does not go with --label-separator, which fits a logistic head \
                 with a probability of its own for each label"
            ))),
        }
    }
}
