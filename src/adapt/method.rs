//! All methods, by one name each.

use super::adapted::{Adapted, Serving, Training};
use super::domains::Domains;
use super::label_shift::{LabelShift, PriorEstimator};
use super::linear::Learn;
use super::moments::{Coral, LinearTransport, standardize};
use super::reweight::{Discriminator, Kliep, MeanMatching};
use super::self_training::{LabelSpreading, PseudoLabels};
use super::subspace::{SubspaceAlignment, TransferComponents};
use super::test_time::{Centroids, Prototypes, Templates};
use super::transport::{JointTransport, SinkhornTransport};
use crate::error::Result;
use crate::progress::Progress;

/// A way to adapt, with its settings.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// Do not adapt: the head of the source domain.
    Unadapted,
    /// The source's columns get the target's means and deviations.
    Standardize,
    /// The source gets the target's covariance.
    Coral(Coral),
    /// The source is moved as one Gaussian distribution onto another.
    LinearTransport(LinearTransport),
    /// The source's principal axes are turned into the target's.
    SubspaceAlignment(SubspaceAlignment),
    /// Directions along which the domains do not differ.
    TransferComponents(TransferComponents),
    /// Source rows weigh as a classifier of the domains takes them for the target's.
    Discriminator(Discriminator),
    /// Source rows weigh by the ratio of densities under which the target is likeliest.
    Kliep(Kliep),
    /// Source rows weigh so that the means in a kernel's space agree.
    MeanMatching(MeanMatching),
    /// Source rows are carried to target rows.
    SinkhornTransport(SinkhornTransport),
    /// Labels are carried to target rows of which the head says the same.
    JointTransport(JointTransport),
    /// The classes' shares differ alone.
    LabelShift(LabelShift),
    /// Templates of the classes are supported by target rows of which the head is sure.
    Templates(Templates),
    /// The target's rows nearest to the centroid of what the head takes for a class.
    Centroids(Centroids),
    /// Class means, refined by target rows.
    Prototypes(Prototypes),
    /// Target rows of which the head is sure are learnt from.
    PseudoLabels(PseudoLabels),
    /// Labels spread to the nearest rows.
    LabelSpreading(LabelSpreading),
}

/// What a method changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    /// Nothing.
    None,
    /// Means, deviations and covariances.
    Moments,
    /// The dimensions that are kept.
    Subspace,
    /// The weights of the source rows.
    Reweighting,
    /// Where source rows lie, one by one.
    Transport,
    /// The shares of the classes.
    LabelShift,
    /// The head itself, by the target rows.
    TestTime,
    /// The labels of target rows.
    SelfTraining,
}

impl Group {
    /// Whether its methods move rows, so that a class lies elsewhere after it.
    pub fn moves_rows(self) -> bool {
        matches!(self, Self::Moments | Self::Subspace | Self::Transport)
    }

    /// Whether its methods map all rows alike: adapting back again undoes that, whether it was right or not.
    pub fn is_undone_by_adapting_back(self) -> bool {
        matches!(self, Self::Moments | Self::Subspace)
    }
}

impl Method {
    /// One of each, with default settings, the unadapted first.
    pub fn all() -> Vec<Method> {
        vec![
            Method::Unadapted,
            Method::Standardize,
            Method::Coral(Coral::default()),
            Method::LinearTransport(LinearTransport::default()),
            Method::SubspaceAlignment(SubspaceAlignment::default()),
            Method::TransferComponents(TransferComponents::default()),
            Method::Discriminator(Discriminator::default()),
            Method::Kliep(Kliep::default()),
            Method::MeanMatching(MeanMatching::default()),
            Method::SinkhornTransport(SinkhornTransport::default()),
            Method::JointTransport(JointTransport::default()),
            Method::LabelShift(LabelShift::new(PriorEstimator::BlackBox)),
            Method::LabelShift(LabelShift::new(PriorEstimator::Likelihood)),
            Method::Templates(Templates::default()),
            Method::Centroids(Centroids::default()),
            Method::Prototypes(Prototypes::default()),
            Method::PseudoLabels(PseudoLabels::default()),
            Method::LabelSpreading(LabelSpreading::default()),
        ]
    }

    /// Those of [`Method::all`] that are tried where one is to be chosen: all but joint transport, which fits a head in each of its
    /// rounds and takes as long as the others together.
    pub fn tried() -> Vec<Method> {
        Self::all().into_iter().filter(|method| !matches!(method, Method::JointTransport(_))).collect()
    }

    /// The method of this name, with default settings.
    pub fn named(name: &str) -> Option<Method> {
        Self::all().into_iter().find(|method| method.name() == name)
    }

    /// Its name on the command line and in reports; no two are alike.
    pub fn name(&self) -> &'static str {
        match self {
            Method::Unadapted => "none",
            Method::Standardize => "standardize",
            Method::Coral(_) => "coral",
            Method::LinearTransport(_) => "linear-ot",
            Method::SubspaceAlignment(_) => "subspace",
            Method::TransferComponents(_) => "tca",
            Method::Discriminator(_) => "discriminator",
            Method::Kliep(_) => "kliep",
            Method::MeanMatching(_) => "kmm",
            Method::SinkhornTransport(_) => "sinkhorn",
            Method::JointTransport(_) => "jdot",
            Method::LabelShift(shift) => match shift.estimator {
                PriorEstimator::BlackBox => "bbse",
                PriorEstimator::Likelihood => "em",
            },
            Method::Templates(_) => "t3a",
            Method::Centroids(_) => "centroids",
            Method::Prototypes(_) => "prototypes",
            Method::PseudoLabels(_) => "pseudo-labels",
            Method::LabelSpreading(_) => "label-spreading",
        }
    }

    /// What it changes.
    pub fn group(&self) -> Group {
        match self {
            Method::Unadapted => Group::None,
            Method::Standardize | Method::Coral(_) | Method::LinearTransport(_) => Group::Moments,
            Method::SubspaceAlignment(_) | Method::TransferComponents(_) => Group::Subspace,
            Method::Discriminator(_) | Method::Kliep(_) | Method::MeanMatching(_) => Group::Reweighting,
            Method::SinkhornTransport(_) | Method::JointTransport(_) => Group::Transport,
            Method::LabelShift(_) => Group::LabelShift,
            Method::Templates(_) | Method::Centroids(_) | Method::Prototypes(_) => Group::TestTime,
            Method::PseudoLabels(_) | Method::LabelSpreading(_) => Group::SelfTraining,
        }
    }

    /// Adapts the domains; `learn` fits the heads that the method needs on the way.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::Error::Usage) for a setting out of its range; [`Error::Data`](crate::Error::Data) when the rows are too
    /// few for the method, which is said; those of `learn`; [`Error::Interrupted`](crate::Error::Interrupted).
    pub fn fit(&self, domains: &Domains, learn: &Learn, progress: &dyn Progress) -> Result<Adapted> {
        match self {
            Method::Unadapted => Ok(Adapted::new(Training::Source, Serving::AsIs)),
            Method::Standardize => standardize(domains, progress),
            Method::Coral(coral) => coral.fit(domains, progress),
            Method::LinearTransport(transport) => transport.fit(domains, progress),
            Method::SubspaceAlignment(alignment) => alignment.fit(domains, learn, progress),
            Method::TransferComponents(components) => components.fit(domains, learn, progress),
            Method::Discriminator(discriminator) => discriminator.fit(domains, learn, progress),
            Method::Kliep(kliep) => kliep.fit(domains, progress),
            Method::MeanMatching(matching) => matching.fit(domains, progress),
            Method::SinkhornTransport(transport) => transport.fit(domains, progress),
            Method::JointTransport(transport) => transport.fit(domains, learn, progress),
            Method::LabelShift(shift) => shift.fit(domains, learn, progress),
            Method::Templates(templates) => templates.fit(domains, learn),
            Method::Centroids(centroids) => centroids.fit(domains, learn),
            Method::Prototypes(prototypes) => prototypes.fit(domains, learn),
            Method::PseudoLabels(pseudo) => pseudo.fit(domains, learn, progress),
            Method::LabelSpreading(spreading) => spreading.fit(domains, progress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name() {
        let all = Method::all();
        for method in &all {
            assert_eq!(Method::named(method.name()).as_ref(), Some(method));
        }
        let names: std::collections::BTreeSet<_> = all.iter().map(Method::name).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(Method::named("magic"), None);
    }
}
