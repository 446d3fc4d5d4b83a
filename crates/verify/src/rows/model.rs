//! Models: matrices of 32-bit integers, committed as two rows of 16-bit integers for each piece.
//!
//! An integer of a matrix is `W = 2^16 high + low`, both limbs in `[-2^15, 2^15)`. Commitments are linear, so
//! `2^16 C(high) + C(low)` is a commitment to the piece of W itself, and nobody sends it.
//!
//! With both limbs in range, every entry is an integer in `[-2^31 - 2^15, 2^31 - 2^15)`.

use lorica_algebra::Point;
use lorica_argument::generators::Generators;
use lorica_relation::program::Shape;
use lorica_tensor::{Digest, ModuleName};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::commitments::{RowsError, checked_digest, read_commitments};
use super::joint::JointRegistration;
use super::pieces::Pieces;
use super::statement::RangeStatement;
use super::{MAX_ENTRIES, check_fraction_bits};
use crate::canonical;
use crate::manifest::{CommitmentList, ManifestError, field};
use crate::range::RangeProof;
use crate::registration::RegistrationInvalid;

/// The format of a model manifest.
pub const MODEL_FORMAT: &str = "lorica-model/1";
/// The protocol and version that the transcript of a model's range proof starts from.
pub const MODEL_PROTOCOL: &str = "lorica model registration proof 1";
/// The shortest and the longest row of a model, powers of two.
pub const ROW_LENGTHS: std::ops::RangeInclusive<usize> = 1024..=65_536;
/// The largest number of matrices.
pub const MAX_MATRICES: usize = 4096;
/// The largest number of commitments.
pub const MAX_MODEL_COMMITMENTS: usize = 1 << 22;
/// Bits of a limb.
pub const LIMB_BITS: u32 = 16;
/// The largest magnitude of an entry whose limbs are in range.
pub const ENTRY_BOUND: u64 = (1 << 31) + (1 << 15);

/// One matrix of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestMatrix {
    /// Its name, which no other matrix of the model has.
    pub name: ModuleName,
    /// Rows, at least 1.
    pub rows: usize,
    /// Columns, from 1 to the length of a commitment row.
    pub columns: usize,
    /// An integer v stands for `v * 2^-fraction_bits`.
    pub fraction_bits: u32,
}

impl ManifestMatrix {
    /// The shape.
    pub fn shape(&self) -> Shape {
        Shape { rows: self.rows, columns: self.columns }
    }
}

/// Everything public about a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// [`MODEL_FORMAT`].
    pub format: String,
    /// L, the largest number of entries of a commitment row: a power of two.
    pub row_length: usize,
    /// The matrices, in the order in which they are numbered.
    pub matrices: Vec<ManifestMatrix>,
    /// Fresh for each commitment: the blinds are derived from it.
    pub nonce: Digest,
    /// The commitments to all rows: for each matrix the high limbs of all its pieces, then the low limbs.
    pub commitments: CommitmentList,
}

impl ModelManifest {
    /// How each matrix is cut into pieces, in order.
    pub fn pieces(&self) -> Vec<Pieces> {
        // A checked manifest has no matrix that cannot be cut.
        self.matrices.iter().filter_map(|matrix| Pieces::of(matrix.shape(), self.row_length)).collect()
    }

    /// The canonical text.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        canonical::write(self)
    }

    /// Reads a manifest and checks every field and its canonical form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        canonical::read(bytes, Self::check)
    }

    /// The digest to pin: SHA-256 of the canonical text.
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        Ok(Digest::sha256(self.to_json()?.as_bytes()))
    }

    /// Checks every field against the supported sizes and against each other.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != MODEL_FORMAT {
            return Err(field("format", MODEL_FORMAT, &self.format));
        }
        if !ROW_LENGTHS.contains(&self.row_length) || !self.row_length.is_power_of_two() {
            let (least, most) = ROW_LENGTHS.into_inner();
            let expected = format!("a power of two from {least} to {most}");
            return Err(field("row_length", expected, self.row_length));
        }
        if self.matrices.is_empty() || self.matrices.len() > MAX_MATRICES {
            return Err(field("matrices", format!("1 to {MAX_MATRICES} matrices"), self.matrices.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        let (mut entries, mut rows) = (0usize, 0usize);
        for (index, matrix) in self.matrices.iter().enumerate() {
            let pieces = matrix.check(index, self.row_length)?;
            if !names.insert(&matrix.name) {
                return Err(field(format!("matrices[{index}].name"), "a name of its own", &matrix.name));
            }
            entries = entries.saturating_add(matrix.shape().entries());
            rows = rows.saturating_add(pieces.count().saturating_mul(2));
        }
        if entries > MAX_ENTRIES {
            return Err(field("matrices", format!("at most {MAX_ENTRIES} entries in all"), entries));
        }
        if rows > MAX_MODEL_COMMITMENTS {
            let expected =
                format!("at most {MAX_MODEL_COMMITMENTS} commitments, take longer rows if there are more");
            return Err(field("matrices", expected, rows));
        }
        if self.commitments.count != rows {
            let expected = format!("{rows}, two for each piece");
            return Err(field("commitments.count", expected, self.commitments.count));
        }
        Ok(())
    }
}

impl ManifestMatrix {
    fn check(&self, index: usize, row_length: usize) -> Result<Pieces, ManifestError> {
        let path = |name: &str| format!("matrices[{index}].{name}");
        if self.columns == 0 || self.columns > row_length {
            let expected = format!("1 to {row_length}, the length of a row");
            return Err(field(path("columns"), expected, self.columns));
        }
        if self.rows == 0 || self.rows > MAX_ENTRIES {
            return Err(field(path("rows"), format!("1 to {MAX_ENTRIES}"), self.rows));
        }
        check_fraction_bits(&path("fraction_bits"), self.fraction_bits)?;
        Pieces::of(self.shape(), row_length)
            .ok_or_else(|| field(path("rows, columns"), "a matrix that can be cut", self.shape()))
    }
}

/// A model manifest and the commitments it names.
#[derive(Debug, Clone)]
pub struct RegisteredModel {
    manifest: ModelManifest,
    digest: Digest,
    pieces: Vec<Pieces>,
    rows: Vec<Point>,
    matrices: Vec<Vec<Point>>,
}

impl RegisteredModel {
    /// Reads manifest and commitment list and checks that they belong together, and to `pin` if one is given.
    pub fn from_bytes(manifest: &[u8], commitments: &[u8], pin: Option<&Digest>) -> Result<Self, RowsError> {
        let parsed = ModelManifest::from_json(manifest)?;
        let digest = checked_digest(manifest, pin)?;
        let rows = read_commitments(&parsed.commitments, commitments)?;
        let pieces = parsed.pieces();
        let (mut rest, mut matrices) = (rows.as_slice(), Vec::new());
        for of_matrix in &pieces {
            let (high, others) = rest.split_at_checked(of_matrix.count()).unwrap_or_default();
            let (low, others) = others.split_at_checked(of_matrix.count()).unwrap_or_default();
            matrices.push(high.par_iter().zip(low).map(|(high, low)| joined(*high, *low)).collect());
            rest = others;
        }
        Ok(Self { manifest: parsed, digest, pieces, rows, matrices })
    }

    /// The manifest.
    pub fn manifest(&self) -> &ModelManifest {
        &self.manifest
    }

    /// The digest to pin.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How each matrix is cut into pieces, in order.
    pub fn pieces(&self) -> &[Pieces] {
        &self.pieces
    }

    /// All commitments as they are in the list: for each matrix the high limbs of all its pieces, then the low limbs.
    pub fn rows(&self) -> &[Point] {
        &self.rows
    }

    /// For each matrix, in order, the commitments `2^16 C(high) + C(low)` to its pieces.
    pub fn matrices(&self) -> &[Vec<Point>] {
        &self.matrices
    }

    /// Verifies the range proof about this model alone; only then is it pinned.
    pub fn pin(self, proof: &[u8], generators: &Generators) -> Result<PinnedModel, RegistrationInvalid> {
        RangeProof::verify_bytes(proof, &self, generators)?;
        Ok(PinnedModel { registered: self })
    }

    /// Pins a model that is a member of a verified joint registration.
    pub fn pin_jointly(self, joint: &JointRegistration) -> Result<PinnedModel, RegistrationInvalid> {
        joint.check_member(&self.digest)?;
        Ok(PinnedModel { registered: self })
    }
}

/// `2^16 high + low`
fn joined(high: Point, low: Point) -> Point {
    (0..LIMB_BITS).fold(high, |point, _| point + point) + low
}

impl<'a> From<&'a RegisteredModel> for RangeStatement<'a> {
    fn from(model: &'a RegisteredModel) -> Self {
        let lengths = model.pieces.iter().flat_map(|pieces| pieces.lengths().chain(pieces.lengths()));
        Self::one(MODEL_PROTOCOL, model.digest, lengths.collect(), vec![&model.rows])
    }
}

/// A registered model whose range proof holds: every entry of every matrix is an integer of at most [`ENTRY_BOUND`] in
/// magnitude.
#[derive(Debug, Clone)]
pub struct PinnedModel {
    registered: RegisteredModel,
}

impl std::ops::Deref for PinnedModel {
    type Target = RegisteredModel;

    fn deref(&self) -> &RegisteredModel {
        &self.registered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> ModelManifest {
        let matrix = |name: &str, rows, columns| ManifestMatrix {
            name: name.parse().unwrap(),
            rows,
            columns,
            fraction_bits: 20,
        };
        ModelManifest {
            format: MODEL_FORMAT.into(),
            row_length: 1024,
            matrices: vec![matrix("layers.0", 5, 700), matrix("bias", 1, 5)],
            nonce: Digest([3; 32]),
            commitments: CommitmentList { count: 12, digest: Digest([4; 32]) },
        }
    }

    #[test]
    fn the_largest_sizes_are_accepted() {
        let mut largest = manifest();
        largest.row_length = 65_536;
        (largest.matrices[0].rows, largest.matrices[0].columns) = ((1 << 15) - 1, 65_536);
        largest.commitments.count = 1 << 16;
        largest.check().unwrap();
        let text = largest.to_json().unwrap();
        assert_eq!(ModelManifest::from_json(text.as_bytes()), Ok(largest));
    }

    #[test]
    fn a_refused_field_is_named() {
        type Change = fn(&mut ModelManifest);
        let cases: [(&str, Change); 18] = [
            ("format", |m| m.format = "lorica-model/2".into()),
            ("row_length", |m| m.row_length = 512),
            ("row_length", |m| m.row_length = 1 << 17),
            ("row_length", |m| m.row_length = 1025),
            ("row_length", |m| m.row_length = 0),
            ("matrices", |m| m.matrices.clear()),
            ("matrices", |m| m.matrices = vec![m.matrices[0].clone(); MAX_MATRICES + 1]),
            ("matrices[1].name", |m| m.matrices[1].name = m.matrices[0].name.clone()),
            ("matrices[1].rows", |m| m.matrices[1].rows = 0),
            ("matrices[0].rows", |m| m.matrices[0].rows = usize::MAX),
            ("matrices[1].columns", |m| m.matrices[1].columns = 0),
            ("matrices[0].columns", |m| m.matrices[0].columns = 1025),
            ("matrices[0].fraction_bits", |m| m.matrices[0].fraction_bits = 64),
            ("matrices", |m| m.matrices[0].rows = 3_067_834),
            ("matrices", |m| m.matrices[0].rows = (1 << 21) + 1),
            ("commitments.count", |m| m.matrices[0].rows = 6),
            ("commitments.count", |m| m.row_length = 2048),
            ("commitments.count", |m| m.commitments.count = 11),
        ];
        for (name, change) in cases {
            let mut changed = manifest();
            change(&mut changed);
            match changed.check() {
                Err(ManifestError::Field { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn limbs_are_joined() {
        let [high, low] = [[1; 64], [2; 64]].map(|bytes| Point::from_uniform_bytes(&bytes));
        let factor = lorica_algebra::Scalar::from(1u64 << 16);
        assert_eq!(joined(high, low), lorica_algebra::point::multiscalar(&[factor], &[high]) + low);
    }
}
