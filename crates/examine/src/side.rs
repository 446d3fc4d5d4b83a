//! One side of a comparison, opened: who it is, what it tells, and how it wants to be asked.

use std::{
    collections::BTreeSet,
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use lorica_endpoint::{Endpoint, EndpointConfig, Interface};
use lorica_identity::{
    Answer, Challenge, Description, Question, Respondent, RespondentError, RespondentFault, Tier, Token,
};
use lorica_model::Progress;

use crate::{
    local::{LocalModel, LocalOptions},
    recording::{Recording, RecordingError},
    source::Source,
};

/// How sides are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideOptions {
    /// The most memory that local models may use, in bytes.
    pub max_memory: Option<u64>,
    /// Threads of local models; all there are where it is not set.
    pub threads: Option<NonZeroUsize>,
    /// How endpoints are asked.
    pub endpoint: EndpointOptions,
    /// Whether a local model gives its memory back after each round: the limit is for all sides together, and one that
    /// is loaded leaves no room for another.
    pub gives_back: bool,
    /// Seeds sampled texts. The two sides of a comparison need different ones.
    pub seed: u64,
}

/// How an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointOptions {
    /// The model's name there.
    pub model: Option<String>,
    /// Which interface.
    pub interface: Interface,
    /// The environment variable with the key.
    pub key_variable: Option<String>,
    /// The longest time for one attempt.
    pub timeout: Duration,
    /// Attempts for one request.
    pub attempts: NonZeroU32,
    /// Requests under way at once.
    pub parallel: NonZeroUsize,
    /// The only certificates to trust.
    pub certificates: Option<PathBuf>,
}

/// Why a side was not opened.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// It cannot be reached or run.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// An endpoint without a model's name.
    #[error("{0}: which of its models? name it with {1}")]
    NoModelName(String, &'static str),
}

/// One side, opened.
pub enum Side {
    /// Local weights.
    Local(Box<LocalSide>),
    /// An endpoint.
    Endpoint(Box<Endpoint>),
    /// Answers of another day.
    Recording(Box<Recording>),
}

impl Side {
    /// Opens a side; progress is in bytes of a local model's files. `name_option` is the option that names an
    /// endpoint's model, for the message.
    ///
    /// # Errors
    /// Files or an endpoint that cannot be used; a changed recording.
    pub fn open(
        source: &Source,
        options: &SideOptions,
        name_option: &'static str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, SideError> {
        match source {
            Source::Folder(folder) => Ok(Self::Local(Box::new(LocalSide::open(folder, options, progress)?))),
            Source::Recording(path) => Ok(Self::Recording(Box::new(Recording::open(path)?))),
            Source::Endpoint(url) => {
                let EndpointOptions {
                    model,
                    interface,
                    key_variable,
                    timeout,
                    attempts,
                    parallel,
                    certificates,
                } = options.endpoint.clone();
                let model = model.ok_or_else(|| SideError::NoModelName(url.clone(), name_option))?;
                let mut config = EndpointConfig::new(url.clone(), model);
                config.interface = interface;
                config.key_variable = key_variable;
                config.request_timeout = timeout;
                config.retries.attempts = attempts;
                config.parallel = parallel;
                config.certificates = certificates;
                config.seed = options.seed;
                Ok(Self::Endpoint(Box::new(Endpoint::connect(config)?)))
            }
        }
    }

    /// A local model that stays loaded.
    ///
    /// # Errors
    /// Files that cannot be used.
    pub fn loaded(folder: &Path, seed: u64) -> Result<Self, RespondentError> {
        let options = LocalOptions { seed, ..LocalOptions::default() };
        let model = LocalModel::open(folder, options.clone())?;
        let description = model.description().clone();
        let folder = folder.to_owned();
        let side = LocalSide { folder, options, gives_back: false, description, model: Some(model) };
        Ok(Self::Local(Box::new(side)))
    }

    /// The most probable tokens that it tells at each position, where it does not tell them all.
    pub fn top(&self) -> Option<usize> {
        match self {
            Self::Local(_) => None,
            Self::Endpoint(endpoint) => Some(endpoint.top()).filter(|top| *top > 0),
            Self::Recording(recording) => recording.header.top.map(|top| top as usize),
        }
    }

    /// Whether its answers are behind a chat template.
    pub fn is_chat(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Endpoint(endpoint) => endpoint.is_chat(),
            Self::Recording(recording) => recording.header.chat,
        }
    }

    /// The tier of what it can be asked.
    pub fn tier(&self) -> Tier {
        self.description().tier
    }

    /// Challenges to ask it at a time: each question to an endpoint has its price, and a model's file is read once for
    /// as many as there are.
    pub fn batch(&self, families: usize) -> usize {
        match self {
            Self::Endpoint(_) => families,
            Self::Local(_) | Self::Recording(_) => usize::MAX,
        }
    }

    /// How often a request was sent to it again.
    pub fn retries(&self) -> u64 {
        match self {
            Self::Endpoint(endpoint) => endpoint.retries(),
            Self::Local(_) | Self::Recording(_) => 0,
        }
    }

    fn respondent(&mut self) -> &mut dyn Respondent {
        match self {
            Self::Local(model) => &mut **model,
            Self::Endpoint(endpoint) => &mut **endpoint,
            Self::Recording(recording) => &mut **recording,
        }
    }
}

impl Respondent for Side {
    fn description(&self) -> &Description {
        match self {
            Self::Local(model) => model.description(),
            Self::Endpoint(endpoint) => endpoint.description(),
            Self::Recording(recording) => recording.description(),
        }
    }

    fn answer(
        &mut self,
        question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError> {
        self.respondent().answer(question, challenges, done)
    }
}

/// A model in a folder, loaded when it is asked.
pub struct LocalSide {
    folder: PathBuf,
    options: LocalOptions,
    gives_back: bool,
    description: Description,
    model: Option<LocalModel>,
}

impl LocalSide {
    fn open(
        folder: &Path,
        options: &SideOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, RespondentError> {
        let gives_back = options.gives_back;
        let options = LocalOptions {
            max_memory: options.max_memory,
            threads: options.threads,
            seed: options.seed,
            ..LocalOptions::default()
        };
        let model = LocalModel::open_watched(folder, options.clone(), progress)?;
        let description = model.description().clone();
        let mut side =
            Self { folder: folder.to_owned(), options, gives_back, description, model: Some(model) };
        side.give_back();
        Ok(side)
    }

    fn model(&mut self) -> Result<&mut LocalModel, RespondentError> {
        let model = match self.model.take() {
            Some(model) => model,
            None => {
                let model = LocalModel::open(&self.folder, self.options.clone())?;
                if *model.description() != self.description {
                    return Err(RespondentError {
                        side: self.description.name.clone(),
                        fault: RespondentFault::ModelChanged,
                        detail: "its files are not those it was described by at the start".to_owned(),
                    });
                }
                model
            }
        };
        Ok(self.model.insert(model))
    }

    fn give_back(&mut self) {
        // A model that streams by keeps nothing that would be in the way.
        if self.gives_back && self.model.as_ref().is_some_and(|model| !model.is_streamed()) {
            self.model = None;
        }
    }

    /// Texts cut into tokens by content.
    ///
    /// # Errors
    /// A model that cannot be loaded, a text that its tokenizer refuses.
    pub fn cut(&mut self, texts: &[&str]) -> Result<Vec<Vec<Token>>, RespondentError> {
        let model = self.model()?;
        let cut = texts.iter().map(|text| model.encode_content(text)).collect();
        self.give_back();
        cut
    }

    /// The contents of its vocabulary.
    ///
    /// # Errors
    /// A model that cannot be loaded.
    pub fn vocabulary(&mut self) -> Result<BTreeSet<Token>, RespondentError> {
        let tokens = self.model()?.vocabulary().iter().flatten().cloned().collect();
        self.give_back();
        Ok(tokens)
    }
}

impl Respondent for LocalSide {
    fn description(&self) -> &Description {
        &self.description
    }

    fn answer(
        &mut self,
        question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError> {
        let answers = self.model()?.answer(question, challenges, done);
        self.give_back();
        answers
    }
}
