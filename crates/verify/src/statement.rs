//! The session statement: everything the proof is about, absorbed before the first challenge.
//!
//! Shapes of modules come from the pinned manifest, shapes of streams from the session's header, digests from the
//! data itself. No size is ever taken from a proof.

use lorica_relation::rows::ModuleIndex;
use lorica_relation::session::{ModuleShape, StreamShape};
use lorica_tensor::Digest;

use crate::manifest::{MAX_MODULES, MAX_TOTAL_RANK, MAX_WIDTH};
use lorica_algebra::multilinear::variables;

/// The largest number of token rows of one stream.
pub const MAX_ROWS: u64 = 1 << 40;

/// One stream of activations as the statement holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatement {
    /// Modules, width and rows.
    pub shape: StreamShape,
    /// Calls that made these rows.
    pub calls: u64,
    /// BLAKE3 of the activations, little-endian int16, row-major.
    pub inputs: Digest,
    /// BLAKE3 of the row exponents, little-endian int16.
    pub exponents: Digest,
}

/// The public statement of a session proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatement {
    /// Digest of the pinned manifest.
    pub manifest: Digest,
    /// The session's identifier, made from a nonce of each party.
    pub session: Digest,
    /// All modules of the manifest, in its order.
    pub modules: Vec<ModuleShape>,
    /// The streams, in the order of the session's header.
    pub streams: Vec<StreamStatement>,
    /// For each module: BLAKE3 of its deltas, little-endian int64, row-major (of nothing when it was never called).
    pub deltas: Vec<Digest>,
}

/// Why a statement makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// A count or size is outside the supported range.
    #[error("{what}: expected {expected}, found {found}")]
    Size {
        /// What was counted.
        what: String,
        /// What is supported, or what the manifest says.
        expected: String,
        /// What is there.
        found: u64,
    },
    /// A stream names a module that the manifest does not have.
    #[error("stream {stream} feeds module number {module}, but the manifest has {modules} modules")]
    UnknownModule {
        /// The stream.
        stream: usize,
        /// The module's index.
        module: usize,
        /// How many there are.
        modules: usize,
    },
    /// Two streams, or one stream twice, feed a module.
    #[error("module {module} is fed twice, the second time by stream {stream}")]
    FedTwice {
        /// The module's name.
        module: String,
        /// The stream.
        stream: usize,
    },
    /// No module has a single row: nothing would be verified.
    #[error("the session holds no rows: nothing would be verified")]
    Empty,
}

/// Sizes of the argument, all derived from the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Number of (module, rank index) pairs, K.
    pub pairs: usize,
    /// Number of modules, M.
    pub modules: usize,
    /// Row bases: the largest input or output width, D.
    pub width: usize,
    /// The largest input width.
    pub inputs: usize,
    /// The largest output width.
    pub outputs: usize,
    /// Rounds of the first sumcheck, `ceil(log2 K)`.
    pub pair_rounds: usize,
    /// Module rounds of the second sumcheck, `ceil(log2 M)`.
    pub module_rounds: usize,
    /// Item rounds of the second sumcheck, `ceil(log2 D)`.
    pub item_rounds: usize,
}

impl Sizes {
    /// The sizes for a list of modules.
    pub fn of(modules: &[ModuleShape]) -> Self {
        let inputs = modules.iter().map(|module| module.inputs).max().unwrap_or(0);
        let outputs = modules.iter().map(|module| module.outputs).max().unwrap_or(0);
        let width = inputs.max(outputs);
        let pairs = modules.iter().fold(0usize, |sum, module| sum.saturating_add(module.rank));
        Self {
            pairs,
            modules: modules.len(),
            width,
            inputs,
            outputs,
            pair_rounds: variables(pairs),
            module_rounds: variables(modules.len()),
            item_rounds: variables(width),
        }
    }
}

impl SessionStatement {
    /// The sizes of the argument.
    pub fn sizes(&self) -> Sizes {
        Sizes::of(&self.modules)
    }

    /// Checks that shapes are supported and fit each other.
    pub fn check(&self) -> Result<(), StatementError> {
        let size = |what: String, expected: String, found: usize| StatementError::Size {
            what,
            expected,
            found: found.try_into().unwrap_or(u64::MAX),
        };
        let count = self.modules.len();
        if count == 0 || count > MAX_MODULES {
            return Err(size("modules".into(), format!("1..={MAX_MODULES}"), count));
        }
        if self.deltas.len() != count {
            return Err(size("delta digests".into(), count.to_string(), self.deltas.len()));
        }
        let sizes = self.sizes();
        if sizes.width == 0 || sizes.width > MAX_WIDTH {
            return Err(size("width".into(), format!("1..={MAX_WIDTH}"), sizes.width));
        }
        if sizes.pairs == 0 || sizes.pairs > MAX_TOTAL_RANK {
            return Err(size("total rank".into(), format!("1..={MAX_TOTAL_RANK}"), sizes.pairs));
        }
        let mut fed = vec![false; count];
        let mut total = 0u64;
        for (index, stream) in self.streams.iter().enumerate() {
            let shape = &stream.shape;
            if shape.modules.is_empty() {
                return Err(size(format!("modules of stream {index}"), "at least 1".into(), 0));
            }
            if shape.rows > MAX_ROWS {
                let what = format!("rows of stream {index}");
                return Err(StatementError::Size {
                    what,
                    expected: format!("0..={MAX_ROWS}"),
                    found: shape.rows,
                });
            }
            for &ModuleIndex(module) in &shape.modules {
                let unknown = StatementError::UnknownModule { stream: index, module, modules: count };
                let (Some(module_shape), Some(seen)) = (self.modules.get(module), fed.get_mut(module)) else {
                    return Err(unknown);
                };
                if std::mem::replace(seen, true) {
                    return Err(StatementError::FedTwice {
                        module: module_shape.name.to_string(),
                        stream: index,
                    });
                }
                if module_shape.inputs != shape.width {
                    let what = format!("width of stream {index}, which feeds {}", module_shape.name);
                    return Err(size(what, module_shape.inputs.to_string(), shape.width));
                }
            }
            total = total.saturating_add(shape.rows);
        }
        if total == 0 { Err(StatementError::Empty) } else { Ok(()) }
    }

    /// The canonical bytes that the transcript absorbs: every field, with the length of every list.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let number = |bytes: &mut Vec<u8>, value: usize| {
            bytes.extend_from_slice(&u64::try_from(value).unwrap_or(u64::MAX).to_le_bytes());
        };
        bytes.extend_from_slice(self.manifest.as_bytes());
        bytes.extend_from_slice(self.session.as_bytes());
        number(&mut bytes, self.modules.len());
        for module in &self.modules {
            number(&mut bytes, module.name.as_str().len());
            bytes.extend_from_slice(module.name.as_str().as_bytes());
            number(&mut bytes, module.inputs);
            number(&mut bytes, module.outputs);
            number(&mut bytes, module.rank);
        }
        number(&mut bytes, self.streams.len());
        for stream in &self.streams {
            number(&mut bytes, stream.shape.modules.len());
            for module in &stream.shape.modules {
                number(&mut bytes, module.0);
            }
            number(&mut bytes, stream.shape.width);
            bytes.extend_from_slice(&stream.shape.rows.to_le_bytes());
            bytes.extend_from_slice(&stream.calls.to_le_bytes());
            bytes.extend_from_slice(stream.inputs.as_bytes());
            bytes.extend_from_slice(stream.exponents.as_bytes());
        }
        number(&mut bytes, self.deltas.len());
        for digest in &self.deltas {
            bytes.extend_from_slice(digest.as_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `docs/spec/protocol.md`. Another order or width of a field makes every proof there is invalid: it
    /// needs a new version.
    #[test]
    fn bytes_are_frozen() {
        let module = |name: &str, inputs, outputs, rank| ModuleShape {
            name: name.parse().unwrap(),
            inputs,
            outputs,
            rank,
        };
        let statement = SessionStatement {
            manifest: Digest([1; 32]),
            session: Digest([2; 32]),
            modules: vec![module("a", 2, 3, 2), module("b", 3, 1, 1)],
            streams: vec![StreamStatement {
                shape: StreamShape { modules: vec![ModuleIndex(0)], width: 2, rows: 2 },
                calls: 1,
                inputs: Digest([3; 32]),
                exponents: Digest([4; 32]),
            }],
            deltas: vec![Digest([5; 32]), Digest::blake3(b"")],
        };
        assert_eq!(statement.check(), Ok(()));
        let bytes = statement.to_bytes();
        assert_eq!(bytes.len(), 322);
        assert_eq!(
            Digest::blake3(&bytes).to_string(),
            "ddbae8d71a6f93137129b892369f51bcae392d6c6988fc4e9c9256a2cd82c376"
        );
    }
}
