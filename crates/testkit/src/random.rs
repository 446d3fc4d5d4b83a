//! A small deterministic generator: the same seed gives the same fixture on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014): not for secrets, only for fixtures.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound as u64) as usize
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes());
        }
        bytes
    }

    /// Integers of `bits` bits, sign included; extremes come up often.
    pub fn integers(&mut self, count: usize, bits: u32) -> Vec<i16> {
        let limit = 1i32 << (bits - 1);
        (0..count)
            .map(|_| {
                let draw = self.next_u64();
                let value = match draw % 64 {
                    0 => -limit,
                    1 => limit - 1,
                    _ => {
                        ((draw >> 8) as i64 % i64::from(limit)) as i32
                            - if draw >> 63 == 1 { 0 } else { limit / 2 }
                    }
                };
                value.clamp(-limit, limit - 1) as i16
            })
            .collect()
    }
}
