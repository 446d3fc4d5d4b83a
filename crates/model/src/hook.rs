//! The hook: how another party takes part in the forward pass, one group of linear layers at a time.
//!
//! A group is the linear layers that read the same input (query, key and value; gate and up), so that a remote
//! party is sent the input once. The hook sees the input and says for each layer of the group whether its output
//! is kept, added to or replaced. `Replace` is asked for before the base product is computed, and spares it.

use lorica_tensor::ModuleName;

/// What a hook may fail with: any error that can cross threads.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// The rows a group of linear layers reads: `tokens` rows of `width` floats.
///
/// Rows are in the order of the batch: all positions of the first sequence, then those of the second.
/// With a key-value cache they are the new positions only.
#[derive(Debug, Clone, Copy)]
pub struct Activations<'a> {
    /// Number of rows.
    pub tokens: usize,
    /// Floats a row: the input width of every layer of the group.
    pub width: usize,
    /// The values, row after row; `tokens * width` of them.
    pub values: &'a [f32],
}

impl<'a> Activations<'a> {
    /// The rows, one slice of `width` floats each.
    pub fn rows(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        self.values.chunks_exact(self.width.max(1))
    }
}

/// What becomes of one linear layer's output, `tokens` rows of the layer's output width.
#[derive(Debug, Clone, PartialEq)]
pub enum HookOutput {
    /// The base model's own output.
    Keep,
    /// The base model's own output plus these values, row after row.
    Add(Vec<f32>),
    /// These values instead, row after row; the base product and bias are not computed.
    Replace(Vec<f32>),
}

/// A party in the forward pass. The trait is object-safe, and a hook may keep state between calls.
pub trait Hook {
    /// Whether [`Hook::group`] is to be called for these modules. The default is yes, for every group.
    fn wants(&self, modules: &[ModuleName]) -> bool {
        let _ = modules;
        true
    }

    /// Called once for each group and forward pass, in the order of [`crate::BaseModel::modules`].
    ///
    /// Returns one output for each module, in order. Values must be finite.
    ///
    /// # Errors
    /// Whatever the hook fails with; the forward pass stops and returns it inside [`crate::ModelError::Hook`].
    fn group(
        &mut self,
        modules: &[ModuleName],
        input: &Activations<'_>,
    ) -> Result<Vec<HookOutput>, HookError>;
}

/// The hook of a plain run: the base model alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHook;

impl Hook for NoHook {
    fn wants(&self, _: &[ModuleName]) -> bool {
        false
    }

    fn group(&mut self, modules: &[ModuleName], _: &Activations<'_>) -> Result<Vec<HookOutput>, HookError> {
        Ok(vec![HookOutput::Keep; modules.len()])
    }
}
