//! A decoder whose layers are all in memory.

use candle_core::Tensor;

use crate::{
    decoder::{Block, LastNorm, Outline, Parts, Pass},
    error::ModelError,
    linear::ModuleInfo,
    weights::Loader,
};

/// A decoder: tokens in, normalised hidden states out, logits from those.
pub(crate) struct Stack {
    pub(crate) outline: Outline,
    pub(crate) embedding: Tensor,
    pub(crate) positions: Option<Tensor>,
    pub(crate) blocks: Vec<Box<dyn Block>>,
    pub(crate) norm: LastNorm,
    /// `[vocabulary, hidden]`.
    pub(crate) output: Tensor,
}

impl Stack {
    pub(crate) fn load(
        parts: &dyn Parts,
        outline: Outline,
        loader: &mut Loader<'_>,
    ) -> Result<Self, ModelError> {
        let embedding = loader.tensor(&outline.embedding, &[outline.vocabulary, outline.hidden])?;
        let positions = parts.positions(loader)?;
        let blocks =
            (0..outline.layers).map(|layer| parts.block(loader, layer)).collect::<Result<_, ModelError>>()?;
        let norm = parts.norm(loader)?;
        let output = loader.output_matrix(&outline, &embedding)?;
        Ok(Self { outline, embedding, positions, blocks, norm, output })
    }

    /// The residual stream before the first layer, `[tokens, hidden]`.
    pub(crate) fn embed(&self, tokens: &Tensor, pass: &Pass<'_>) -> Result<Tensor, ModelError> {
        place(self.embedding.index_select(tokens, 0)?, self.positions.as_ref(), pass)
    }

    /// The hidden states after the last norm, `[tokens, hidden]`.
    pub(crate) fn hidden(&self, tokens: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor, ModelError> {
        let mut x = self.embed(tokens, pass)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, layer, pass)?;
        }
        Ok(self.norm.forward(&x)?)
    }

    /// The linear hook points, in the order of the forward pass.
    pub(crate) fn modules(&self) -> Vec<ModuleInfo> {
        let mut modules = Vec::new();
        self.blocks.iter().for_each(|block| block.describe(&mut modules));
        modules
    }
}

/// Adds learned positions, where there are some, to embedded tokens.
pub(crate) fn place(
    embedded: Tensor,
    positions: Option<&Tensor>,
    pass: &Pass<'_>,
) -> Result<Tensor, ModelError> {
    match positions {
        Some(positions) => Ok((embedded + positions.index_select(&pass.positions()?, 0)?)?),
        None => Ok(embedded),
    }
}
