//! What a range argument is about: all rows of one registration, or of several together.

use lorica_algebra::Point;
use lorica_argument::transcript::{Label, Transcript};
use lorica_tensor::Digest;

use crate::range::RangeShape;

/// The protocol and version that the transcript of a range proof about several registrations starts from.
pub const JOINT_PROTOCOL: &str = "lorica joint registration proof 1";
/// The largest number of registrations in one proof.
pub const MAX_MEMBERS: usize = 1 << 16;
/// The largest number of entries of all rows in one proof: what `docs/spec/lookup.md` sums its error bound over.
pub const MAX_LEAVES: u64 = 1 << 35;

const COUNT: Label = Label("registration: count");
const MANIFEST: Label = Label("registration: manifest digest");

/// The rows that a range proof is about. It borrows their commitments.
///
/// It is made from a registered object, or from several statements by [`RangeStatement::joint`]. The digests fix everything
/// else: they are those of manifests, which hold all lengths and the digest of the commitment list.
#[derive(Debug, Clone)]
pub struct RangeStatement<'a> {
    protocol: &'static str,
    subject: Subject,
    lengths: Vec<usize>,
    commitments: Vec<&'a [Point]>,
}

/// Whose rows they are.
#[derive(Debug, Clone)]
enum Subject {
    /// The rows of this manifest.
    One(Digest),
    /// The rows of all these manifests, one after the other.
    Several(Vec<Digest>),
}

/// Why registrations do not go into one proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JointError {
    /// None, or too many.
    #[error("a joint proof is about 1 to {MAX_MEMBERS} registrations, found {found}; split them")]
    Members {
        /// How many.
        found: usize,
    },
    /// Too many entries.
    #[error("a joint proof is about at most {MAX_LEAVES} entries, found {found}; split the registrations")]
    Leaves {
        /// How many.
        found: u64,
    },
}

impl<'a> RangeStatement<'a> {
    /// All rows of one registration. `lengths` has one number for each commitment, in order.
    pub(crate) fn one(
        protocol: &'static str,
        digest: Digest,
        lengths: Vec<usize>,
        commitments: Vec<&'a [Point]>,
    ) -> Self {
        Self { protocol, subject: Subject::One(digest), lengths, commitments }
    }

    /// All rows of several registrations, in this order.
    pub fn joint(members: impl IntoIterator<Item = Self>) -> Result<Self, JointError> {
        let (mut digests, mut lengths, mut commitments) = (Vec::new(), Vec::new(), Vec::new());
        for member in members {
            digests.extend_from_slice(member.digests());
            lengths.extend(member.lengths);
            commitments.extend(member.commitments);
        }
        if digests.is_empty() || digests.len() > MAX_MEMBERS {
            return Err(JointError::Members { found: digests.len() });
        }
        let leaves = lengths.iter().fold(0u64, |sum, length| sum.saturating_add(number(*length)));
        if leaves > MAX_LEAVES {
            return Err(JointError::Leaves { found: leaves });
        }
        Ok(Self { protocol: JOINT_PROTOCOL, subject: Subject::Several(digests), lengths, commitments })
    }

    /// What the Fiat-Shamir transcript starts from.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The digests of the manifests whose rows they are.
    pub fn digests(&self) -> &[Digest] {
        match &self.subject {
            Subject::One(digest) => std::slice::from_ref(digest),
            Subject::Several(digests) => digests,
        }
    }

    /// The number of entries of each row.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The commitment to each row.
    pub fn commitments(&self) -> impl Iterator<Item = &'a Point> {
        self.commitments.iter().copied().flatten()
    }

    /// All sizes of the argument.
    pub fn shape(&self) -> RangeShape {
        RangeShape::of_rows(&self.lengths)
    }

    /// Takes in the digests; of several registrations also their number.
    pub(crate) fn absorb(&self, transcript: &mut dyn Transcript) {
        if let Subject::Several(digests) = &self.subject {
            transcript.absorb(COUNT, &number(digests.len()).to_le_bytes());
        }
        for digest in self.digests() {
            transcript.absorb(MANIFEST, digest.as_bytes());
        }
    }
}

fn number(count: usize) -> u64 {
    // usize is at most 64 bits on every platform Rust supports.
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_one_proof_is_refused() {
        let of = |length| RangeStatement::one("test", Digest([1; 32]), vec![length], Vec::new());
        assert_eq!(RangeStatement::joint([]).err(), Some(JointError::Members { found: 0 }));
        let many = std::iter::repeat_n(of(1), MAX_MEMBERS + 1);
        assert_eq!(RangeStatement::joint(many).err(), Some(JointError::Members { found: MAX_MEMBERS + 1 }));
        let most = usize::try_from(MAX_LEAVES).unwrap();
        let long = [of(most), of(1)];
        assert_eq!(RangeStatement::joint(long).err(), Some(JointError::Leaves { found: MAX_LEAVES + 1 }));
        assert!(RangeStatement::joint([of(usize::MAX), of(usize::MAX)]).is_err());
        assert_eq!(RangeStatement::joint([of(most)]).unwrap().digests().len(), 1);
    }
}
