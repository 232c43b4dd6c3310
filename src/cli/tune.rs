//! `engraft tune`.

mod outcome;
mod parts;
mod pass;
mod settings;
mod subject;
mod work;

use std::path::{Path, PathBuf};
use std::time::Instant;

use outcome::{Compared, Delivered, Figures, Outcome};
use parts::Parts;
use settings::TuningArgs;
use subject::{Subject, Trainee, names};
use work::{Run, Work, fingerprint};

use super::eval::{Judged, Verdict, judge};
use super::export::{Delivery, Files};
use super::inputs::{self, SourceArgs};
use super::judging::HoldoutArgs;
use super::model_args::ModelArgs;
use super::report::{Besides, Evaluation, check_page, write_page};
use super::train::{METRICS, metrics};
use super::{Context, Status};
use crate::backbone::Backbone;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::eval::PairedComparison;
use crate::export::{Agreement, Extra, TOLERANCE, Verification};
use crate::extract::Feed;
use crate::features::FeatureSet;
use crate::head::HeadFile;
use crate::preprocess::Preprocessing;
use crate::progress::Progress;
use crate::source::Entry;
use crate::tune::{End, Examples, Training, Tuned};

/// Samples that the trunk runs at a time.
const BATCH: usize = 16;
/// Samples that the file is verified with.
const VERIFIED: usize = 64;

/// Fine-tune the last layers of a backbone together with the probe, and write one ONNX file
///
/// A fifth of the rows is held out, and a fifth of the rest tells when to stop. A linear probe is fitted and fused with the backbone;
/// what lies before the cut is run once by ONNX Runtime and kept on disk, and everything behind it, the probe included, is trained
/// from there (AdamW; the weights, averaged over the steps of about an epoch, that do best on the validation rows) and written back,
/// the head divided by the temperature at which the loss of the validation rows is least. Before and after, engraft's own arithmetic is
/// held against ONNX Runtime: above 1e-4 nothing is written. At the end the tuned model and the probe of `train` are compared on the
/// held-out rows.
///
/// Where tuning was no better on the validation rows – a lower loss, and no lower accuracy – the file is the probe's. What is needed
/// to go on lies in MODEL.tuning beside the output until it is finished: the same command goes on. Ctrl-C while it trains keeps the
/// best so far; the same command with --overwrite goes on.
///
/// Examples:
///   engraft tune photos/ --model efficientnet-lite0 -o model.onnx
///   engraft tune reviews.csv --model all-minilm-l6-v2 --label-column stars --blocks 4 -o model.onnx
///   engraft tune photos/ --model efficientnet-lite0 --from block13/add --epochs 20 -o model.onnx
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Tune {
    /// Labelled images or texts
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// The model to write
    #[arg(long, short, value_name = "MODEL.onnx")]
    output: PathBuf,
    /// Replace the model if it is there, what lies beside it, and a tuning of something else that was begun
    #[arg(long)]
    overwrite: bool,
    /// Write one HTML page on the held-out rows, as `engraft eval --report` does, with the curves of the training
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    holdout: HoldoutArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// A tuned tail, back in its model.
struct Trained {
    subject: Subject,
    tuned: Tuned,
    gates: [f64; 2],
}

/// What is tuned, and how.
struct Task {
    subject: Subject,
    trainee: Trainee,
    training: Training,
}

/// The probe and the tuned model on the held-out rows.
struct Judgement {
    probe: Judged,
    tuned: Judged,
    /// The rows as the tuned backbone embeds them.
    features: FeatureSet,
    comparison: PairedComparison,
}

/// A model that may be delivered: what runs the samples, and what says of them which class they are.
struct Candidate {
    backbone: Backbone,
    head: HeadFile,
}

impl Tune {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let started = Instant::now();
        let files = Files::of(&self.output)?;
        files.may_write(&[], self.overwrite)?;
        self.tuning.check()?;
        self.check_inputs()?;
        self.check_report()?;
        let backbone = self.model.resolve(context)?;
        if self.tuning.views() > 1 && matches!(backbone.preprocessing, Preprocessing::Text(_)) {
            return Err(Error::Usage("--views is for images: texts have none".into()));
        }
        let files = files.beside(&backbone);
        files.may_write(&[(&backbone.model, "the backbone")], self.overwrite)?;

        let of = (&self.source, &self.holdout, self.tuning.validation);
        let (parts, rejects) = Parts::of(context, &self.inputs, of, &backbone)?;
        let status = self.source.status(rejects, parts.divided.classes.len());
        let start = parts.starting_probe(context)?;
        let subject = Subject::new(&backbone, &start, &self.tuning.cut_at())?;
        let training = self.tuning.training(parts.divided.features.dimension(), context.seed);
        let trainee = subject.trainee(&training, self.tuning.lora())?;
        let trained = trainee.tail.weights();
        let trained_tensors = trained.len();
        let trained_parameters = trained.iter().map(|weight| weight.dims.iter().product::<usize>()).sum();
        context.console.note(&format!(
            "tuning {} behind {}, with {} left as it is",
            counted(trained_tensors, "tensor"),
            subject.cut,
            backbone.name
        ));
        let task = Task { subject, trainee, training };
        let run = self.identity(&parts, &task)?;
        let work = Work::open(Work::beside(&self.output), &run, self.overwrite)?;
        let Trained { subject, tuned, gates } = self.train(context, (&backbone, &parts), task, (&work, &run))?;

        let (at_start, best) = (tuned.history[0], tuned.history[tuned.best]);
        let better = tuned.best > 0 && best.held_out_accuracy >= at_start.held_out_accuracy;
        let delivered = if better { Delivered::Tuned } else { Delivered::Probe };
        let (apart, head) = subject.apart(&backbone, work.model("tuned"))?;
        let tuned_candidate = Candidate { backbone: apart, head };
        let probe = Candidate { head: parts.whole_probe(context)?, backbone };
        let held_out = parts.held_out();
        let judgement = self.judged(context, (&parts, &held_out), [&probe, &tuned_candidate])?;
        let (candidate, shown) = match delivered {
            Delivered::Probe => (probe, judgement.as_ref().map(|both| (&held_out, &both.probe))),
            Delivered::Tuned => (tuned_candidate, judgement.as_ref().map(|both| (&both.features, &both.tuned))),
        };
        let head = candidate.head.clone();
        let verdict = shown.map(|(_, judged)| &judged.verdict);
        let (size, agreement) = self.deliver(context, &files, (&parts, candidate), verdict)?;
        if let (Some(path), Some((features, judged))) = (&self.report, shown) {
            let (model, inputs, source) = (&self.output, &self.inputs, &self.source);
            let evaluation = Evaluation { model, inputs, source, head: &head, features, judged, left_out: 0, rejects };
            let besides = Besides { samples: &self.inputs, curve: Vec::new(), training: &tuned.history };
            write_page(context, path, &evaluation, besides)?;
        }
        let Files { model, card, tokenizer, .. } = files;
        let outcome = Outcome {
            model,
            card,
            tokenizer,
            size,
            delivered,
            trained_tensors,
            trained_parameters,
            from: subject.cut,
            classes: parts.divided.names.len(),
            n_train: parts.split.train.len(),
            n_validation: parts.split.test.len(),
            n_held_out: held_out.len(),
            gate_before: gates[0],
            gate_after: gates[1],
            history: tuned.history,
            best_epoch: tuned.best,
            end: tuned.end,
            compared: judgement.map(|Judgement { probe, tuned, comparison, .. }| Compared {
                probe: Figures::from(&probe.verdict.report),
                tuned: Figures::from(&tuned.verdict.report),
                comparison,
            }),
            agreement,
            seconds: started.elapsed().as_secs_f64(),
        };
        context.result(&outcome, || outcome.text())?;
        if outcome.end == End::Interrupted {
            context
                .console
                .say("stopped early: the best so far was kept, and the same command with --overwrite goes on");
            return Err(Error::Interrupted);
        }
        work.remove()?;
        Ok(status)
    }

    /// Fails where the page could not be written, or would have nothing to tell.
    fn check_report(&self) -> Result<()> {
        match &self.report {
            Some(_) if self.holdout.holdout == 0.0 => {
                Err(Error::Usage("--report tells of held-out rows: --holdout must be above 0".into()))
            }
            Some(path) => check_page(path, self.overwrite),
            None => Ok(()),
        }
    }

    /// Samples are read more than once, and features are not what they were made from.
    fn check_inputs(&self) -> Result<()> {
        for input in &self.inputs {
            if input == Path::new("-") {
                return Err(Error::Usage(
                    "tune reads its inputs more than once: give files, not standard input".into(),
                ));
            }
            if inputs::are_features(input)? {
                let input = input.display();
                return Err(Error::Usage(format!(
                    "{input} holds features: give the images or texts themselves to tune"
                )));
            }
        }
        crate::source::exist(&self.inputs)
    }

    /// What this tuning is of.
    fn identity(&self, parts: &Parts, Task { subject, trainee, training }: &Task) -> Result<Run> {
        let features = &parts.divided.features;
        let made = features.provenance.as_ref().map(|provenance| provenance.fingerprint());
        let of_trunk = (made, subject.tail.boundary(), self.tuning.kept(), BATCH, parts.divided.n_train);
        let views = (self.tuning.views() > 1).then_some((self.tuning.views(), training.seed, &parts.split.train));
        let activations = fingerprint(&(of_trunk, &features.ids, &features.contents, views))?;
        let of_training = (&activations, names(&trainee.tail), self.tuning.strengths(), training);
        let rows = (&parts.divided.names, &parts.divided.classes, &parts.split.train, &parts.split.test);
        Ok(Run { training: fingerprint(&(of_training, rows))?, activations })
    }

    /// Runs the trunk, trains the tail and puts its weights back, with both gates.
    fn train(
        &self,
        context: &Context,
        (backbone, parts): (&Backbone, &Parts),
        Task { mut subject, trainee, training }: Task,
        (work, run): (&Work, &Run),
    ) -> Result<Trained> {
        let console = &context.console;
        let samples = parts.samples(0..parts.divided.n_train)?;
        let inputs = subject.inputs();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let feed = Feed::new(backbone, &inputs, &samples, BATCH, console)?;
        let feed = feed.with_views(&parts.split.train, self.tuning.views(), training.seed)?;
        let first = feed.batches().first().ok_or_else(|| Error::Data("there are no rows to tune on".into()))?;
        let gate = work.model("gate");
        let (before, boundary) = subject.gate(context, (&feed, first), &gate)?;
        console.note(&format!("engraft and ONNX Runtime differ by {before:.1e} of the greatest logit"));
        let store = self.tuning.store();
        let activations = store.fill(context, &subject, (&feed, &boundary), (work, &run.activations))?;

        // Activations lie in the order of the batches.
        let order: Vec<usize> = feed.batches().iter().flat_map(|batch| batch.samples.clone()).collect();
        let mut views = vec![Vec::new(); samples.len()];
        order.iter().enumerate().for_each(|(at, &row)| views[row].push(at));
        let labels: Vec<usize> = order.iter().map(|&row| parts.divided.classes[row]).collect();
        let train: Vec<Vec<usize>> = parts.split.train.iter().map(|&row| views[row].clone()).collect();
        let held_out: Vec<usize> = parts.split.test.iter().flat_map(|&row| views[row].first().copied()).collect();
        let classes = parts.divided.names.len();
        let examples =
            Examples { activations: &activations, labels: &labels, classes, train: &train, held_out: &held_out };
        let program = trainee.tail.program(&names(&trainee.tail))?;
        let paces = self.tuning.paces(&trainee);
        let checkpoint = work.checkpoint();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(context.threads.get()).build();
        let pool = pool.map_err(|e| Error::Data(format!("cannot start {} threads: {e}", context.threads)))?;
        let fit = || training.fit(program, paces, examples, Some((&checkpoint, &run.training)), console);
        let mut tuned = pool.install(fit)?;
        if tuned.end == End::Interrupted {
            console.go_on();
            console.say("interrupted: keeping the best so far; another Ctrl-C gives up");
        }
        tuned.cool(&trainee.head());
        subject.take(&trainee, &tuned.program)?;
        let (after, _) = subject.gate(context, (&feed, first), &gate)?;
        Ok(Trained { subject, tuned, gates: [before, after] })
    }

    /// What the probe and the tuned model are worth on the rows that are held out, and which is better.
    fn judged(
        &self,
        context: &Context,
        (parts, held_out): (&Parts, &FeatureSet),
        [probe, tuned]: [&Candidate; 2],
    ) -> Result<Option<Judgement>> {
        if held_out.is_empty() {
            return Ok(None);
        }
        let n_train = parts.divided.n_train;
        context.console.note("judging the probe and the tuned model on the held-out rows");
        let features = self.embed(context, parts, n_train..n_train + held_out.len(), &tuned.backbone)?;
        let judged = |head: &HeadFile, features: &FeatureSet| {
            let scored = head.score(features.matrix.view())?;
            let classes = head.head.classify(features.matrix.view())?.to_vec();
            Ok::<_, Error>((judge(head, features, scored, context.seed)?, classes))
        };
        let (of_probe, first) = judged(&probe.head, held_out)?;
        let (of_tuned, second) = judged(&tuned.head, &features)?;
        let comparison = PairedComparison::new(&of_probe.truth, &second, &first)?;
        Ok(Some(Judgement { probe: of_probe, tuned: of_tuned, features, comparison }))
    }

    /// Embeddings of rows, each of which must have one.
    fn embed(
        &self,
        context: &Context,
        parts: &Parts,
        rows: std::ops::Range<usize>,
        backbone: &Backbone,
    ) -> Result<FeatureSet> {
        let ids = &parts.divided.features.ids[rows.clone()];
        let entries = parts.samples(rows)?.into_iter().map(Entry::Sample).collect();
        let features = inputs::embed_entries(context, &self.source, backbone, entries)?;
        if features.ids != ids {
            let reason = "other samples could be embedded than before: were they changed meanwhile?";
            return Err(Error::Data(reason.into()));
        }
        Ok(features)
    }

    /// Writes the file as `export` does, verified on rows that were held out, or else on rows that were learned from.
    fn deliver(
        &self,
        context: &Context,
        files: &Files,
        (parts, candidate): (&Parts, Candidate),
        verdict: Option<&Verdict>,
    ) -> Result<(u64, Agreement)> {
        let Candidate { backbone, mut head } = candidate;
        let (n, n_train) = (parts.divided.classes.len(), parts.divided.n_train);
        let first = if n_train < n { n_train } else { 0 };
        let rows = first..n.min(first + VERIFIED);
        let features = self.embed(context, parts, rows.clone(), &backbone)?;
        head.provenance = features.provenance.clone();
        if let Some(verdict) = verdict {
            head.attach(METRICS, &metrics("held-out rows", verdict.report.n, verdict.figures()))?;
        }
        let expected = head.score(features.matrix.view())?;
        let (delivery, _) = Delivery::fuse(context, &self.source, files, (&backbone, &head), Extra::Nothing)?;
        let entries = parts.samples(rows)?.into_iter().map(Entry::Sample).collect();
        let (exported, agreement) = delivery.verify(entries, &features.ids, &expected, TOLERANCE)?;
        let verification = Verification { samples: "of your samples", agreement, pixels: None };
        let size = delivery.commit(&exported, &verification, |_| String::new())?;
        Ok((size, verification.agreement))
    }
}
