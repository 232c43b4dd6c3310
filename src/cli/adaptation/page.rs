//! `train --target --report`: the adaptation as a page.

use std::path::PathBuf;

use ndarray::ArrayView2;

use super::super::Context;
use super::super::eval::Verdict;
use super::super::inputs;
use super::super::report::command;
use super::super::shift;
use super::{AdaptArgs, Adaptation};
use crate::adapt::{Adapted, Domains, Linear, Method, together};
use crate::error::{Error, Result};
use crate::eval::argmax;
use crate::features::Provenance;
use crate::file;
use crate::progress::Progress;
use crate::report::{AdaptationPage, DomainMap, EmbeddingMap, PageTable, render_adaptation};

/// Both domains on a plane.
pub(in super::super) struct Maps {
    before: DomainMap,
    after: Option<DomainMap>,
}

impl Maps {
    /// Before and after an adaptation that `served` came of.
    pub(super) fn of(context: &Context, domains: &Domains, adapted: &Adapted, served: &Linear) -> Result<Self> {
        let progress = &context.console;
        progress.begin("drawing the maps", None);
        let says = argmax(served.logits(domains.target()).view());
        let classes: Vec<usize> = domains.labels().iter().copied().chain(says).collect();
        let map = |source: ArrayView2<f32>, target: ArrayView2<f32>| {
            let map = EmbeddingMap::new(together(source, target)?.0.view(), context.seed)?;
            Ok::<_, Error>(DomainMap { map, sources: source.nrows(), classes: classes.clone() })
        };
        let before = map(domains.source(), domains.target())?;
        let after = adapted.moves().then(|| {
            let source = adapted.source(domains, progress)?;
            map(source.view(), adapted.serving.features(domains.target(), progress)?.view())
        });
        let maps = Self { before, after: after.transpose()? };
        progress.end();
        Ok(maps)
    }
}

impl AdaptArgs {
    /// Writes the page if one was asked for. `verdict` is of the target rows that have labels.
    pub(in super::super) fn write_page(
        &self,
        context: &Context,
        (sources, provenance): (&[PathBuf], Option<&Provenance>),
        (adaptation, maps): (&Adaptation, Option<Maps>),
        verdict: Option<&Verdict>,
    ) -> Result<()> {
        let (Some(path), Some(Maps { before, after })) = (&self.report, maps) else { return Ok(()) };
        let classes = shift::rows(&adaptation.shift, &adaptation.labels);
        let (sources, targets) = (inputs::names(sources), inputs::names(&self.target));
        let mut facts = vec![("source", sources.clone()), ("target", targets.clone())];
        facts.extend(provenance.map(|made| ("backbone", made.backbone.clone())));
        facts.push(("seed", context.seed.to_string()));
        facts.push(("adapted by", concat!("engraft ", env!("CARGO_PKG_VERSION")).to_owned()));
        let page = AdaptationPage {
            title: format!("{sources} adapted to {targets}"),
            command: command::line(),
            outcome: adaptation.outcome(verdict),
            shift: shift::lines(&adaptation.shift),
            classes: PageTable { header: shift::HEADER.to_vec(), rows: classes.iter().map(shift::cells).collect() },
            candidates: adaptation.choice.as_ref().map(|tried| {
                let (header, rows) = tried.cells(adaptation.method);
                PageTable { header, rows }
            }),
            before,
            after,
            labels: adaptation.labels.clone(),
            facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        file::write_atomic(path, render_adaptation(&page)?.as_bytes())
    }
}

impl Adaptation {
    /// What was done and what it brought.
    fn outcome(&self, verdict: Option<&Verdict>) -> Vec<String> {
        let mut lines = vec![self.done()];
        lines.extend(verdict.map(|verdict| {
            let (report, [low, high]) = (&verdict.report, verdict.report.accuracy_interval.map(|x| 100.0 * x));
            let (n, accuracy) = (report.n, 100.0 * report.accuracy);
            format!("accuracy {accuracy:.1} % on {n} labelled target rows, 95 % interval {low:.1} to {high:.1} %")
        }));
        let source_only = self.choice.iter().flat_map(|tried| &tried.candidates).find_map(|tried| {
            (tried.candidate.method == Method::Unadapted.name()).then_some(tried.target_accuracy).flatten()
        });
        lines.extend(source_only.map(|accuracy| format!("without adaptation {:.1} %", 100.0 * accuracy)));
        lines
    }
}
