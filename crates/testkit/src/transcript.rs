//! Transcripts that a test controls.

use lorica_algebra::Scalar;
use lorica_argument::transcript::{Label, Seed, Transcript};

/// A transcript in which one challenge always has a chosen value: the ablated verifier.
pub struct Overridden<T> {
    /// Everything else.
    pub inner: T,
    /// The challenge.
    pub label: Label,
    /// Its value.
    pub value: Scalar,
}

impl<T: Transcript> Transcript for Overridden<T> {
    fn absorb(&mut self, label: Label, message: &[u8]) {
        self.inner.absorb(label, message);
    }

    fn seed(&mut self, label: Label) -> Seed {
        self.inner.seed(label)
    }

    fn challenge(&mut self, label: Label) -> Scalar {
        let drawn = self.inner.challenge(label);
        if label == self.label { self.value } else { drawn }
    }

    fn state(&self) -> [u8; 32] {
        self.inner.state()
    }
}

/// A transcript that takes in another message than the prover's under one label: what a cheating contributor runs the
/// honest prover on, with inputs of its own, to get a proof about the verifier's statement.
pub struct Restated<T> {
    /// Everything else.
    pub inner: T,
    /// The message's label.
    pub label: Label,
    /// What is taken in for it.
    pub message: Vec<u8>,
}

impl<T: Transcript> Transcript for Restated<T> {
    fn absorb(&mut self, label: Label, message: &[u8]) {
        let message = if label == self.label { &self.message } else { message };
        self.inner.absorb(label, message);
    }

    fn seed(&mut self, label: Label) -> Seed {
        self.inner.seed(label)
    }

    fn state(&self) -> [u8; 32] {
        self.inner.state()
    }
}

/// A transcript that takes in one message for another, whatever its label: the verifier without the defence that a digest is.
pub struct Substituted<T> {
    /// Everything else.
    pub inner: T,
    /// The message that it does not take in.
    pub from: Vec<u8>,
    /// What it takes in instead.
    pub to: Vec<u8>,
}

impl<T: Transcript> Transcript for Substituted<T> {
    fn absorb(&mut self, label: Label, message: &[u8]) {
        let message = if message == self.from { &self.to } else { message };
        self.inner.absorb(label, message);
    }

    fn seed(&mut self, label: Label) -> Seed {
        self.inner.seed(label)
    }

    fn state(&self) -> [u8; 32] {
        self.inner.state()
    }
}

/// A transcript whose challenges were fixed before any message: what a simulator works with.
///
/// Challenge number i is a function of a seed and i alone; messages change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    seed: u64,
    drawn: u64,
}

impl Foreseen {
    /// Fixes all challenges.
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The transcript with this [`Transcript::state`]: a simulator may look ahead.
    pub fn from_state(state: &[u8; 32]) -> Self {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&state[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        Self { seed: number(0), drawn: number(8) }
    }
}

impl Transcript for Foreseen {
    fn absorb(&mut self, _label: Label, _message: &[u8]) {}

    fn seed(&mut self, _label: Label) -> Seed {
        self.drawn += 1;
        Seed(crate::random::Random::new(self.seed ^ self.drawn.wrapping_mul(0x1234_5678_9abc_def1)).bytes())
    }

    fn state(&self) -> [u8; 32] {
        let mut state = [0; 32];
        state[..8].copy_from_slice(&self.seed.to_le_bytes());
        state[8..16].copy_from_slice(&self.drawn.to_le_bytes());
        state
    }
}
