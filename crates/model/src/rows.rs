//! Next-token logits at chosen positions of texts of different lengths, handed out in blocks of the vocabulary.

use crate::{
    error::ModelError,
    hook::NoHook,
    model::{BaseModel, TokenBatch},
};

/// A text, and where in it next-token logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRequest<'a> {
    /// The text.
    pub tokens: &'a [u32],
    /// Positions in it: the logits at position i are those of the token after token i.
    pub positions: &'a [usize],
}

/// Some logits of one row. All blocks of a row together are the whole vocabulary, in its order.
#[derive(Debug, Clone, Copy)]
pub struct LogitBlock<'a> {
    /// The request's place in the call.
    pub request: usize,
    /// The position's place in [`RowRequest::positions`].
    pub place: usize,
    /// The token of the first logit.
    pub first: usize,
    /// The logits of consecutive tokens. They need not be finite where the model overflows.
    pub logits: &'a [f32],
}

impl BaseModel {
    /// Hands out the logits of the wanted rows.
    ///
    /// # Errors
    /// An empty text, tokens beyond the vocabulary, more tokens than the context, positions outside a text.
    pub fn rows(
        &self,
        requests: &[RowRequest<'_>],
        visit: &mut dyn FnMut(LogitBlock<'_>),
    ) -> Result<(), ModelError> {
        for (request, RowRequest { tokens, positions }) in requests.iter().enumerate() {
            let hidden = self.hidden(&TokenBatch::single(tokens), None, &mut NoHook)?;
            for (place, &position) in positions.iter().enumerate() {
                let logits = self.output(&hidden.narrow(0, position, 1)?)?;
                visit(LogitBlock { request, place, first: 0, logits: &logits });
            }
        }
        Ok(())
    }
}
