//! `lorica run`: a base model with a served adapter, and the record of the session.
//!
//! | module | what it holds |
//! |---|---|
//! | [`input`] | the text as tokens, and how it is cut, checked before anything long begins |
//! | [`remote`] | the hook that sends activations and combines deltas |
//! | [`report`] | what was measured, and `run.json` |

mod input;
mod remote;
mod report;

use std::{path::Path, time::Instant};

use lorica_adapter::{AdapterError, BaseMismatch, BaseModule};
use lorica_model::{BaseModel, Evaluation, Hook, ModelFolder, NoHook, Tokenizer};
use lorica_serve::{ClientSession, SessionPlan};
use lorica_transcript::{TranscriptHeader, writer::DEFAULT_WINDOW_BYTES};
use lorica_verify::{manifest::Manifest, verdict::MeasuredLoss};

use crate::{
    args::RunArgs,
    artefacts::{CheckedAdapter, NewFolder, PublicArtefacts, RUN_FILE, TRANSCRIPT_FOLDER, write_bytes},
    base,
    error::CliError,
    progress::Unit,
    report::{Console, Document},
};

use input::Input;
use remote::{Mode, RemoteAdapter, Streams};
pub(crate) use report::{FloatCheck, RunRecord, RunReport};
use report::{Generated, Measured, Seconds, Traffic};

pub(crate) fn run(args: &RunArgs, console: &Console) -> Result<RunReport, CliError> {
    let started = Instant::now();
    let mut folder = NewFolder::create(&args.out)?;
    let model_folder = ModelFolder::open(&args.base)?;
    let tokenizer = Tokenizer::load(&args.base)?;
    tokenizer.check(model_folder.config())?;
    let input = Input::read(args, &tokenizer, model_folder.config())?;

    let client = args.patience.connect(&args.contributor)?;
    let artefacts = PublicArtefacts {
        manifest: client.manifest()?,
        commitments: client.commitments()?,
        registration: client.registration()?,
    };
    let adapter = artefacts.check(Some(&args.pin))?;
    let identity = base::identity(&model_folder, console)?;
    base::require(&adapter.manifest().base, &identity, &args.base)?;
    let model = base::load(&model_folder, console)?;
    require_modules(adapter.manifest(), &base::modules(model.modules()))?;

    let base_started = Instant::now();
    let base = evaluate(&model, &input, input.all(), &mut NoHook, console, "base model alone")?;
    let base_seconds = base_started.elapsed().as_secs_f64();

    artefacts.write(&args.out)?;
    let streams = Streams::new(&model.modules(), adapter.manifest());
    let session = client.open(SessionPlan {
        manifest: adapter.manifest(),
        pin: args.pin,
        streams: streams.modules(),
        transcript: args.out.join(TRANSCRIPT_FOLDER),
        window_bytes: DEFAULT_WINDOW_BYTES,
    })?;
    let mut held = Held {
        args,
        console,
        model: &model,
        tokenizer: &tokenizer,
        input: &input,
        adapter: &adapter,
        session,
    };
    let measured = held.measure(&streams);
    let calls = held.session.calls();
    if calls > 0 {
        folder.keep();
    }
    let interrupted = |source: CliError| match calls {
        0 => source,
        calls => CliError::Interrupted { path: args.out.clone(), calls, source: Box::new(source) },
    };
    let Adapted { evaluation, float_check, generated, seconds } = measured.map_err(interrupted)?;
    let session = held.session.session();
    let (_, header) = held.session.finish().map_err(|error| interrupted(error.into()))?;

    let report = RunReport {
        contributor: args.contributor.clone(),
        pin: args.pin,
        session,
        combine: args.combine,
        measured_loss: MeasuredLoss { base: base.loss, adapted: evaluation.loss, tokens: base.predicted },
        windows: base.windows,
        modules: adapter.manifest().modules.len(),
        traffic: traffic(&header),
        float_check,
        generated,
        seconds: Seconds { base: base_seconds, adapted: seconds, all: started.elapsed().as_secs_f64() },
        folder: args.out.display().to_string(),
    };
    write_bytes(&args.out.join(RUN_FILE), &Document::new(&report).to_json()?)?;
    folder.keep();
    Ok(report)
}

/// An open session with everything that is run in it.
struct Held<'a> {
    args: &'a RunArgs,
    console: &'a Console,
    model: &'a BaseModel,
    tokenizer: &'a Tokenizer,
    input: &'a Input,
    adapter: &'a CheckedAdapter,
    session: ClientSession,
}

/// What was measured with the adapter.
struct Adapted {
    evaluation: Evaluation,
    float_check: FloatCheck,
    generated: Option<Generated>,
    seconds: f64,
}

impl Held<'_> {
    fn measure(&mut self, streams: &Streams) -> Result<Adapted, CliError> {
        let input = self.input;
        let started = Instant::now();
        let (checked, rest) = input.split(self.args.float_check);
        // Each checked row is asked for twice: beside the exact delta, and in a pass on float deltas alone.
        let float_rows = 2 * checked.len() as u64 * streams.modules().len() as u64;
        let available = self.session.float_rows_left();
        let compare = !checked.is_empty() && float_rows <= available;
        let mut parts = Vec::new();
        let mut float_check = FloatCheck::not_done(self.args.float_check, float_rows, available);
        if compare {
            let mut hook = self.hook(streams, Mode::Compared);
            let fixed = hook.evaluate(checked, "with the adapter, compared with floats")?;
            let deviation = hook.deviation();
            let mut hook = self.hook(streams, Mode::Float);
            let float = hook.evaluate(checked, "with float deltas")?;
            float_check = FloatCheck::Done(Measured::new(checked.len(), &deviation, &fixed, &float));
            parts.push(fixed);
        }
        let rest = if compare { rest } else { input.all() };
        if rest.len() >= 2 {
            parts.push(self.hook(streams, Mode::Fixed).evaluate(rest, "with the adapter")?);
        }
        let evaluation = joined(&parts);
        let generated = self.generate(streams)?;
        Ok(Adapted { evaluation, float_check, generated, seconds: started.elapsed().as_secs_f64() })
    }

    fn hook<'h>(&'h mut self, streams: &'h Streams, mode: Mode) -> Run<'h> {
        let hook =
            RemoteAdapter::new(&mut self.session, self.adapter.manifest(), streams, self.args.combine, mode);
        Run { hook, model: self.model, input: self.input, console: self.console }
    }

    fn generate(&mut self, streams: &Streams) -> Result<Option<Generated>, CliError> {
        let Some(prompt) = self.input.prompt() else { return Ok(None) };
        let (model, tokenizer, count) = (self.model, self.tokenizer, self.input.generate);
        let base = model.generate(prompt, count, &mut NoHook, &mut |_| ())?;
        let mut run = self.hook(streams, Mode::Fixed);
        let adapted = model.generate(prompt, count, &mut run.hook, &mut |_| ())?;
        Ok(Some(Generated {
            prompt: tokenizer.decode(prompt)?,
            base: tokenizer.decode(&base.tokens)?,
            adapted: tokenizer.decode(&adapted.tokens)?,
        }))
    }
}

/// One pass over text with the adapter.
struct Run<'a> {
    hook: RemoteAdapter<'a>,
    model: &'a BaseModel,
    input: &'a Input,
    console: &'a Console,
}

impl Run<'_> {
    fn evaluate(&mut self, tokens: &[u32], label: &'static str) -> Result<Evaluation, CliError> {
        evaluate(self.model, self.input, tokens, &mut self.hook, self.console, label)
    }

    fn deviation(self) -> remote::Deviation {
        self.hook.deviation
    }
}

fn evaluate(
    model: &BaseModel,
    input: &Input,
    tokens: &[u32],
    hook: &mut dyn Hook,
    console: &Console,
    label: &'static str,
) -> Result<Evaluation, CliError> {
    let progress = console.progress(label, Unit::Items);
    Ok(model.evaluate(tokens, input.options, hook, &mut |state| progress.set(state.done, state.total))?)
}

/// The evaluation of a text whose parts, cut between windows, were evaluated one after the other.
fn joined(parts: &[Evaluation]) -> Evaluation {
    let predicted: u64 = parts.iter().map(|part| part.predicted).sum();
    let sum: f64 = parts.iter().map(|part| part.loss * part.predicted as f64).sum();
    let loss = sum / predicted as f64;
    let windows = parts.iter().map(|part| part.windows).sum();
    Evaluation { loss, perplexity: loss.exp(), predicted, windows }
}

/// Every module of the manifest must be a linear layer of the base model.
fn require_modules(manifest: &Manifest, base: &[BaseModule]) -> Result<(), CliError> {
    let mismatches: Vec<BaseMismatch> = manifest
        .modules
        .iter()
        .filter_map(|module| match base.iter().find(|layer| layer.name == module.name) {
            None => Some(BaseMismatch::Missing { module: module.name.clone() }),
            Some(layer) => {
                let same = (layer.inputs, layer.outputs) == (module.inputs, module.outputs);
                (!same).then(|| BaseMismatch::Widths {
                    module: module.name.clone(),
                    base_inputs: layer.inputs,
                    base_outputs: layer.outputs,
                    inputs: module.inputs,
                    outputs: module.outputs,
                })
            }
        })
        .collect();
    if mismatches.is_empty() { Ok(()) } else { Err(AdapterError::Base { mismatches }.into()) }
}

fn traffic(header: &TranscriptHeader) -> Traffic {
    let outputs = |name| header.modules.iter().find(|module| &module.name == name).map_or(0, |m| m.outputs);
    let mut traffic = Traffic { calls: header.calls, ..Traffic::default() };
    for stream in &header.streams {
        let outputs: usize = stream.modules.iter().map(outputs).sum();
        traffic.token_rows += stream.rows;
        traffic.delta_rows += stream.rows * stream.modules.len() as u64;
        traffic.activation_bytes += stream.rows * (2 * stream.width as u64 + 2);
        traffic.delta_bytes += stream.rows * 8 * outputs as u64;
    }
    traffic
}

/// Reads the record of a run.
pub(crate) fn read_record(folder: &Path) -> Result<RunRecord, CliError> {
    RunRecord::read(&folder.join(RUN_FILE))
}
