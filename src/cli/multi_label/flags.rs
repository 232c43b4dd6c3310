//! Which flags of `train` go with `--label-separator`.

use super::super::fit::FitArgs;
use crate::error::{Error, Result};

impl FitArgs {
    /// Refuses flags that have no meaning where a row may have any number of labels.
    pub(in super::super) fn check_multi_label(&self) -> Result<()> {
        let (judging, head) = (self.judging.of_one_class(), self.head.of_one_class());
        let mut flags = judging.into_iter().chain(head).chain(self.confidence.of_one_class());
        match flags.find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => Err(Error::Usage(format!(
                "{flag} is for rows of one class each: it does not go with --label-separator, which fits a logistic head \
                 with a probability of its own for each label"
            ))),
        }
    }
}
