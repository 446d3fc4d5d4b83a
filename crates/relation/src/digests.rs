//! BLAKE3 digests of a session's tensors, taken while rows flow.
//!
//! Each tensor is hashed alone: its values in row order, little-endian, with nothing between rows, calls or
//! shards. How rows were grouped into calls, or cut into files, therefore does not change a digest.

use blake3::Hasher;
use bytemuck::NoUninit;
use lorica_tensor::Digest;
use serde::{Deserialize, Serialize};

use crate::rows::{ModuleIndex, StreamIndex};

#[cfg(target_endian = "big")]
compile_error!(
    "rows are hashed, stored and sent as their little-endian bytes in memory; a big-endian target needs conversions"
);

/// Digests of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamDigests {
    /// Over the int16 activations.
    pub inputs: Digest,
    /// Over the int16 exponents.
    pub exponents: Digest,
}

/// Digests of every tensor of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionDigests {
    /// One for each stream.
    pub streams: Vec<StreamDigests>,
    /// Over the int64 deltas, one for each module of the manifest; of no bytes where a module was never called.
    pub modules: Vec<Digest>,
}

/// Hashes rows as they arrive.
#[derive(Debug, Clone)]
pub struct SessionHasher {
    streams: Vec<[Hasher; 2]>,
    modules: Vec<Hasher>,
}

impl SessionHasher {
    /// A hasher for a session of so many streams and modules.
    pub fn new(streams: usize, modules: usize) -> Self {
        Self {
            streams: std::iter::repeat_with(|| [Hasher::new(), Hasher::new()]).take(streams).collect(),
            modules: std::iter::repeat_with(Hasher::new).take(modules).collect(),
        }
    }

    /// Appends rows of activations. A stream that the session does not have is ignored.
    pub fn inputs(&mut self, stream: StreamIndex, values: &[i16]) {
        if let Some([inputs, _]) = self.streams.get_mut(stream.0) {
            update(inputs, values);
        }
    }

    /// Appends exponents of rows. A stream that the session does not have is ignored.
    pub fn exponents(&mut self, stream: StreamIndex, values: &[i16]) {
        if let Some([_, exponents]) = self.streams.get_mut(stream.0) {
            update(exponents, values);
        }
    }

    /// Appends rows of deltas. A module that the session does not have is ignored.
    pub fn deltas(&mut self, module: ModuleIndex, values: &[i64]) {
        if let Some(deltas) = self.modules.get_mut(module.0) {
            update(deltas, values);
        }
    }

    /// The digests of what was appended so far; more may follow.
    pub fn digests(&self) -> SessionDigests {
        let digest = |hasher: &Hasher| Digest(*hasher.finalize().as_bytes());
        SessionDigests {
            streams: self
                .streams
                .iter()
                .map(|[inputs, exponents]| StreamDigests {
                    inputs: digest(inputs),
                    exponents: digest(exponents),
                })
                .collect(),
            modules: self.modules.iter().map(digest).collect(),
        }
    }
}

fn update<T: NoUninit>(hasher: &mut Hasher, values: &[T]) {
    hasher.update(bytemuck::cast_slice(values));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_do_not_depend_on_the_cuts() {
        let values: Vec<i16> = (0..100).collect();
        let mut whole = SessionHasher::new(1, 1);
        whole.inputs(StreamIndex(0), &values);
        whole.deltas(ModuleIndex(0), &[1, -2]);
        let mut parts = SessionHasher::new(1, 1);
        for part in values.chunks(7) {
            parts.inputs(StreamIndex(0), part);
        }
        parts.deltas(ModuleIndex(0), &[1]);
        parts.deltas(ModuleIndex(0), &[-2]);
        assert_eq!(whole.digests(), parts.digests());
        assert_eq!(
            whole.digests().modules[0],
            Digest::blake3(&[1, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255])
        );
        parts.exponents(StreamIndex(0), &[0]);
        assert_ne!(whole.digests(), parts.digests());
    }
}
