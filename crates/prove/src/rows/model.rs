//! The registration of a model.

use lorica_algebra::Scalar;
use lorica_argument::generators::Generators;
use lorica_relation::training::{Settings, WeightMatrix};
use lorica_tensor::Digest;
use lorica_verify::manifest::CommitmentList;
use lorica_verify::rows::model::{LIMB_BITS, MODEL_FORMAT, ManifestMatrix, ModelManifest, RegisteredModel};
use lorica_verify::rows::pieces::Pieces;
use zeroize::{Zeroize, Zeroizing};

use super::{Committed, RowsRegistrationError, commitment_list};
use crate::randomness::Entropy;
use crate::range::{IntegerProver, IntegerRows};
use crate::registration::Registered;
use crate::secret::{AdapterSecret, RowOf};

/// The least integer of a matrix.
pub const LEAST_ENTRY: i64 = i32::MIN as i64;
/// The largest integer of a matrix: the largest one with a high limb of 16 bits beside a signed low one.
pub const MOST_ENTRY: i64 = i32::MAX as i64 - (1 << (LIMB_BITS - 1));

/// The integers of a matrix, row by row, as `2^16 high + low` with both limbs of 16 bits. Wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Limbs {
    high: Vec<i16>,
    low: Vec<i16>,
}

impl Drop for Limbs {
    fn drop(&mut self) {
        self.high.zeroize();
        self.low.zeroize();
    }
}

impl Limbs {
    /// Takes integers apart; `what` is named where one is not from [`LEAST_ENTRY`] to [`MOST_ENTRY`].
    pub fn of<V: Copy + Into<i64>>(what: &str, values: &[V]) -> Result<Self, RowsRegistrationError> {
        let mut limbs =
            Self { high: Vec::with_capacity(values.len()), low: Vec::with_capacity(values.len()) };
        for (entry, value) in values.iter().enumerate() {
            let found: i64 = (*value).into();
            if !(LEAST_ENTRY..=MOST_ENTRY).contains(&found) {
                let (what, least, most) = (what.to_owned(), LEAST_ENTRY, MOST_ENTRY);
                return Err(RowsRegistrationError::Outside { what, entry, found, least, most });
            }
            // The low limb is the signed remainder, so the high one is found - low, divided without a rest.
            let low = found as i16;
            limbs.low.push(low);
            limbs.high.push(((found - i64::from(low)) >> LIMB_BITS) as i16);
        }
        Ok(limbs)
    }

    /// The high limbs, row by row.
    pub fn high(&self) -> &[i16] {
        &self.high
    }

    /// The low limbs, row by row.
    pub fn low(&self) -> &[i16] {
        &self.low
    }
}

/// The number of entries of a commitment row for the weights of a configuration: about an eighth of those that move, so that a
/// step sends few commitments.
pub fn row_length(settings: &Settings) -> usize {
    const LEAST: usize = 1 << 10;
    const MOST: usize = 1 << 14;
    let weights = settings.weights();
    let widest = weights.iter().map(|matrix| matrix.shape.columns).max().unwrap_or(1);
    let moved: usize =
        weights.iter().filter(|matrix| matrix.update.is_some()).map(|matrix| matrix.shape.entries()).sum();
    (moved / 8).next_power_of_two().clamp(LEAST, MOST).max(widest.next_power_of_two())
}

/// Matrices of a configuration as a manifest lists them, and the limbs of their integers, in the same order.
pub fn weight_matrices<V: Copy + Into<i64> + Zeroize>(
    matrices: &[WeightMatrix],
    values: &[Zeroizing<Vec<V>>],
) -> Result<(Vec<ManifestMatrix>, Vec<Limbs>), RowsRegistrationError> {
    let (mut listed, mut limbs) = (Vec::new(), Vec::new());
    for (WeightMatrix { name, shape, bits, .. }, values) in matrices.iter().zip(values) {
        listed.push(ManifestMatrix {
            name: name.parse()?,
            rows: shape.rows,
            columns: shape.columns,
            fraction_bits: *bits,
        });
        limbs.push(Limbs::of(name, values)?);
    }
    Ok((listed, limbs))
}

/// What is registered.
pub struct ModelRegistration<'a> {
    /// The largest number of entries of a commitment row: a power of two.
    pub row_length: usize,
    /// The matrices, in the order in which they are numbered.
    pub matrices: Vec<ManifestMatrix>,
    /// Their integers, in the same order.
    pub limbs: &'a [Limbs],
    /// Fresh public randomness for this commitment.
    pub nonce: Digest,
    /// The seed of all blinds.
    pub secret: &'a AdapterSecret,
    /// The bases; those that are missing are derived.
    pub generators: &'a Generators,
}

impl ModelRegistration<'_> {
    /// Commits to every piece and proves that all limbs are in range. `progress` is told (limbs done, of all).
    pub fn run(
        &self,
        entropy: &Entropy,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Registered, RowsRegistrationError> {
        let Committed { manifest, commitments, registered } = self.commit(progress)?;
        let rows = model_rows(&registered, self.limbs, self.secret)?;
        let statement = &(&registered).into();
        let prover =
            IntegerProver { statement, rows: &rows, secret: self.secret, generators: self.generators };
        Ok(Registered { manifest, commitments, proof: prover.prove(entropy)?.to_bytes() })
    }

    /// Commits to every piece, without a proof: what a joint proof is made for.
    pub fn commit(
        &self,
        progress: &dyn Fn(u64, u64),
    ) -> Result<Committed<RegisteredModel>, RowsRegistrationError> {
        let mut manifest = ModelManifest {
            format: MODEL_FORMAT.to_owned(),
            row_length: self.row_length,
            matrices: self.matrices.clone(),
            nonce: self.nonce,
            commitments: CommitmentList { count: 0, digest: Digest([0; 32]) },
        };
        manifest.commitments.count = manifest.pieces().iter().map(|pieces| 2 * pieces.count()).sum();
        manifest.check()?;
        let rows = rows_of(&manifest, self.limbs, self.secret)?;
        let (commitments, list) = commitment_list(&rows, self.generators, progress)?;
        manifest.commitments = list;
        let manifest = manifest.to_json()?;
        let registered = RegisteredModel::from_bytes(manifest.as_bytes(), &commitments, None)?;
        Ok(Committed { manifest, commitments, registered })
    }
}

/// The blinds of the commitments to one matrix, one for each piece.
pub struct MatrixBlinds {
    /// Of the high limbs.
    pub high: Zeroizing<Vec<Scalar>>,
    /// Of the low limbs.
    pub low: Zeroizing<Vec<Scalar>>,
}

impl MatrixBlinds {
    /// The blinds of the commitments to the pieces themselves: `2^16 high + low`.
    pub fn joined(&self) -> Zeroizing<Vec<Scalar>> {
        let factor = Scalar::from(1u64 << LIMB_BITS);
        Zeroizing::new(self.high.iter().zip(self.low.iter()).map(|(high, low)| factor * high + low).collect())
    }
}

/// The blinds of all commitments of a model, for each matrix in order.
pub fn model_blinds(model: &RegisteredModel, secret: &AdapterSecret) -> Vec<MatrixBlinds> {
    blinds(model.manifest(), secret)
}

/// The rows of a model with their blinds, in the order of its statement.
pub fn model_rows<'a>(
    model: &RegisteredModel,
    limbs: &'a [Limbs],
    secret: &AdapterSecret,
) -> Result<IntegerRows<'a>, RowsRegistrationError> {
    rows_of(model.manifest(), limbs, secret)
}

fn blinds(manifest: &ModelManifest, secret: &AdapterSecret) -> Vec<MatrixBlinds> {
    let of_limb = |row_of: RowOf<'_>, pieces: &Pieces| {
        let blind = |piece| secret.row_blind(&manifest.nonce, row_of, piece);
        Zeroizing::new((0..pieces.count()).map(blind).collect::<Vec<_>>())
    };
    let of_matrix = |(matrix, pieces): (&ManifestMatrix, Pieces)| MatrixBlinds {
        high: of_limb(RowOf::HighLimbs(&matrix.name), &pieces),
        low: of_limb(RowOf::LowLimbs(&matrix.name), &pieces),
    };
    manifest.matrices.iter().zip(manifest.pieces()).map(of_matrix).collect()
}

fn rows_of<'a>(
    manifest: &ModelManifest,
    limbs: &'a [Limbs],
    secret: &AdapterSecret,
) -> Result<IntegerRows<'a>, RowsRegistrationError> {
    let expected = manifest.matrices.len();
    if limbs.len() != expected {
        return Err(RowsRegistrationError::Matrices { expected, found: limbs.len() });
    }
    let mut rows = Vec::new();
    let mut all_blinds = Zeroizing::new(Vec::with_capacity(manifest.commitments.count));
    let matrices = manifest.matrices.iter().zip(manifest.pieces()).zip(blinds(manifest, secret));
    for (((matrix, pieces), blinds), limbs) in matrices.zip(limbs) {
        for (values, blinds) in [(limbs.high(), blinds.high), (limbs.low(), blinds.low)] {
            let (expected, found) = (matrix.shape().entries(), values.len());
            if expected != found {
                let what = format!("matrix {}", matrix.name);
                return Err(RowsRegistrationError::Shape { what, expected, found });
            }
            rows.extend(values.chunks(matrix.columns << pieces.log_rows()));
            all_blinds.extend_from_slice(&blinds);
        }
    }
    Ok(IntegerRows { rows, blinds: all_blinds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limbs_make_the_integer_up_to_both_ends() {
        let edges = [LEAST_ENTRY, LEAST_ENTRY + 1, -65_537, -32_769, -32_768, -1, 0, 1, 32_767, 32_768];
        let values = [&edges[..], &[65_535, 65_536, MOST_ENTRY - 1, MOST_ENTRY]].concat();
        let limbs = Limbs::of("W", &values).unwrap();
        for ((value, high), low) in values.iter().zip(limbs.high()).zip(limbs.low()) {
            assert_eq!(65_536 * i64::from(*high) + i64::from(*low), *value);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (value, largest) in [(MOST_ENTRY + 1, 0), (LEAST_ENTRY - 1, 0), (i64::MAX, 0), (i64::MIN, 0)] {
            let error = Limbs::of("layers.0", &[largest, value]).err().unwrap();
            let expected = RowsRegistrationError::Outside {
                what: "layers.0".into(),
                entry: 1,
                found: value,
                least: -2_147_483_648,
                most: 2_147_450_879,
            };
            assert_eq!(error, expected);
        }
        assert!(Limbs::of("W", &[i32::MAX]).is_err());
        assert!(Limbs::of("W", &[i32::MIN]).is_ok());
        assert!(super::super::int16("x", &[32_767i32, -32_768]).is_ok());
        let error = super::super::int16("x", &[0i32, 32_768]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x: entry 1 is 32768, accepted are integers from -32768 to 32767; use fewer fraction bits"
        );
    }
}
