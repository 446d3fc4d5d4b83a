//! Synthetic data: BLAKE3 output, the same in every run.

/// A stream of uniform integers and floats.
pub struct Noise(blake3::OutputReader);

impl Default for Noise {
    fn default() -> Self {
        Self(blake3::Hasher::new_derive_key("lorica bench noise 1").finalize_xof())
    }
}

impl Noise {
    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Uniform integers of `bits` bits, sign included, 1 to 16.
    pub fn integers(&mut self, count: usize, bits: u32) -> Vec<i16> {
        let mut bytes = vec![0; 2 * count];
        self.0.fill(&mut bytes);
        bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair) >> (16 - bits)).collect()
    }

    /// Uniform floats in [-1, 1).
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        self.integers(count, 16).into_iter().map(|value| f32::from(value) / 32768.0).collect()
    }
}
