//! The rows and what they are for, with the probes that tuning starts from and is compared with.

use std::collections::HashMap;
use std::path::PathBuf;

use ndarray::{Array2, Axis};

use super::super::Context;
use super::super::fit::{Fitted, HeadArgs};
use super::super::inputs::{self, SourceArgs};
use super::super::judging::{Divided, HoldoutArgs};
use crate::backbone::Backbone;
use crate::curate::Known;
use crate::error::{Error, Result};
use crate::features::FeatureSet;
use crate::head::{HeadFile, HeadKind};
use crate::source::{Entry, Sample, Split};

/// Share of the greatest deviation of a column below which one says nothing.
const STILL: f64 = 1e-6;

/// Rows to train on – to learn from, and to validate with – and rows that are held out.
pub(super) struct Parts {
    pub(super) divided: Divided,
    /// Rows among those to train on: `train` to learn from, `test` to validate with.
    pub(super) split: Split,
    /// What each row is made from.
    samples: HashMap<String, Sample>,
}

impl Parts {
    /// Embeds the inputs and divides their rows. Returns the number of rejects too.
    pub(super) fn of(
        context: &Context,
        inputs: &[PathBuf],
        (source, holdout, validation): (&SourceArgs, &HoldoutArgs, f64),
        backbone: &Backbone,
    ) -> Result<(Self, usize)> {
        let loaded = inputs::embed_all(context, inputs, (source, holdout.columns()), backbone)?;
        let features = super::super::train::labelled(context, loaded.features)?;
        let split = holdout.split(context, &features)?;
        let divided = holdout.arrange(features, split)?;
        let rows: Vec<usize> = (0..divided.n_train).collect();
        let mut within = holdout.clone();
        within.holdout = validation;
        let split = within.split(context, &divided.features.select(&rows))?;
        let options = source.options(inputs::modality(&backbone.preprocessing), &[]);
        let listed = inputs::draw(inputs, &options, usize::MAX, context.seed)?;
        let samples = listed.into_iter().filter_map(|entry| match entry {
            Entry::Sample(sample) => Some((sample.id.clone(), sample)),
            Entry::Reject(_) => None,
        });
        Ok((Self { divided, split, samples: samples.collect() }, loaded.rejects.len()))
    }

    fn probe(&self, context: &Context, known: Known) -> Result<HeadFile> {
        let probe = HeadArgs::of(HeadKind::Logistic);
        let Fitted { kind, head, certificate, .. } = probe.fit(context, known, &context.console)?;
        if let Some(certificate) = &certificate {
            super::super::train::warn_unconverged(context, certificate);
        }
        let provenance = self.divided.features.provenance.clone();
        Ok(HeadFile { provenance, certificate, ..HeadFile::new(kind, head, self.divided.names.clone()) })
    }

    /// The probe that `train` fits: on all rows to train on.
    pub(super) fn whole_probe(&self, context: &Context) -> Result<HeadFile> {
        self.probe(context, self.divided.known())
    }

    /// The probe that has not seen the rows to validate with.
    pub(super) fn starting_probe(&self, context: &Context) -> Result<HeadFile> {
        let Known { x, labels, .. } = self.divided.known();
        let rows = &self.split.train;
        let (mut x, labels): (_, Vec<usize>) = (x.select(Axis(0), rows), rows.iter().map(|&row| labels[row]).collect());
        still(&mut x);
        self.probe(context, Known { x: x.view(), labels: &labels, groups: None })
    }

    /// The samples of these rows.
    pub(super) fn samples(&self, rows: impl Iterator<Item = usize>) -> Result<Vec<Sample>> {
        let of = |row: usize| {
            let id = &self.divided.features.ids[row];
            let sample = self.samples.get(id).cloned();
            sample.ok_or_else(|| Error::Data(format!("{id} was embedded, and is no longer among the inputs")))
        };
        rows.map(of).collect()
    }

    /// The rows that are held out, with their classes.
    pub(super) fn held_out(&self) -> FeatureSet {
        let rows: Vec<usize> = (self.divided.n_train..self.divided.classes.len()).collect();
        self.divided.features.select(&rows)
    }
}

/// Makes columns zero whose deviation is next to nothing beside the greatest: standardised, they would have weights by which the smallest
/// step of the backbone becomes a leap. Sentence encoders are known to have one whose values are all near 1e-33.
fn still(x: &mut Array2<f32>) {
    let deviations = x.mapv(f64::from).std_axis(Axis(0), 0.0);
    let least = STILL * deviations.iter().copied().fold(0.0, f64::max);
    for (mut column, deviation) in x.columns_mut().into_iter().zip(deviations) {
        if deviation < least {
            column.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn columns_that_hardly_move_stand_still() {
        let mut x = array![[1.0_f32, 3e-33, 5.0], [2.0, -1e-33, 5.0], [4.0, 2e-33, 5.001]];
        still(&mut x);
        assert_eq!(x, array![[1.0, 0.0, 5.0], [2.0, 0.0, 5.0], [4.0, 0.0, 5.001]]);
    }
}
