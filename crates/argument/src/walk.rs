//! A walk through the committed part of an argument: scratch commitments in the order of sending, the slots that each
//! brings, and sumcheck rounds over them.
//!
//! Prover and verifier run the same walk. It asks its party for the next commitment, takes it in, draws the challenge and
//! tells it; every form, slot and point is computed here and nowhere else. The prover's parties make commitments, the
//! verifier's reads them from a proof.

use lorica_algebra::Scalar;
use lorica_algebra::point::EncodedPoint;

use crate::form::{AffineForm, CubicRoundSlots, RoundSlots, Slot};
use crate::transcript::{Label, Transcript};

/// Who sends the commitments of a sumcheck.
pub trait Rounds {
    /// Why a message cannot be made or read.
    type Error;

    /// The commitment of the next round: two slots, or three where the sum has degree three.
    fn round(&mut self) -> Result<EncodedPoint, Self::Error>;

    /// The challenge that binds the round's variable.
    fn bind(&mut self, challenge: Scalar);
}

/// The labels of a sumcheck's messages and challenges.
#[derive(Debug, Clone, Copy)]
pub struct RoundLabels {
    /// A round's commitment.
    pub round: Label,
    /// Its challenge.
    pub challenge: Label,
}

/// The commitments taken in so far, with the number of slots of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    commitments: Vec<EncodedPoint>,
    blocks: Vec<usize>,
    slots: usize,
}

impl Ledger {
    /// The commitments, in the order of sending.
    pub fn commitments(&self) -> &[EncodedPoint] {
        &self.commitments
    }

    /// The number of slots of each commitment.
    pub fn blocks(&self) -> impl Iterator<Item = usize> + Clone {
        self.blocks.iter().copied()
    }

    /// The number of all slots.
    pub fn slots(&self) -> usize {
        self.slots
    }
}

/// A transcript with the ledger of what was committed to on it.
pub struct Walk<'t> {
    /// For challenges and for messages that are no scratch commitments.
    pub transcript: &'t mut dyn Transcript,
    ledger: Ledger,
}

impl<'t> Walk<'t> {
    /// Starts with no commitment.
    pub fn new(transcript: &'t mut dyn Transcript) -> Self {
        Self { transcript, ledger: Ledger::default() }
    }

    /// Takes in a scratch commitment to the next `N` slots.
    pub fn receive<const N: usize>(&mut self, label: Label, commitment: EncodedPoint) -> [Slot; N] {
        self.transcript.absorb(label, commitment.bytes());
        let first = self.ledger.slots;
        self.ledger.commitments.push(commitment);
        self.ledger.blocks.push(N);
        self.ledger.slots = first.saturating_add(N);
        std::array::from_fn(|index| Slot(first.saturating_add(index)))
    }

    /// As [`Walk::receive`], where the number of slots is not a constant.
    pub fn receive_many(&mut self, label: Label, commitment: EncodedPoint, slots: usize) -> Vec<Slot> {
        self.transcript.absorb(label, commitment.bytes());
        let first = self.ledger.slots;
        self.ledger.commitments.push(commitment);
        self.ledger.blocks.push(slots);
        self.ledger.slots = first.saturating_add(slots);
        (0..slots).map(|index| Slot(first.saturating_add(index))).collect()
    }

    /// Runs a committed sumcheck of degree two over `rounds` variables; turns the claim on the sum into the claim on the
    /// value at the point that is returned.
    pub fn sumcheck<P: Rounds>(
        &mut self,
        labels: RoundLabels,
        rounds: usize,
        claim: &mut AffineForm,
        party: &mut P,
    ) -> Result<Vec<Scalar>, P::Error> {
        let mut point = Vec::new();
        for _ in 0..rounds {
            let [constant, leading] = self.receive(labels.round, party.round()?);
            let challenge = self.transcript.challenge(labels.challenge);
            claim.bind_round(RoundSlots { constant, leading }, challenge);
            party.bind(challenge);
            point.push(challenge);
        }
        Ok(point)
    }

    /// As [`Walk::sumcheck`] for a sum of degree three: a round's commitment has three slots.
    pub fn cubic_sumcheck<P: Rounds>(
        &mut self,
        labels: RoundLabels,
        rounds: usize,
        claim: &mut AffineForm,
        party: &mut P,
    ) -> Result<Vec<Scalar>, P::Error> {
        let mut point = Vec::new();
        for _ in 0..rounds {
            let [constant, quadratic, cubic] = self.receive(labels.round, party.round()?);
            let challenge = self.transcript.challenge(labels.challenge);
            claim.bind_cubic_round(CubicRoundSlots { constant, quadratic, cubic }, challenge);
            party.bind(challenge);
            point.push(challenge);
        }
        Ok(point)
    }

    /// Ends the committed part; returns the transcript and everything that was committed to.
    pub fn finish(self) -> (&'t mut dyn Transcript, Ledger) {
        (self.transcript, self.ledger)
    }
}
