//! The client: puts challenges to an OpenAI-compatible endpoint and reads what it says, by rule and never by guess.
//!
//! # What is asked
//! | tier | distributions at the K positions of a challenge |
//! |---|---|
//! | prompt log-probabilities (`echo: true` or vLLM's `prompt_logprobs`) | one request; one more for each position that lies inside a token, and one if the answer ends at the prompt's end |
//! | top log-probabilities, prompts in a list | one request with the K prefixes |
//! | top log-probabilities | K requests, a prefix each, one generated token each |
//! | text only | none: [`RespondentFault::Unsupported`] |
//!
//! Texts are asked for with `n` where the endpoint obeys it, otherwise by repeated requests with different seeds.
//! Through the chat interface a prefix is a user's message and the endpoint puts its chat template around it, so such
//! distributions are comparable with those of a chat endpoint with the same template alone; the description says so.
//!
//! # What is found
//! Which tier an endpoint has is found out by asking, with a harmless prompt. Prompt log-probabilities are used only
//! where they agree with what the endpoint says about the prefixes by themselves: some servers tell them shifted by
//! one token. A weaker tier than could be is never silent: the description holds the reason.
//!
//! # Rules
//! | what comes | what it is |
//! |---|---|
//! | log-probabilities that are absent though the tier promised them, all 0, or one at or below -9999 | [`RespondentFault::MissingLogProbability`] |
//! | null, NaN, infinite, above 0, or a sum above 1 | [`RespondentFault::NotAProbability`] |
//! | another model's name than in the first answer | [`RespondentFault::ModelChanged`] |
//! | status 429, 503, 529 until no patience is left | [`RespondentFault::RateLimited`] |
//! | status 401, 403 | [`RespondentFault::Unauthorized`] |
//! | `finish_reason: content_filter`, a message's `refusal`, an error whose code names a content filter or policy | [`Answer::Refused`] |
//! | a prompt beyond the context | [`RespondentFault::Unaskable`] |
//! | anything else | [`RespondentFault::Malformed`], with what was found |
//!
//! The key never leaves this module but in the `Authorization` header: an answer that holds it is refused, and it is
//! taken out of what errors quote.

mod ask;
mod config;
mod http;
mod key;
mod logprobs;
mod probe;
mod wire;

use std::{
    panic,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use lorica_identity::{
    Answer, Challenge, Description, Question, Respondent, RespondentError, RespondentFault,
};

use ask::Asker;
pub use config::{EndpointConfig, Interface, Retries};

/// A connected endpoint, whose tier is known.
pub struct Endpoint {
    asker: Asker,
    description: Description,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Endpoint").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Connects, and finds out what the endpoint tells: 2 to 12 requests with a harmless prompt.
    ///
    /// # Errors
    /// An address that is none, a key that is not there or would travel unencrypted ([`RespondentFault::Unusable`]); an
    /// endpoint that cannot be reached, does not let us in, or answers what makes no sense.
    pub fn connect(config: EndpointConfig) -> Result<Self, RespondentError> {
        let (asker, description) = probe::connect(config)?;
        Ok(Self { asker, description })
    }

    /// The number of most probable tokens that it tells at each position; 0 where it tells none. A side that tells more
    /// must be cut to the same number before the two are compared.
    pub fn top(&self) -> usize {
        self.asker.top()
    }

    /// How often a request was sent again since the connection was made, the connection's own requests included.
    pub fn retries(&self) -> u64 {
        self.asker.transport().sent_again()
    }

    /// Where the endpoint's tokens begin in a text, in bytes, ascending; [`None`] where it does not echo a prompt's
    /// tokens, or declines this one. The first token's beginning is left out: some forms do not tell it.
    ///
    /// # Errors
    /// An endpoint that fails.
    pub fn cut(&self, text: &str) -> Result<Option<Vec<usize>>, RespondentError> {
        self.asker.cut(text)
    }

    /// Whether its distributions are behind a chat template.
    pub fn is_chat(&self) -> bool {
        self.asker.is_chat()
    }
}

impl Respondent for Endpoint {
    fn description(&self) -> &Description {
        &self.description
    }

    fn answer(
        &mut self,
        question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError> {
        let asker = &self.asker;
        asker.can_answer(question)?;
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let (sender, receiver) = mpsc::channel();
        let mut answers: Vec<Option<Answer>> = Vec::new();
        answers.resize_with(challenges.len(), || None);
        let mut failure: Option<(usize, RespondentError)> = None;
        thread::scope(|scope| {
            let workers: Vec<_> = (0..asker.parallel().min(challenges.len()))
                .map(|_| {
                    let sender = sender.clone();
                    let (next, stop) = (&next, &stop);
                    scope.spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some(challenge) = challenges.get(index) else { break };
                            let answer = asker.answer(question, challenge);
                            if sender.send((index, answer)).is_err() {
                                break;
                            }
                        }
                    })
                })
                .collect();
            drop(sender);
            let mut count = 0;
            for (index, answer) in receiver {
                match answer {
                    Ok(answer) => {
                        answers[index] = Some(answer);
                        count += 1;
                        done(count);
                    }
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        // Of several, the one of the first challenge: not a matter of chance.
                        if failure.as_ref().is_none_or(|(first, _)| index < *first) {
                            failure = Some((index, error));
                        }
                    }
                }
            }
            for worker in workers {
                if let Err(cause) = worker.join() {
                    panic::resume_unwind(cause);
                }
            }
        });
        if let Some((_, error)) = failure {
            return Err(error);
        }
        answers
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| asker.fault(RespondentFault::Malformed, "a challenge was left without an answer"))
    }
}
