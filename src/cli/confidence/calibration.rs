//! What a calibration is worth.

use serde::Serialize;

use crate::head::CalibrationRecord;

/// What a calibration is worth, as `train` tells it.
#[derive(Debug, Serialize)]
pub(in super::super) struct CalibrationVerdict {
    #[serde(flatten)]
    record: CalibrationRecord,
    /// Whether the log loss of rows that the calibration was not fitted on is greater than without it.
    log_loss_worse: bool,
}

impl From<CalibrationRecord> for CalibrationVerdict {
    fn from(record: CalibrationRecord) -> Self {
        Self { log_loss_worse: record.after.log_loss > record.before.log_loss, record }
    }
}

impl CalibrationVerdict {
    /// A line where the calibration does harm.
    pub(in super::super) fn text(&self) -> Option<String> {
        let CalibrationRecord { before, after, rows, .. } = &self.record;
        self.log_loss_worse.then(|| {
            format!(
                "CALIBRATION MADE THE LOG LOSS WORSE on rows that it was not fitted on: {:.4} before, {:.4} after; {rows} rows \
                 may be too few: try --calibrate temperature, or none",
                before.log_loss, after.log_loss
            )
        })
    }
}
