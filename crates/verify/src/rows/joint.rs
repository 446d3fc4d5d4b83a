//! Several registrations in one range proof.
//!
//! A proof about many rows is hardly longer than one about a few, so whoever registers many things at once makes one proof. It
//! is verified once; then each of its members can be pinned alone.

use std::collections::BTreeSet;

use lorica_argument::generators::Generators;
use lorica_tensor::Digest;

use super::statement::RangeStatement;
use crate::range::RangeProof;
use crate::registration::RegistrationInvalid;

/// A range proof about several registrations that holds.
#[derive(Debug, Clone)]
pub struct JointRegistration {
    members: BTreeSet<Digest>,
}

impl JointRegistration {
    /// Verifies a proof about all these registrations, in the order in which it was made.
    pub fn verify<'a>(
        members: impl IntoIterator<Item = RangeStatement<'a>>,
        proof: &[u8],
        generators: &Generators,
    ) -> Result<Self, RegistrationInvalid> {
        let statement = RangeStatement::joint(members)?;
        let digests = statement.digests().iter().copied().collect();
        RangeProof::verify_bytes(proof, statement, generators)?;
        Ok(Self { members: digests })
    }

    /// Whether the rows under this manifest are among those that the proof is about. A manifest's digest fixes its commitments.
    pub(crate) fn check_member(&self, digest: &Digest) -> Result<(), RegistrationInvalid> {
        match self.members.contains(digest) {
            true => Ok(()),
            false => Err(RegistrationInvalid::NotMember { digest: *digest }),
        }
    }
}
