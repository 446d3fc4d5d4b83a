//! Is it the same model? Challenges, scores and a sequential decision, without any input or output.
//!
//! `Challenge -> Answer -> Score -> Decision`: what is asked, what each side said, how far apart that is in `[0, 1]`,
//! and whether it is SAME, DIFFERENT or still UNDECIDED, with error rates that hold whenever the run stops. The
//! statement that is proven about the decision, with its assumptions and sources, is in `docs/spec/identity.md`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`token`], [`distribution`] | tokens by content; next-token distributions and their total variation |
//! | [`answer`] | what a model said to a challenge, and by which access |
//! | [`bank`] | families of prompts as data, and the key that draws challenges from them |
//! | [`score`], [`text`] | the distance of two answers: distributions, or samples of texts |
//! | [`respondent`] | who can be asked: the one trait that files and network implement elsewhere |
//!
//! This crate depends on no other of the workspace. Randomness is an argument everywhere.

#![forbid(unsafe_code)]

pub mod answer;
pub mod bank;
pub mod challenge;
pub mod distribution;
pub mod respondent;
pub mod score;
pub mod text;
pub mod token;

pub use answer::{Answer, Tier};
pub use bank::{Bank, BankError, ChallengeKey, KeyError};
pub use challenge::Challenge;
pub use distribution::{Distribution, DistributionError};
pub use respondent::{Description, Question, Respondent, RespondentError, RespondentFault};
pub use score::{ScoreError, Scored, score, score_challenge};
pub use token::Token;
