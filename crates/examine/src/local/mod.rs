//! A model in a folder, asked with its weights at hand.
//!
//! Distributions are those after each prefix's text encoded alone, with the tokens that the tokenizer's
//! post-processor adds (a beginning of text), because servers add them too. Tokens are told by content.
//!
//! Under a memory limit that the weights do not fit into, the model streams by, layer by layer, once for each batch of
//! challenges: the larger the batch, the less is read.

mod memory;
mod sample;
mod targets;
mod told;

use std::{collections::BTreeMap, num::NonZeroUsize, path::Path};

use lorica_identity::{
    Answer, Challenge, Description, Distribution, Question, Respondent, RespondentError, RespondentFault,
    Tier, Token,
};
use lorica_model::{
    BaseModel, Content, MemoryBudget, ModelConfig, ModelError, ModelFolder, PassReport, Progress, Rounding,
    RowRequest, StreamedModel, Tokenizer,
};

pub use memory::{PeakMemory, peak_memory};

use sample::Sampling;
use targets::{Sequence, TargetError};
use told::{Row, RowError, Vocabulary};

/// Room for activations beside weights that are in memory.
const ACTIVATIONS: u64 = 640 << 20;

/// What the weights are turned into before they are run, as another server might run them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightType {
    /// Nothing: they are run as they are stored.
    #[default]
    AsStored,
    /// Each becomes the nearest bfloat16.
    RoundBf16,
    /// Each becomes the nearest half-precision number.
    RoundF16,
}

impl WeightType {
    fn name(self) -> &'static str {
        match self {
            Self::AsStored => "as stored",
            Self::RoundBf16 => "rounded to bf16",
            Self::RoundF16 => "rounded to f16",
        }
    }
}

impl From<WeightType> for Rounding {
    fn from(weights: WeightType) -> Self {
        match weights {
            WeightType::AsStored => Self::None,
            WeightType::RoundBf16 => Self::Bf16,
            WeightType::RoundF16 => Self::F16,
        }
    }
}

/// How a local model is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOptions {
    /// The most memory the process may hold while it answers, in bytes; no limit where it is not set.
    pub max_memory: Option<u64>,
    /// What the weights are turned into.
    pub weights: WeightType,
    /// Challenges that go through the model together.
    pub batch: NonZeroUsize,
    /// Threads; all there are where it is not set.
    pub threads: Option<NonZeroUsize>,
    /// Seed of sampled texts. The two sides of a comparison need different ones: samples of one model with one seed
    /// are the same texts, not independent ones.
    pub seed: u64,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            max_memory: None,
            weights: WeightType::AsStored,
            batch: NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN),
            threads: None,
            seed: 0,
        }
    }
}

/// A model whose weights are at hand.
pub struct LocalModel {
    description: Description,
    options: LocalOptions,
    engine: Engine,
    config: ModelConfig,
    pass: Option<PassReport>,
    tokenizer: Tokenizer,
    contents: Vec<Option<Content>>,
    vocabulary: Vocabulary,
    pool: Option<rayon::ThreadPool>,
}

/// Where the weights are.
enum Engine {
    Loaded(BaseModel),
    Streamed { model: StreamedModel, limit: u64 },
}

impl LocalModel {
    /// Opens a model's folder. Its files are digested, which reads them once.
    ///
    /// # Errors
    /// Files that are missing or not understood; a memory limit that is too small, naming what is needed.
    pub fn open(folder: &Path, options: LocalOptions) -> Result<Self, RespondentError> {
        Self::open_watched(folder, options, &mut |_| ())
    }

    /// As [`LocalModel::open`]; progress is in bytes, for digesting and then for loading.
    ///
    /// # Errors
    /// As [`LocalModel::open`].
    pub fn open_watched(
        folder: &Path,
        options: LocalOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, RespondentError> {
        let name = folder.display().to_string();
        Self::open_named(&name, folder, options, progress).map_err(|error| unusable(&name, &error))
    }

    fn open_named(
        name: &str,
        folder: &Path,
        options: LocalOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        let files = ModelFolder::open(folder)?;
        let tokenizer = Tokenizer::load(folder)?;
        tokenizer.check(files.config())?;
        let contents = tokenizer.contents()?;
        let vocabulary = Vocabulary::new(contents.clone(), files.config().vocabulary);
        let identity = files.identity(progress)?;
        let pool = match options.threads {
            None => None,
            Some(threads) => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads.get())
                    .build()
                    .map_err(|error| OpenError::Threads(error.to_string()))?,
            ),
        };
        let details: BTreeMap<String, String> = [
            ("family", identity.family.clone()),
            ("config-digest", identity.config.to_string()),
            ("weights-digest", identity.weights.to_string()),
            ("tokenizer-digest", tokenizer.digest().to_string()),
            ("parameters", files.parameters().to_string()),
            ("stored-as", files.stored_types().join(", ")),
            ("run-as", options.weights.name().to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        let description = Description { name: name.to_owned(), tier: Tier::LocalWeights, details };
        let engine = Engine::open(&files, &options, pool.as_ref(), progress)?;
        let config = files.config().clone();
        Ok(Self { description, options, engine, config, pass: None, tokenizer, contents, vocabulary, pool })
    }

    /// Whether the model streams by, because it does not fit into the memory allowed.
    pub fn is_streamed(&self) -> bool {
        matches!(self.engine, Engine::Streamed { .. })
    }

    /// What the last batch of distributions took, where the model streams by.
    pub fn last_pass(&self) -> Option<PassReport> {
        self.pass
    }

    /// A text's tokens by content, as the model is given them: with those the tokenizer adds.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub fn encode_content(&self, text: &str) -> Result<Vec<Token>, RespondentError> {
        let tokens = self.tokenizer.encode_as_served(text).map_err(|error| self.unusable(&error))?;
        let content = |id: u32| self.vocabulary.contents().get(id as usize).cloned().flatten();
        Ok(tokens.into_iter().filter_map(content).collect())
    }

    /// What each token adds to a text, by token number; nothing where the model has a number that the tokenizer
    /// does not use.
    pub fn vocabulary(&self) -> &[Option<Token>] {
        self.vocabulary.contents()
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> RespondentError {
        unusable(&self.description.name, error)
    }

    fn fault(&self, fault: RespondentFault, detail: impl Into<String>) -> RespondentError {
        RespondentError { side: self.description.name.clone(), fault, detail: detail.into() }
    }

    fn target_fault(&self, error: &TargetError) -> RespondentError {
        let fault = match error {
            TargetError::Tokenizer(_) => RespondentFault::Unusable,
            _ => RespondentFault::Unaskable,
        };
        self.fault(fault, error.to_string())
    }

    fn distributions(
        &self,
        challenges: &[Challenge],
    ) -> Result<(Vec<Answer>, Option<PassReport>), RespondentError> {
        let context = self.config.context;
        let sequences = targets::sequences(&self.tokenizer, context, challenges)
            .map_err(|error| self.target_fault(&error))?;
        let requests: Vec<RowRequest<'_>> = sequences.iter().map(Sequence::request).collect();
        let mut rows: Vec<Vec<Row>> = requests
            .iter()
            .map(|request| request.positions.iter().map(|_| Row::default()).collect())
            .collect();
        let pass = self
            .engine
            .rows(&requests, &mut |block| {
                if let Some(row) = rows.get_mut(block.request).and_then(|rows| rows.get_mut(block.place)) {
                    row.add(&self.vocabulary, block.logits);
                }
            })
            .map_err(|error| self.unusable(&error))?;
        let mut answers: Vec<BTreeMap<usize, Distribution>> = vec![BTreeMap::new(); challenges.len()];
        for (sequence, rows) in sequences.iter().zip(rows) {
            for (&(challenge, order), row) in sequence.answers.iter().zip(rows) {
                let distribution = row
                    .finish(&self.vocabulary)
                    .map_err(|error| self.row_fault(challenges, challenge, &error))?;
                if let Some(answer) = answers.get_mut(challenge) {
                    answer.insert(order, distribution);
                }
            }
        }
        let answers =
            answers.into_iter().map(|answer| Answer::Distributions(answer.into_values().collect())).collect();
        Ok((answers, pass))
    }

    fn row_fault(&self, challenges: &[Challenge], place: usize, error: &RowError) -> RespondentError {
        let index = challenges.get(place).map_or(0, |challenge| challenge.index);
        self.fault(RespondentFault::NotAProbability, format!("challenge {index}: {error}"))
    }

    fn texts(&self, challenge: &Challenge, sampling: Sampling) -> Result<Answer, RespondentError> {
        let Engine::Loaded(model) = &self.engine else {
            let detail = "sampling reads all weights for each token, and they do not fit into the memory allowed: \
                          allow more, or ask for distributions";
            return Err(self.fault(RespondentFault::Unsupported, detail));
        };
        let index = challenge.index;
        let prompt =
            self.tokenizer.encode_as_served(&challenge.prompt).map_err(|error| self.unusable(&error))?;
        let context = self.config.context;
        if prompt.is_empty() || prompt.len() >= context {
            let detail = format!(
                "challenge {index}: its prompt has {} tokens, expected 1 to {}, less than the context",
                prompt.len(),
                context - 1
            );
            return Err(self.fault(RespondentFault::Unaskable, detail));
        }
        let texts = sample::continuations(model, &self.contents, (challenge, &prompt), sampling).map_err(
            |error| match error {
                ModelError::LogitsNotFinite { .. } => {
                    self.fault(RespondentFault::NotAProbability, format!("challenge {index}: {error}"))
                }
                other => self.unusable(&other),
            },
        )?;
        Ok(Answer::Texts(texts))
    }

    fn answer_batch(
        &self,
        question: Question,
        challenges: &[Challenge],
    ) -> Result<(Vec<Answer>, Option<PassReport>), RespondentError> {
        match question {
            Question::Distributions => self.distributions(challenges),
            Question::Texts { samples, tokens, temperature } => {
                if !(temperature.is_finite() && temperature >= 0.0) {
                    let detail =
                        format!("the temperature is {temperature}: expected a finite number, at least 0");
                    return Err(self.fault(RespondentFault::Unsupported, detail));
                }
                let (samples, tokens) = (samples.get() as usize, tokens.get() as usize);
                let sampling = Sampling { samples, tokens, temperature, seed: self.options.seed };
                let answers: Result<Vec<Answer>, _> =
                    challenges.iter().map(|challenge| self.texts(challenge, sampling)).collect();
                Ok((answers?, None))
            }
        }
    }
}

impl Respondent for LocalModel {
    fn description(&self) -> &Description {
        &self.description
    }

    fn answer(
        &mut self,
        question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError> {
        // Tensor work runs on the pool's threads; `done` stays on this one.
        let mut answers = Vec::with_capacity(challenges.len());
        for batch in challenges.chunks(self.options.batch.get()) {
            let (part, pass) = match &self.pool {
                None => self.answer_batch(question, batch),
                Some(pool) => pool.install(|| self.answer_batch(question, batch)),
            }?;
            answers.extend(part);
            self.pass = pass.or(self.pass);
            done(answers.len());
        }
        Ok(answers)
    }
}

impl Engine {
    fn open(
        files: &ModelFolder,
        options: &LocalOptions,
        pool: Option<&rayon::ThreadPool>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, OpenError> {
        let rounding = options.weights.into();
        let Some(limit) = options.max_memory else {
            return Ok(Self::Loaded(files.load_rounded(rounding, progress)?));
        };
        let left = budget(limit)?;
        // In memory they are single precision.
        if 4 * files.parameters() + ACTIVATIONS <= left.bytes() {
            return Ok(Self::Loaded(files.load_rounded(rounding, progress)?));
        }
        warm(pool);
        Ok(Self::Streamed { model: StreamedModel::open(files, rounding, budget(limit)?)?, limit })
    }

    fn rows(
        &self,
        requests: &[RowRequest<'_>],
        visit: &mut dyn FnMut(lorica_model::LogitBlock<'_>),
    ) -> Result<Option<PassReport>, OpenError> {
        match self {
            Self::Loaded(model) => {
                model.rows(requests, visit)?;
                Ok(None)
            }
            // What the process holds now may be more than when the model was opened.
            Self::Streamed { model, limit } => {
                Ok(Some(model.rows(requests, budget(*limit)?, visit, &mut |_| ())?))
            }
        }
    }
}

fn budget(limit: u64) -> Result<MemoryBudget, OpenError> {
    memory::headroom(limit).map(MemoryBudget::new).ok_or(OpenError::NoAccounts)
}

/// Starts the threads that a pass uses and lets each allocate once, so that what they map for themselves counts as
/// held when the room for a pass is measured.
fn warm(pool: Option<&rayon::ThreadPool>) {
    let touch = |_: rayon::BroadcastContext<'_>| drop(std::hint::black_box(vec![0u8; 64]));
    match pool {
        Some(pool) => drop(pool.broadcast(touch)),
        None => drop(rayon::broadcast(touch)),
    }
    // The reader of weights takes over what this thread leaves. Where it cannot be started the pass will say so.
    let _ = std::thread::Builder::new()
        .spawn(|| drop(std::hint::black_box(vec![0u8; 64])))
        .map(std::thread::JoinHandle::join);
}

/// Why a folder was not opened or its model not run.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(
        "a memory limit needs /proc/self/status and /proc/self/limits, which are not there or do not say"
    )]
    NoAccounts,
    #[error("no threads: {0}")]
    Threads(String),
}

fn unusable(side: &str, error: &dyn std::fmt::Display) -> RespondentError {
    RespondentError { side: side.to_owned(), fault: RespondentFault::Unusable, detail: error.to_string() }
}
