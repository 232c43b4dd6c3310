//! What heads are judged on: the flags, and the rows that they stand for.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;

use ndarray::{ArrayView2, s};

use super::Context;
use super::fit::FitArgs;
use super::inputs::count;
use crate::counted::counted;
use crate::curate::{Known, judge_out_of_fold};
use crate::error::{Error, Result};
use crate::eval::{Division, Judgeable, Options, Report};
use crate::features::FeatureSet;
use crate::progress::Progress;
use crate::source::{Split, grouped_split, shared_content, stratified_split};

/// What is held out.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct HoldoutArgs {
    /// Share of each class that is held out to measure on; 0 trains on every row and measures nothing
    #[arg(long, value_name = "FRACTION", default_value_t = 0.2)]
    pub(super) holdout: f64,
    /// The column that names the group of each row, such as a patient or a site: no group is both trained and tested on. Of
    /// features it must have been kept (`embed --keep`). What a head and --head auto choose by, and what --calibrate, --conformal and
    /// --ood energy and vim are fitted on, is divided so too; --ood mahalanobis and knn keep 95 % of rows judged by other rows.
    /// Intervals take the rows of a group for as many as they are: where they are much alike, wider ones are true
    #[arg(long, value_name = "COLUMN")]
    group_column: Option<String>,
}

/// What heads are judged on.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Judging")]
pub(super) struct JudgingArgs {
    #[command(flatten)]
    pub(super) holdout: HoldoutArgs,
    /// Judge by cross-validation with K folds instead, choices included, and train on every row
    #[arg(long, value_name = "K", value_parser = folds, conflicts_with = "holdout")]
    pub(super) cv: Option<usize>,
    /// Divide into folds so many times, with other draws: figures are means over the repeats, numbers of rows too, and need not be
    /// whole; intervals are those of as many rows as there are
    #[arg(long, value_name = "R", value_parser = count, requires = "cv")]
    repeats: Option<NonZeroUsize>,
}

fn folds(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(folds) if folds >= 2 => Ok(folds),
        _ => Err("it must be a whole number of 2 or more".to_owned()),
    }
}

impl HoldoutArgs {
    /// The columns that are read besides.
    pub(super) fn columns(&self) -> &[String] {
        self.group_column.as_slice()
    }

    /// The group of each row as a number, where they are grouped.
    fn groups(&self, features: &FeatureSet) -> Result<Option<Vec<usize>>> {
        let Some(name) = &self.group_column else { return Ok(None) };
        let values = features.kept.get(name).ok_or_else(|| Error::Usage(format!("there is no column `{name}`")))?;
        if let Some(row) = values.iter().position(Option::is_none) {
            let (id, n, without) =
                (&features.ids[row], values.len(), values.iter().filter(|value| value.is_none()).count());
            return Err(Error::Data(format!(
                "{id} has no `{name}` to group by, as {without} of the {n} labelled rows"
            )));
        }
        let mut numbers: BTreeMap<&str, usize> = values.iter().flatten().map(|value| (value.as_str(), 0)).collect();
        numbers.values_mut().enumerate().for_each(|(i, number)| *number = i);
        Ok(Some(values.iter().flatten().map(|value| numbers[value.as_str()]).collect()))
    }

    /// What is trained on and what is held out.
    pub(super) fn split(&self, context: &Context, features: &FeatureSet) -> Result<Split> {
        if !(0.0..1.0).contains(&self.holdout) {
            return Err(Error::Usage(format!("--holdout must be at least 0 and below 1, got {}", self.holdout)));
        }
        if self.holdout == 0.0 {
            return Ok(Split { train: (0..features.ids.len()).collect(), ..Split::default() });
        }
        let (split, reason) = match self.groups(features)? {
            None => (stratified_split(&features.labels, self.holdout, context.seed)?, "has one sample only"),
            Some(groups) => (
                grouped_split(&features.labels, &groups, self.holdout, context.seed)?,
                "is in none of the groups held out",
            ),
        };
        for class in &split.untested {
            context.console.note(&format!("class {class:?} {reason}: it is trained on, not tested"));
        }
        warn_of_shared(context, features, &split);
        Ok(split)
    }
}

/// Labelled features with the rows to train on first, and what there is to know of them.
pub(super) struct Divided {
    pub(super) features: FeatureSet,
    /// Of the classes.
    pub(super) names: Vec<String>,
    /// The class of each row, as its place in `names`.
    pub(super) classes: Vec<usize>,
    groups: Option<Vec<usize>>,
    pub(super) n_train: usize,
}

impl HoldoutArgs {
    /// Moves the rows of a split to where they belong; the features may be most of the memory there is, so that none is
    /// copied.
    pub(super) fn arrange(&self, features: FeatureSet, split: Split) -> Result<Divided> {
        let names = features.class_names();
        let n_train = split.train.len();
        let features = features.into_rows(&[split.train, split.test].concat());
        let classes = features.class_indices(&names)?;
        let groups = self.groups(&features)?;
        Ok(Divided { features, names, classes, groups, n_train })
    }
}

impl Divided {
    /// The rows to train on.
    pub(super) fn known(&self) -> Known<'_> {
        Known {
            x: self.features.matrix.slice(s![..self.n_train, ..]),
            labels: &self.classes[..self.n_train],
            groups: self.groups.as_deref().map(|groups| &groups[..self.n_train]),
        }
    }

    /// The features and classes of the rows held out.
    pub(super) fn held_out(&self) -> (ArrayView2<'_, f32>, &[usize]) {
        (self.features.matrix.slice(s![self.n_train.., ..]), &self.classes[self.n_train..])
    }
}

/// Says so when rows of a split are the same on both sides.
pub(super) fn warn_of_shared(context: &Context, features: &FeatureSet, split: &Split) {
    let shared = shared_content(&features.contents, split);
    if let Some(&(train, test)) = shared.first() {
        context.console.note(&format!(
            "warning: {} of {} held-out samples have the same content as a training sample ({} is {}): the reported accuracy is too good",
            shared.len(),
            split.test.len(),
            features.ids[test],
            features.ids[train]
        ));
    }
}

/// Says so when rows to cross-validate are the same.
pub(super) fn warn_of_repeated(context: &Context, features: &FeatureSet) {
    let known: HashSet<&String> = features.contents.iter().flatten().collect();
    let repeated = features.contents.iter().flatten().count() - known.len();
    if repeated > 0 {
        context.console.note(&format!(
            "warning: {} of the same content as another: where they fall in two folds the reported accuracy is too good",
            counted(repeated, "sample")
        ));
    }
}

/// Says so when there cannot be so many folds.
pub(super) fn tell_of_fewer_folds(context: &Context, wanted: usize, (most, what): (usize, &str)) {
    if wanted > most {
        context.console.note(&format!("{most} folds, not {wanted}: there are no more {what}"));
    }
}

impl JudgingArgs {
    fn repeats(&self) -> usize {
        self.repeats.map_or(1, NonZeroUsize::get)
    }

    /// The flags that have no meaning where rows may have any number of labels, and whether they are given.
    pub(super) fn of_one_class(&self) -> [(&'static str, bool); 2] {
        [("--group-column", self.holdout.group_column.is_some()), ("--repeats", self.repeats.is_some())]
    }

    /// What rows a report is of, for a person.
    pub(super) fn judged(&self) -> String {
        match (self.cv, self.repeats()) {
            (None, _) => "held-out rows".to_owned(),
            (Some(_), 1) => "cross-validated rows".to_owned(),
            (Some(_), repeats) => format!("cross-validated rows, {repeats} times each"),
        }
    }
}

impl FitArgs {
    /// The report of each row by a head that was fitted, and where asked for chosen, without it.
    pub(super) fn cross_validate(
        &self,
        context: &Context,
        Divided { features, names, classes, groups, .. }: &Divided,
        folds: usize,
    ) -> Result<Report> {
        let judgeable = Judgeable::of(classes, groups.as_deref());
        let x = judgeable.features(features.matrix.view());
        let Judgeable { labels, classes, groups, .. } = judgeable;
        let single = names.len() - classes.len();
        if single > 0 {
            let what = if groups.is_some() { "one group" } else { "one sample" };
            context.console.note(&format!("{} of {what} only: trained on, not tested", counted(single, "class")));
        }
        let most = match &groups {
            Some(groups) => (groups.iter().collect::<HashSet<_>>().len(), "groups"),
            None => (labels.len(), "rows"),
        };
        tell_of_fewer_folds(context, folds, most);
        warn_of_repeated(context, features);
        let names: Vec<String> = classes.iter().map(|&class| names[class].clone()).collect();
        let judge = |known: Known, others: ArrayView2<f32>| {
            // Without a class that lies in one fold the others have new numbers.
            let numbers = || (0..known.classes()).map(|class| class.to_string()).collect();
            let names = if known.classes() == names.len() { names.clone() } else { numbers() };
            self.judge(context, (known, &names), others)
        };
        let division = Division::new(folds, context.seed).repeated(self.judging.repeats()).grouped(groups.as_deref());
        let probabilities = judge_out_of_fold(x.view(), (&labels, classes.len()), &judge, division)?;
        let options = Options { seed: context.seed, ..Options::default() };
        Report::repeated(&labels, probabilities.view(), &names, options)
    }
}
