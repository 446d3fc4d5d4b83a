//! The bytes of a session proof.
//!
//! `LoricaS1`, one byte for the opening mode (`F` or `C`), then in the order of the schedule: the round commitments over
//! pairs, alpha, beta, gamma, the product proof, the round commitments over modules and items, and the opening.
//! Every count follows from the statement; a proof of any other length is refused.

use lorica_algebra::point::{EncodedPoint, POINT_BYTES};
use lorica_argument::codec::{CodecError, Reader, Writer};
use lorica_argument::opening::{OpeningMode, OpeningProof, fold_count};
use lorica_argument::product::ProductProof;

use crate::layout::Layout;
use crate::schedule::FactorCommitments;
use crate::statement::Sizes;

const MAGIC: &[u8; 8] = b"LoricaS1";
const FAST: u8 = b'F';
const COMPACT: u8 = b'C';

/// A session proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionProof {
    /// Round commitments of the first sumcheck.
    pub pair_rounds: Vec<EncodedPoint>,
    /// alpha, beta, gamma.
    pub factors: FactorCommitments,
    /// `alpha * beta = gamma`.
    pub product: ProductProof,
    /// Round commitments of the second sumcheck over modules.
    pub module_rounds: Vec<EncodedPoint>,
    /// Round commitments of the second sumcheck over items.
    pub item_rounds: Vec<EncodedPoint>,
    /// The one opening.
    pub opening: OpeningProof,
}

/// Reads the mode byte.
pub(crate) fn read_mode(reader: &mut Reader<'_>) -> Result<OpeningMode, CodecError> {
    let [mode] = *reader.array::<1>("opening mode")?;
    match mode {
        FAST => Ok(OpeningMode::Fast),
        COMPACT => Ok(OpeningMode::Compact),
        other => Err(CodecError::Unexpected {
            field: "opening mode",
            offset: MAGIC.len(),
            expected: "F or C".into(),
            found: other.escape_ascii().to_string(),
        }),
    }
}

/// The mode byte.
pub(crate) fn mode_byte(mode: OpeningMode) -> u8 {
    match mode {
        OpeningMode::Fast => FAST,
        OpeningMode::Compact => COMPACT,
    }
}

impl SessionProof {
    /// Reads a proof for a statement of the given sizes.
    pub fn from_bytes(bytes: &[u8], sizes: &Sizes) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        reader.expect("magic and version", MAGIC)?;
        let mode = read_mode(&mut reader)?;
        let entries = sizes.width.saturating_add(Layout::new(sizes).slots());
        let proof = Self {
            pair_rounds: reader.points("pair round", sizes.pair_rounds)?,
            factors: FactorCommitments {
                alpha: reader.point("alpha")?,
                beta: reader.point("beta")?,
                gamma: reader.point("gamma")?,
            },
            product: ProductProof::read(&mut reader)?,
            module_rounds: reader.points("module round", sizes.module_rounds)?,
            item_rounds: reader.points("item round", sizes.item_rounds)?,
            opening: OpeningProof::read(&mut reader, mode, entries)?,
        };
        reader.finish()?;
        Ok(proof)
    }

    /// Number of bytes of every proof for a statement of the given sizes: known before it is made.
    pub fn encoded_bytes(sizes: &Sizes, mode: OpeningMode) -> usize {
        // Points and scalars both take 32 bytes. The product proof has 4 points and 5 scalars, an opening 1 and 2 before
        // its response.
        const FACTORS: usize = 3;
        const PRODUCT: usize = 9;
        const OPENING: usize = 3;
        let entries = sizes.width.saturating_add(Layout::new(sizes).slots());
        let response = match mode {
            OpeningMode::Fast => entries,
            OpeningMode::Compact => fold_count(entries).saturating_mul(2).saturating_add(1),
        };
        [sizes.pair_rounds, sizes.module_rounds, sizes.item_rounds, FACTORS, PRODUCT, OPENING, response]
            .into_iter()
            .fold(0usize, usize::saturating_add)
            .saturating_mul(POINT_BYTES)
            .saturating_add(MAGIC.len())
            .saturating_add(1)
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.bytes(MAGIC);
        writer.bytes(&[mode_byte(self.opening.mode())]);
        writer.points(&self.pair_rounds);
        for point in [&self.factors.alpha, &self.factors.beta, &self.factors.gamma] {
            writer.point(point);
        }
        self.product.write(&mut writer);
        writer.points(&self.module_rounds);
        writer.points(&self.item_rounds);
        self.opening.write(&mut writer);
        writer.finish()
    }
}
