//! Which token sequences have to be run to answer challenges, and which of their rows answer what.

use lorica_identity::Challenge;
use lorica_model::{ModelError, RowRequest, Tokenizer};

/// A sequence to run, and the rows of it that are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    tokens: Vec<u32>,
    /// Token positions, in the order of `answers`.
    rows: Vec<usize>,
    /// For each row: the challenge's place in the call, and the position's place in the challenge.
    pub(super) answers: Vec<(usize, usize)>,
}

impl Sequence {
    pub(super) fn request(&self) -> RowRequest<'_> {
        RowRequest { tokens: &self.tokens, positions: &self.rows }
    }
}

/// Why a challenge cannot be put to a model.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("challenge {index}: position {position} is not the end of a character of its prompt")]
    NoBoundary { index: u32, position: u32 },
    #[error(
        "challenge {index}: the first {position} bytes of its prompt are no tokens at all for this tokenizer"
    )]
    NoTokens { index: u32, position: u32 },
    #[error("challenge {index}: {found} tokens, the model's context holds {allowed}")]
    TooLong { index: u32, found: usize, allowed: usize },
    #[error(transparent)]
    Tokenizer(#[from] ModelError),
}

/// The sequences for some challenges.
///
/// What is asked at a position is the distribution after the text up to there, encoded alone. Where its tokens are
/// the first tokens of a longer prefix's, one run of the longer one answers both, because later tokens do not change
/// earlier rows; where they are not (the longer text is cut elsewhere), the prefix is a sequence of its own.
pub(super) fn sequences(
    tokenizer: &Tokenizer,
    context: usize,
    challenges: &[Challenge],
) -> Result<Vec<Sequence>, TargetError> {
    let mut all = Vec::new();
    for (place, challenge) in challenges.iter().enumerate() {
        let index = challenge.index;
        let mut own: Vec<Sequence> = Vec::new();
        for (order, &position) in challenge.positions.iter().enumerate().rev() {
            let prefix = challenge
                .prompt
                .get(..position as usize)
                .ok_or(TargetError::NoBoundary { index, position })?;
            let tokens = tokenizer.encode_as_served(prefix)?;
            let row = tokens.len().checked_sub(1).ok_or(TargetError::NoTokens { index, position })?;
            if tokens.len() > context {
                return Err(TargetError::TooLong { index, found: tokens.len(), allowed: context });
            }
            match own.iter_mut().find(|sequence| sequence.tokens.starts_with(&tokens)) {
                Some(sequence) => {
                    sequence.rows.push(row);
                    sequence.answers.push((place, order));
                }
                None => own.push(Sequence { tokens, rows: vec![row], answers: vec![(place, order)] }),
            }
        }
        all.append(&mut own);
    }
    Ok(all)
}
