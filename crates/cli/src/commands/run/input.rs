//! The text as tokens, and how it is cut: checked against the model's context before anything long begins.

use std::path::Path;

use lorica_model::{EvaluateOptions, ModelConfig, Tokenizer, Window};
use lorica_tensor::files::read_at_most;

use crate::{args::RunArgs, error::CliError};

/// The largest text or token file.
const MAX_TEXT_BYTES: u64 = 1 << 30;

/// What is evaluated.
pub(super) struct Input {
    tokens: Vec<u32>,
    pub(super) options: EvaluateOptions,
    window: usize,
    prompt: usize,
    /// Tokens to generate; 0 for none.
    pub(super) generate: usize,
}

impl Input {
    pub(super) fn read(args: &RunArgs, tokenizer: &Tokenizer, model: &ModelConfig) -> Result<Self, CliError> {
        let tokens = match (&args.text, &args.tokens) {
            (Some(path), _) => tokenizer.encode(&read_text(path)?)?,
            (None, Some(path)) => read_tokens(path)?,
            (None, None) => return Err(CliError::Usage("name a text with --text or --tokens".to_owned())),
        };
        let (found, context) = (tokens.len(), model.context);
        let too_long = |what, found, hint| Err(CliError::TooLong { what, found, allowed: context, hint });
        let (window, length) = match args.window.map(usize::from) {
            Some(window) if window > context => {
                return too_long("--window", window, "name a smaller window");
            }
            Some(window) => (Window::Tokens(window), window),
            None if found > context => {
                return too_long("the text", found, "cut it into windows with --window N, or shorten it");
            }
            None => (Window::Whole, found),
        };
        let prompt = usize::from(args.prompt).min(found);
        let generate = args.generate.map_or(0, usize::from);
        if prompt.saturating_add(generate) > context {
            let hint = "lower --prompt or --generate";
            return too_long("prompt and generated text", prompt.saturating_add(generate), hint);
        }
        let options = EvaluateOptions { window, batch: args.batch.into() };
        Ok(Self { tokens, options, window: length.max(2), prompt, generate })
    }

    /// All tokens.
    pub(super) fn all(&self) -> &[u32] {
        &self.tokens
    }

    /// The first tokens, at least `count` of them and whole windows, and the rest.
    pub(super) fn split(&self, count: usize) -> (&[u32], &[u32]) {
        let whole = count.div_ceil(self.window).saturating_mul(self.window);
        self.tokens.split_at(whole.min(self.tokens.len()))
    }

    /// What is continued, where that was asked for.
    pub(super) fn prompt(&self) -> Option<&[u32]> {
        (self.generate > 0).then(|| &self.tokens[..self.prompt])
    }
}

fn read_text(path: &Path) -> Result<String, CliError> {
    String::from_utf8(read_at_most(path, MAX_TEXT_BYTES)?).map_err(|error| CliError::Content {
        path: path.to_owned(),
        reason: format!(
            "expected UTF-8 text, found another byte at offset {}; convert it, for instance with iconv",
            error.utf8_error().valid_up_to()
        ),
    })
}

fn read_tokens(path: &Path) -> Result<Vec<u32>, CliError> {
    serde_json::from_slice(&read_at_most(path, MAX_TEXT_BYTES)?).map_err(|error| CliError::Content {
        path: path.to_owned(),
        reason: format!("expected a JSON list of token numbers such as [17, 4, 256]: {error}"),
    })
}
