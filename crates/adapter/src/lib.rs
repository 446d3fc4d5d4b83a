//! PEFT adapter folders: parsing, support matrix, quantization.
//!
//! A folder made by PEFT's `save_pretrained` holds `adapter_config.json` and `adapter_model.safetensors`.
//! For each adapted linear layer it stores A (`lora_A.weight`, r x d) and B (`lora_B.weight`, o x r), and
//! the layer's output gains `delta = s B (A x)` with `s = alpha / r`, or `alpha / sqrt(r)` for rsLoRA.
//! Anything else a folder may ask of the forward pass is refused by name, and every tensor either maps to
//! a module or is a reason to refuse: an adapter that silently does less than it should is worse than none.
//!
//! | module | what it holds |
//! |---|---|
//! | [`config`] | `adapter_config.json`: scaling, patterns, and the settings that are refused |
//! | [`adapter`] | [`Adapter`]: the modules and their float weights |
//! | [`mod@inspect`] | [`Inspection`]: what a folder holds, and every reason to refuse it |
//! | [`mod@quantize`] | floats to the integers that are committed to |
//! | [`error`] | [`AdapterError`] and [`Refusal`] |
//!
//! The crate stands above [`lorica_tensor`] and [`lorica_relation`], whose witness it makes.

#![forbid(unsafe_code)]

pub mod adapter;
pub mod config;
pub mod error;
mod folder;
pub mod inspect;
pub mod quantize;

pub use adapter::{Adapter, BaseModule, LoraModule, Norms};
pub use config::{ConfigSummary, ScalingRule};
pub use error::{AdapterError, BaseMismatch, Refusal};
pub use inspect::{Inspection, inspect};
pub use quantize::{QuantizedAdapter, QuantizedModule, quantize};
