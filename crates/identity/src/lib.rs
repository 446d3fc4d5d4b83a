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
//! | [`mod@score`], [`text`] | the distance of two answers: distributions, or samples of texts |
//! | [`mode`], [`plan`] | error probability, thresholds and numbers of queries, checked against the floor |
//! | [`capital`], [`rare`] | betting capital against a claim about a mean, and about a rate of exceedances |
//! | [`sequential`] | the decision |
//! | [`power`], [`simulate`] | what a plan can be expected to find, by simulation |
//! | [`published`] | other decision rules, to compare with |
//! | [`intervals`] | Clopper-Pearson intervals |
//! | [`structure`] | what files alone say: digests, configuration, tensors, tokenizer |
//! | [`relation`] | features of two models that differ, and a classifier of their relation |
//! | [`respondent`] | who can be asked: the one trait that files and network implement elsewhere |
//!
//! This crate depends on no other of the workspace. Randomness is an argument everywhere.

#![forbid(unsafe_code)]

pub mod answer;
pub mod bank;
pub mod capital;
pub mod challenge;
pub mod distribution;
pub mod intervals;
pub mod mode;
pub mod plan;
pub mod power;
pub mod published;
pub mod rare;
pub mod relation;
pub mod respondent;
pub mod score;
pub mod sequential;
pub mod simulate;
pub mod structure;
pub mod text;
pub mod token;

pub use answer::{Answer, Tier};
pub use bank::{Bank, BankError, ChallengeKey, KeyError};
pub use challenge::Challenge;
pub use distribution::{Distribution, DistributionError};
pub use intervals::Rate;
pub use mode::{Mode, ModeError, ModeParts};
pub use plan::{Plan, PlanError, PlanParts, ScoreScale};
pub use power::{EffectError, Power};
pub use rare::{RARE_NULL, RARE_THRESHOLD};
pub use respondent::{Description, Question, Respondent, RespondentError, RespondentFault};
pub use score::{ScoreError, Scored, score, score_challenge};
pub use sequential::{Decider, Decision, DifferentBy, ObserveError, SequentialTest, State};
pub use token::Token;
