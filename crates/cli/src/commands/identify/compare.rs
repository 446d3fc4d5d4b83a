//! The comparison: sides opened, agreed on what is compared, the key committed to, asked, closed.

use std::path::Path;

use lorica_evidence::{BundleSigner, Digest, Header, NewBundle, SigningKeyFile};
use lorica_examine::{
    agreement::{self, Agreement},
    comparison::{Compared, Interrupted, Parties, Started},
    recording::Use,
    run::Stage,
    side::Side,
    source::Source,
};
use lorica_identity::{Bank, ChallengeKey, Respondent as _};

use super::{
    resolve::{self, PlanChoice, SideChoice},
    structure,
    verdict::VerdictReport,
};
use crate::{args::identify::CompareArgs, error::CliError, progress::Unit, report::Console};

/// Prefixes of each prompt that are compared.
pub(super) const POSITIONS: usize = lorica_identity::bank::DEFAULT_POSITIONS;

pub(super) fn run(args: &CompareArgs, console: &Console) -> Result<VerdictReport, CliError> {
    let sources = Sources::parse(args)?;
    let bank = resolve::bank(&args.families)?;
    // What can be known to be impossible is said before models are read.
    PlanChoice { scale: lorica_identity::ScoreScale::Distance, ..choice(args) }.plan(&bank)?;
    free_folder(args)?;
    let mut reference = side(args, args.model.as_deref(), "--model").open(&sources.reference, console)?;
    let candidate_model = args.candidate_model.as_deref().or(args.model.as_deref());
    let mut candidates = Vec::new();
    for source in &sources.candidates {
        candidates.push(side(args, candidate_model, "--candidate-model").open(source, console)?);
    }
    let agreed = agreement::agree(&mut reference, &mut candidates, &bank, resolve::wish(args.tier))?;
    for reason in &agreed.reasons {
        console.note(&format!("compared by text: {reason}"));
    }
    let plan = PlanChoice { scale: agreed.scale(), ..choice(args) }.plan(&bank)?;
    let (key, run_id) = match &reference {
        Side::Recording(recording) => {
            let header = &recording.header;
            check_recording(recording, &bank, plan.maximum())?;
            let key = ChallengeKey::from_hex(&header.key).map_err(|error| CliError::Content {
                path: args.reference.clone().into(),
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
        structure: structure::checks(&sources, &bank, &agreed, console)?,
        calibration: None,
    };
    note_uses(args, &sources, &mut reference, console)?;
    let signer = signer(args.signing_key.as_deref())?;
    let started = match args.resume {
        true => match Started::resume(&args.out, &header, signer)? {
            Interrupted::Open(started) => *started,
            Interrupted::Finished(finished) => {
                let compared = Compared { header, finished: *finished, asked: Vec::new() };
                return Ok(VerdictReport::new(compared, &agreed, &args.out));
            }
        },
        false => Started::begin(NewBundle { folder: &args.out, header, bank: &bank, key: &key, signer })?,
    };
    let compared = asked(started, args, &bank, &agreed, (&mut reference, &mut candidates), console)?;
    Ok(VerdictReport::new(compared, &agreed, &args.out))
}

/// What was named, parsed.
pub(super) struct Sources {
    pub(super) reference: Source,
    pub(super) candidates: Vec<Source>,
}

impl Sources {
    fn parse(args: &CompareArgs) -> Result<Self, CliError> {
        let reference = Source::parse(&args.reference)?;
        let candidates =
            args.candidates.iter().map(|text| resolve::model_source(text)).collect::<Result<_, _>>()?;
        Ok(Self { reference, candidates })
    }
}

fn choice(args: &CompareArgs) -> PlanChoice {
    PlanChoice {
        mode: args.mode,
        scale: lorica_identity::ScoreScale::Distance,
        candidates: args.candidates.len(),
        budget: args.budget,
        rare_rate: args.rare_rate,
    }
}

fn side<'a>(args: &'a CompareArgs, model: Option<&'a str>, name_option: &'static str) -> SideChoice<'a> {
    SideChoice { max_memory: args.max_memory, endpoint: &args.endpoint, model, name_option }
}

/// Better before the models are read than behind it.
fn free_folder(args: &CompareArgs) -> Result<(), CliError> {
    let occupied = std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !args.resume {
        let problem = "is not empty; an interrupted run goes on with --resume";
        return Err(CliError::Occupied { path: args.out.clone(), problem });
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
    args: &CompareArgs,
    sources: &Sources,
    reference: &mut Side,
    console: &Console,
) -> Result<(), CliError> {
    let Side::Recording(recording) = reference else { return Ok(()) };
    if args.resume {
        return Ok(());
    }
    let endpoint = |source: &&Source| matches!(source, Source::Endpoint(_));
    if let (Some(used), Some(source), false) =
        (recording.uses.first(), sources.candidates.iter().find(endpoint), args.reuse_recording)
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
        None => Ok(BundleSigner::from_seed(&*zeroize::Zeroizing::new(resolve::random()?))),
    }
}

fn asked(
    started: Started,
    args: &CompareArgs,
    bank: &Bank,
    agreed: &Agreement,
    (reference, candidates): (&mut Side, &mut Vec<Side>),
    console: &Console,
) -> Result<Compared, CliError> {
    let plan = &started.header().plan;
    let total = u64::from(plan.maximum()) * (1 + u64::from(plan.candidates().get()));
    let progress = console.progress("asking", Unit::Items);
    let mut answered = vec![0_u64; 1 + candidates.len()];
    let parties =
        Parties { reference, candidates, bank, top: agreed.top, streamed: args.max_memory.is_some() };
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
