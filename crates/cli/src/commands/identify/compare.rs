//! The comparison: sides opened, agreed on what is compared, the key committed to, asked, closed.

use std::path::Path;

use lorica_evidence::{BundleSigner, Digest, Header, NewBundle, SigningKeyFile};
use lorica_examine::{
    agreement,
    comparison::{Compared, Interrupted, Parties, Started},
    recording::Use,
    run::Stage,
    side::Side,
    source::Source,
};
use lorica_identity::{Bank, ChallengeKey, Respondent as _};

use super::{
    calibrate,
    resolve::{self, PlanChoice, SideChoice},
    structure,
    verdict::VerdictReport,
};
use crate::{
    args::identify::{CompareArgs, SidesArgs},
    error::CliError,
    progress::Unit,
    report::Console,
};

/// Prefixes of each prompt that are compared.
pub(super) const POSITIONS: usize = lorica_identity::bank::DEFAULT_POSITIONS;

/// The comparison as it was typed.
pub(super) struct Request<'a> {
    pub(super) sides: &'a SidesArgs,
    pub(super) options: &'a CompareArgs,
}

pub(super) fn run(args: &Request<'_>, console: &Console) -> Result<VerdictReport, CliError> {
    let sources = Sources::parse(args)?;
    let bank = resolve::bank(&args.options.families)?;
    // What can be known to be impossible is said before models are read.
    PlanChoice { scale: lorica_identity::ScoreScale::Distance, ..choice(args) }.plan(&bank)?;
    free_folder(args)?;
    let mut reference =
        side(args, &sources, args.options.model.as_deref(), "--model").open(&sources.reference, console)?;
    let candidate_model = args.options.candidate_model.as_deref().or(args.options.model.as_deref());
    let mut candidates = Vec::new();
    for source in &sources.candidates {
        candidates.push(side(args, &sources, candidate_model, "--candidate-model").open(source, console)?);
    }
    let agreed = agreement::agree(&mut reference, &mut candidates, &bank, resolve::wish(args.options.tier))?;
    for reason in &agreed.reasons {
        console.note(&format!("compared by text: {reason}"));
    }
    let plan = PlanChoice { scale: agreed.scale(), ..choice(args) }.plan(&bank)?;
    let (key, run_id) = match &reference {
        Side::Recording(recording) => {
            let header = &recording.header;
            check_recording(recording, &bank, plan.maximum())?;
            let key = ChallengeKey::from_hex(&header.key).map_err(|error| CliError::Content {
                path: args.sides.reference.clone().into(),
                reason: error.to_string(),
            })?;
            (key, header.run_id.clone())
        }
        Side::Local(_) | Side::Endpoint(_) => (resolve::challenge_key()?, resolve::run_id()?),
    };
    let positions = match &reference {
        Side::Recording(recording) => recording.header.positions,
        Side::Local(_) | Side::Endpoint(_) => POSITIONS as u32,
    };
    let calibration = args
        .options
        .calibration
        .as_deref()
        .map(|path| calibrate::read(path, reference.description(), agreed.question))
        .transpose()?;
    let (checks, structures) = structure::checks(&sources, &bank, &agreed, console)?;
    let header = Header {
        format: lorica_evidence::record::FORMAT.to_owned(),
        run_id,
        created: resolve::now(),
        code_version: lorica_evidence::CODE_VERSION.to_owned(),
        question: agreed.question,
        positions,
        plan,
        key_commitment: Digest::new(key.commitment()),
        bank_digest: Digest::new(bank.digest()),
        reference: reference.description().clone(),
        candidates: candidates.iter().map(|side| side.description().clone()).collect(),
        environment: resolve::environment(),
        structure: checks,
        calibration,
    };
    note_uses(args, &sources, &mut reference, console)?;
    let signer = signer(args.options.signing_key.as_deref())?;
    let started = match args.options.resume {
        true => match Started::resume(&args.sides.out, &header, signer)? {
            Interrupted::Open(started) => *started,
            Interrupted::Finished(finished) => {
                let compared = Compared { header, finished: *finished, asked: Vec::new() };
                return Ok(VerdictReport::new(compared, &agreed, &args.sides.out));
            }
        },
        false => {
            Started::begin(NewBundle { folder: &args.sides.out, header, bank: &bank, key: &key, signer })?
        }
    };
    let parties = Parties {
        reference: &mut reference,
        candidates: &mut candidates,
        bank: &bank,
        top: agreed.top,
        streamed: args.options.max_memory.is_some(),
        structures: &structures,
    };
    Ok(VerdictReport::new(asked(started, parties, console)?, &agreed, &args.sides.out))
}

/// What was named, parsed.
pub(super) struct Sources {
    pub(super) reference: Source,
    pub(super) candidates: Vec<Source>,
}

impl Sources {
    fn parse(args: &Request<'_>) -> Result<Self, CliError> {
        let reference = Source::parse(&args.sides.reference)?;
        let candidates =
            args.sides.candidates.iter().map(|text| resolve::model_source(text)).collect::<Result<_, _>>()?;
        Ok(Self { reference, candidates })
    }
}

fn choice(args: &Request<'_>) -> PlanChoice {
    PlanChoice {
        mode: args.options.mode,
        scale: lorica_identity::ScoreScale::Distance,
        candidates: args.sides.candidates.len(),
        budget: args.options.budget,
        rare_rate: args.options.rare_rate,
    }
}

fn side<'a>(
    args: &Request<'a>,
    sources: &Sources,
    model: Option<&'a str>,
    name_option: &'static str,
) -> SideChoice<'a> {
    let all = sources.candidates.iter().chain([&sources.reference]);
    let folders = all.filter(|source| source.folder().is_some()).count();
    SideChoice {
        max_memory: args.options.max_memory,
        folders,
        endpoint: &args.options.endpoint,
        model,
        name_option,
    }
}

/// Better before the models are read than behind it.
fn free_folder(args: &Request<'_>) -> Result<(), CliError> {
    let occupied = std::fs::read_dir(&args.sides.out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !args.options.resume {
        let problem = "is not empty; an interrupted run goes on with --resume";
        return Err(CliError::Occupied { path: args.sides.out.clone(), problem });
    }
    Ok(())
}

/// A recording of other families, or of too few challenges.
fn check_recording(
    recording: &lorica_examine::recording::Recording,
    bank: &Bank,
    maximum: u32,
) -> Result<(), CliError> {
    let header = &recording.header;
    if header.bank_digest != Digest::new(bank.digest()).to_string() {
        return Err(CliError::Usage(
            "the recording was made with other families of prompts: name the same folder with --families"
                .to_owned(),
        ));
    }
    if header.challenges < maximum {
        return Err(CliError::Usage(format!(
            "the recording holds {} challenges, this plan asks up to {maximum}: add --budget {}, or record again with \
             the same --mode",
            header.challenges, header.challenges
        )));
    }
    Ok(())
}

/// Notes in a recording who gets to see its challenges, and refuses an endpoint that others have shown them to.
fn note_uses(
    args: &Request<'_>,
    sources: &Sources,
    reference: &mut Side,
    console: &Console,
) -> Result<(), CliError> {
    let Side::Recording(recording) = reference else { return Ok(()) };
    if args.options.resume {
        return Ok(());
    }
    let endpoint = |source: &&Source| matches!(source, Source::Endpoint(_));
    if let (Some(used), Some(source), false) =
        (recording.uses.first(), sources.candidates.iter().find(endpoint), args.options.reuse_recording)
    {
        return Err(CliError::Usage(format!(
            "the recording was compared with {} at {}, and the evidence of that reveals its challenges: {source} could \
             have prepared for them; record the reference again, or add --reuse-recording if you know better",
            used.candidate, used.when
        )));
    }
    for source in &sources.candidates {
        let seen_by_others = endpoint(&source);
        recording.note_use(Use { when: resolve::now(), candidate: source.to_string(), seen_by_others })?;
    }
    console.note("the recording's challenges are used now: the evidence reveals their key when the run ends");
    Ok(())
}

fn signer(path: Option<&Path>) -> Result<BundleSigner, CliError> {
    match path {
        Some(path) => Ok(SigningKeyFile::load_or_create(path)?),
        None => Ok(BundleSigner::from_seed(&zeroize::Zeroizing::new(resolve::random()?))),
    }
}

fn asked(started: Started, parties: Parties<'_>, console: &Console) -> Result<Compared, CliError> {
    let plan = &started.header().plan;
    let total = u64::from(plan.maximum()) * (1 + u64::from(plan.candidates().get()));
    let progress = console.progress("asking", Unit::Items);
    let mut answered = vec![0_u64; 1 + parties.candidates.len()];
    Ok(started.run(parties, &mut |stage| {
        let (place, count) = match stage {
            Stage::Reference(count) => (0, count),
            Stage::Candidate { candidate, answered } => (1 + candidate, answered),
        };
        if let Some(answered) = answered.get_mut(place) {
            *answered = count as u64;
        }
        progress.set(answered.iter().sum(), total);
    })?)
}
