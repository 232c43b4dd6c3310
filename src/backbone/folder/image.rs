//! The preprocessing of an image encoder: flags first, then the model's files, checked against the graph.

use std::path::{Path, PathBuf};

use super::companions::Companions;
use super::overrides::{Overrides, Resize};
use super::processor::Processor;
use super::timm::{TimmConfig, Trained};
use crate::error::{Error, Result};
use crate::preprocess::{Exif, ImageSpec, Interpolation, Step, Transparency};

/// Beyond it a size is a mistake or an attack: a batch would not fit in memory.
const LARGEST_EDGE: u32 = 8192;

/// `(scale·x − mean) / std`, x in 0..=255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Values {
    pub(super) scale: f32,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

/// Which file speaks of the preprocessing. Each question's error is the reason there is no answer, and names the flag.
enum Source {
    Processor(PathBuf, Box<Processor>),
    Timm(PathBuf, Box<Trained>),
    Nothing,
}

impl Source {
    fn find(companions: &Companions) -> Result<Self> {
        let processor = companions.json::<Processor>("preprocessor_config.json")?;
        if let Some((path, processor)) = processor.filter(|(_, p)| !p.defers_to_timm()) {
            if processor.flips_channels() {
                return Err(Error::malformed(path, "the model takes BGR (do_flip_channel_order); engraft feeds RGB"));
            }
            return Ok(Self::Processor(path, Box::new(processor)));
        }
        let timm = companions.json::<TimmConfig>("config.json")?;
        Ok(match timm.and_then(|(path, config)| Some((path, config.pretrained_cfg?))) {
            Some((path, trained)) => Self::Timm(path, Box::new(trained)),
            None => Self::Nothing,
        })
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Processor(path, _) | Self::Timm(path, _) => Some(path),
            Self::Nothing => None,
        }
    }

    fn steps(&self, size: Option<[u32; 2]>) -> Result<Vec<Step>, String> {
        match self {
            Self::Processor(_, processor) => processor.steps(size),
            Self::Timm(_, trained) => trained.steps(size),
            Self::Nothing => Err("--resize".into()),
        }
    }

    fn interpolation(&self) -> Result<Interpolation, String> {
        match self {
            Self::Processor(_, processor) => processor.interpolation(),
            Self::Timm(_, trained) => trained.interpolation(),
            Self::Nothing => Err("--interpolation".into()),
        }
    }

    fn values(&self) -> Result<Values, String> {
        match self {
            Self::Processor(_, processor) => processor.values(),
            Self::Timm(_, trained) => Ok(trained.values()),
            Self::Nothing => Err("--mean and --std".into()),
        }
    }
}

/// The preprocessing and, where the file tells it, the licence. `graph` is the height and width that the graph fixes.
pub(super) fn spec(
    companions: &Companions,
    graph: Option<[u32; 2]>,
    overrides: &Overrides,
    onnx: &Path,
) -> Result<(ImageSpec, Option<String>)> {
    let source = Source::find(companions)?;
    let answers = (
        steps(&source, graph, overrides),
        overrides.interpolation.map_or_else(|| source.interpolation(), Ok),
        values(&source, overrides),
    );
    let (steps, interpolation, values) = match answers {
        (Ok(steps), Ok(interpolation), Ok(values)) => (steps, interpolation, values),
        (steps, interpolation, values) => {
            let reasons = [steps.err(), interpolation.err(), values.err()];
            let reasons: Vec<String> = reasons.into_iter().flatten().collect();
            return Err(match source.path() {
                Some(path) => Error::malformed(path, reasons.join("; ")),
                None => Error::model(
                    onnx.display(),
                    format!(
                        "no preprocessor_config.json, and no config.json with a pretrained_cfg, says how its images are \
                         prepared; give {}",
                        reasons.join(", ")
                    ),
                ),
            });
        }
    };
    check(&steps, &values, graph).map_err(|reason| Error::model(onnx.display(), reason))?;
    let Values { scale, mean, std } = values;
    let licence = match source {
        Source::Timm(_, trained) => trained.licence(),
        _ => None,
    };
    Ok((
        ImageSpec {
            steps,
            interpolation,
            scale,
            mean,
            std,
            exif: Exif::default(),
            transparency: Transparency::default(),
        },
        licence,
    ))
}

fn steps(source: &Source, graph: Option<[u32; 2]>, overrides: &Overrides) -> Result<Vec<Step>, String> {
    let Some(resize) = overrides.resize else { return source.steps(overrides.image_size) };
    let stated = || source.steps(None).ok().as_deref().and_then(final_size);
    let size = overrides.image_size.or(graph).or_else(stated).ok_or("--image-size")?;
    match resize {
        Resize::ShortestEdge(edge) if edge < size[0].max(size[1]) => {
            Err(format!("--resize {edge} is less than the input size {}x{}; images would be padded", size[0], size[1]))
        }
        _ => Ok(resize.steps(size)),
    }
}

/// Mean and std are told for values in 0..=1, as they are published; so the scale is known with them.
fn values(source: &Source, overrides: &Overrides) -> Result<Values, String> {
    match (overrides.mean, overrides.std) {
        (Some(mean), Some(std)) => Ok(Values { scale: 1.0 / 255.0, mean, std }),
        (None, None) => source.values(),
        (Some(_), None) => Err("--mean is given without --std".into()),
        (None, Some(_)) => Err("--std is given without --mean".into()),
    }
}

/// The size that the last step leads to.
pub(super) fn final_size(steps: &[Step]) -> Option<[u32; 2]> {
    match steps.last()? {
        Step::Resize(size) | Step::CenterCrop(size) => Some(*size),
        Step::CentralSquare { size, .. } => Some([*size; 2]),
        Step::ShortestEdge(_) => None,
    }
}

fn check(steps: &[Step], values: &Values, graph: Option<[u32; 2]>) -> Result<(), String> {
    let in_range = |edge: &u32| (1..=LARGEST_EDGE).contains(edge);
    let sane = steps.iter().all(|step| match step {
        Step::Resize(size) | Step::CenterCrop(size) => size.iter().all(in_range),
        Step::ShortestEdge(edge) | Step::CentralSquare { size: edge, .. } => in_range(edge),
    });
    if !sane {
        return Err(format!("an edge of its preprocessing is not within 1..={LARGEST_EDGE} pixels: {steps:?}"));
    }
    let size = final_size(steps).ok_or("its preprocessing leads to no fixed size; give --image-size and --resize")?;
    if let Some(fixed) = graph.filter(|fixed| *fixed != size) {
        return Err(format!(
            "the graph takes images of {}x{}, but its preprocessing gives {}x{}; give --image-size and --resize",
            fixed[0], fixed[1], size[0], size[1]
        ));
    }
    let finite = values.scale.is_finite() && values.mean.iter().chain(&values.std).all(|v| v.is_finite());
    if !finite || values.scale == 0.0 || values.std.contains(&0.0) {
        return Err(format!("its mean, std or scale is zero or not a number ({values:?}); give --mean and --std"));
    }
    Ok(())
}
