//! Base models on candle with a hook at every linear layer.
//!
//! The base-model user's side of the product: a GPT-2, Llama, GPT-NeoX, Mistral or Qwen 2 model from a Hugging Face
//! folder runs on the CPU in single precision, and each linear layer is a named point where another party can add to
//! its output or replace it. A model larger than memory streams by, layer by layer.
//!
//! ```no_run
//! use lorica_model::{BaseModel, EvaluateOptions, NoHook, Tokenizer, Window};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = std::path::Path::new("testdata/models/tiny-gpt2");
//! let (model, tokenizer) = (BaseModel::load(folder)?, Tokenizer::load(folder)?);
//! tokenizer.check(model.config())?;
//! let tokens = tokenizer.encode("The function returns zero on success.")?;
//! let options = EvaluateOptions { window: Window::Context, batch: 8 };
//! let evaluation = model.evaluate(&tokens, options, &mut NoHook, &mut |_| ())?;
//! # let _ = evaluation.loss;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`hook`] | [`Hook`]: how another party takes part in the forward pass |
//! | [`folder`] | [`ModelFolder`]: files, configuration, identity, loading |
//! | [`model`] | [`BaseModel`]: batches, logits |
//! | [`evaluate`], [`generate`] | loss and perplexity; greedy continuation |
//! | [`rows`] | next-token logits at chosen positions of texts of different lengths |
//! | [`stream`] | [`StreamedModel`]: layers read as they are needed, within a [`MemoryBudget`] |
//! | [`tokenizer`] | text to tokens and back, and what each token adds to a text |
//! | [`error`] | [`ModelError`]: everything that is refused, and why |
//! | `config`, `weights` | reading `config.json` and the safetensors files |
//! | `linear`, `attention`, `rotary` | what decoders are made of |
//! | `decoder`, `family`, `gpt2`, `llama`, `neox` | the decoder families; `decoder` says how to add one |
//! | `stack`, `budget` | layers that are all in memory; what a pass of those that are not will hold |
//!
//! It depends on `lorica-tensor` alone and knows nothing of adapters, proofs or the network.

#![forbid(unsafe_code)]

mod attention;
mod beginnings;
mod budget;
mod config;
mod contents;
mod decoder;
pub mod error;
pub mod evaluate;
mod family;
pub mod folder;
pub mod generate;
mod gpt2;
pub mod hook;
mod linear;
mod llama;
pub mod model;
mod neox;
mod progress;
mod rotary;
pub mod rows;
mod stack;
pub mod stream;
pub mod tokenizer;
mod weights;

pub use attention::KvCache;
pub use budget::MemoryBudget;
pub use config::ModelConfig;
pub use error::ModelError;
pub use evaluate::{EvaluateOptions, Evaluation, Window};
pub use folder::{BaseIdentityParts, ModelFolder, identity};
pub use generate::{Generation, Stop};
pub use hook::{Activations, Hook, HookError, HookOutput, NoHook};
pub use linear::ModuleInfo;
pub use model::{BaseModel, Logits, TokenBatch};
pub use progress::Progress;
pub use rows::{LogitBlock, RowRequest};
pub use stream::{PassReport, StreamedModel};
pub use tokenizer::{Content, Tokenizer};
pub use weights::{Rounding, TensorEntry, tensors_digest};
