//! One range proof for several registrations.

use lorica_argument::generators::Generators;
use lorica_verify::range::RangeProof;
use lorica_verify::rows::statement::RangeStatement;
use zeroize::Zeroizing;

use super::RowsRegistrationError;
use crate::randomness::Entropy;
use crate::range::{IntegerProver, IntegerRows};
use crate::secret::AdapterSecret;

/// A registration whose rows go into the proof.
pub struct JointMember<'a> {
    /// What is public of it.
    pub statement: RangeStatement<'a>,
    /// Its rows with their blinds.
    pub rows: IntegerRows<'a>,
}

/// Proves that all entries of all members are in range. The verifier is given the members in the same order.
///
/// Masks depend on `secret`, which may be that of any member.
pub fn prove_joint<'a>(
    members: impl IntoIterator<Item = JointMember<'a>>,
    secret: &AdapterSecret,
    generators: &Generators,
    entropy: &Entropy,
) -> Result<RangeProof, RowsRegistrationError> {
    let (statements, members): (Vec<_>, Vec<_>) =
        members.into_iter().map(|member| (member.statement, member.rows)).unzip();
    let count = members.iter().map(|member| member.rows.len()).sum();
    let mut rows = Vec::with_capacity(count);
    // As long as it gets: one that grew would leave copies behind that nobody wipes.
    let mut blinds = Zeroizing::new(Vec::with_capacity(count));
    for member in members {
        rows.extend_from_slice(&member.rows);
        blinds.extend_from_slice(&member.blinds);
    }
    let statement = &RangeStatement::joint(statements)?;
    let rows = &IntegerRows { rows, blinds };
    Ok(IntegerProver { statement, rows, secret, generators }.prove(entropy)?)
}
