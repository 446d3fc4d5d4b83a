//! The manifest: everything public about an adapter, fixed before the first session and pinned by its digest.
//!
//! A manifest is a JSON file with one canonical form (the form [`Manifest::to_json`] writes; nothing else is
//! accepted), and its digest is the SHA-256 of that file: `sha256sum manifest.json` recomputes the pin.
//! Beside it stand the commitment list, whose SHA-256 the manifest holds, and the registration proof.

use lorica_relation::session::ModuleShape;
use lorica_tensor::{Digest, ModuleName};
use serde::{Deserialize, Serialize};

use crate::canonical;

/// The format this crate reads and writes.
pub const MANIFEST_FORMAT: &str = "lorica-manifest/1";
/// The largest manifest file that is read, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 16 << 20;
/// The largest input or output width, and so the largest number of row bases.
pub const MAX_WIDTH: usize = 65_536;
/// The largest rank of a module.
pub const MAX_RANK: usize = 512;
/// The largest number of modules.
pub const MAX_MODULES: usize = 4_096;
/// The largest number of rank indices of all modules together.
pub const MAX_TOTAL_RANK: usize = 1 << 18;
/// The widest and the default weight, in bits.
pub const MAX_WEIGHT_BITS: u32 = 16;
/// The narrowest weight, in bits.
pub const MIN_WEIGHT_BITS: u32 = 2;
/// Magnitude bound of a public power-of-two exponent.
pub const MAX_EXPONENT: i32 = 512;

/// The base model an adapter belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseIdentity {
    /// The decoder family, such as `gpt2` or `llama`.
    pub family: String,
    /// Digest of the parts of `config.json` that change the forward pass, in canonical form.
    pub config: Digest,
    /// Digest over all weight tensors (names, types, shapes, bytes), whatever files hold them.
    pub weights: Digest,
}

/// How alpha and the rank make the scaling factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalingRule {
    /// `alpha / r`
    Rank,
    /// `alpha / sqrt(r)` (rsLoRA)
    SqrtRank,
}

/// The scaling factor of a module: a public float applied after the exact integer product.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// `lora_alpha`, finite.
    pub alpha: f64,
    /// How the rank enters.
    pub rule: ScalingRule,
}

impl Scaling {
    /// The factor for a module of the given rank.
    pub fn factor(self, rank: usize) -> f64 {
        // Ranks are at most MAX_RANK, so the conversion is exact.
        let rank = f64::from(u32::try_from(rank).unwrap_or(u32::MAX));
        match self.rule {
            ScalingRule::Rank => self.alpha / rank,
            ScalingRule::SqrtRank => self.alpha / rank.sqrt(),
        }
    }
}

/// One adapted module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestModule {
    /// The linear layer's path in the base model.
    pub name: ModuleName,
    /// Input width d.
    pub inputs: usize,
    /// Output width o.
    pub outputs: usize,
    /// Rank r.
    pub rank: usize,
    /// Bits of a weight integer, sign included; a function of the shape alone (see [`weight_bits_for`]).
    pub weight_bits: u32,
    /// Floats of A are `integer * 2^-a_exponent`.
    pub a_exponent: i32,
    /// Floats of B are `integer * 2^-b_exponent`.
    pub b_exponent: i32,
    /// The factor after the exact product.
    pub scaling: Scaling,
}

impl ManifestModule {
    /// The shape, as the relation speaks of it.
    pub fn shape(&self) -> ModuleShape {
        ModuleShape { name: self.name.clone(), inputs: self.inputs, outputs: self.outputs, rank: self.rank }
    }

    /// A float delta is `D * delta_unit(e)`, e the exponent of the token row: `2^-(e + a_exponent + b_exponent) * scaling`.
    pub fn delta_unit(&self, row_exponent: i16) -> f64 {
        let exponent =
            i32::from(row_exponent).saturating_add(self.a_exponent).saturating_add(self.b_exponent);
        2f64.powi(exponent.saturating_neg()) * self.scaling.factor(self.rank)
    }
}

/// The commitment list that stands beside a manifest, 32 bytes each. Of an adapter: for each module in order, `rank`
/// commitments to the rows of A and then `rank` commitments to the columns of B.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitmentList {
    /// Number of commitments.
    pub count: usize,
    /// SHA-256 of the file.
    pub digest: Digest,
}

/// Whether the entries of the committed matrices are proven to be in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeLevel {
    /// Not proven: a session proof shows equality modulo the group order with a fixed committed low-rank map.
    None,
    /// Every entry is proven to be an integer in `[-2^15, 2^15)`: a session proof shows equality over the integers.
    Int16,
}

/// Everything public about an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: String,
    /// The base model the adapter was trained for.
    pub base: BaseIdentity,
    /// The adapted modules, in strictly increasing order of their names.
    pub modules: Vec<ManifestModule>,
    /// Fresh for each commitment: the blinds are derived from it, so two commitments of one adapter share none.
    pub nonce: Digest,
    /// The commitments to all rows.
    pub commitments: CommitmentList,
    /// What is proven of the range of the entries.
    pub range: RangeLevel,
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The file is not JSON of this shape.
    #[error("the manifest is not valid: {message}")]
    Json {
        /// The parser's message, with line and column.
        message: String,
    },
    /// The file is not in canonical form, so its digest would not be unique.
    #[error(
        "the manifest is not in canonical form: the first difference is at byte {offset}; files made by `lorica` are canonical, do not edit them"
    )]
    NotCanonical {
        /// Where the file first differs from its canonical form.
        offset: usize,
    },
    /// A field has a value that is not accepted.
    #[error("manifest field {field}: expected {expected}, found {found}")]
    Field {
        /// The field's path.
        field: String,
        /// What is accepted.
        expected: String,
        /// What is there.
        found: String,
    },
}

pub(crate) fn field(
    field: impl Into<String>,
    expected: impl Into<String>,
    found: impl ToString,
) -> ManifestError {
    ManifestError::Field { field: field.into(), expected: expected.into(), found: found.to_string() }
}

/// The weight bits for a shape: the widest w <= 16 for which `2^15 * 2^(w-1) * d * 2^(w-1) * r <= 2^63 - 1`, so that
/// the exact delta of every int16 input fits in an i64. It depends on public shapes alone: chosen from the weights it would leak.
///
/// Returns `None` when the shape is outside the supported sizes.
pub fn weight_bits_for(inputs: usize, outputs: usize, rank: usize) -> Option<u32> {
    if inputs == 0
        || outputs == 0
        || rank == 0
        || inputs > MAX_WIDTH
        || outputs > MAX_WIDTH
        || rank > MAX_RANK
    {
        return None;
    }
    let terms = u128::try_from(inputs).ok()?.checked_mul(u128::try_from(rank).ok()?)?;
    (MIN_WEIGHT_BITS..=MAX_WEIGHT_BITS).rev().find(|bits| {
        let weight = 1u128 << (bits - 1);
        let bound = (1u128 << 15) * weight * weight * terms;
        i64::try_from(bound).is_ok()
    })
}

impl Manifest {
    /// The canonical text of the manifest.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        canonical::write(self)
    }

    /// Reads a manifest and checks every field and its canonical form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ManifestError> {
        canonical::read(bytes, Self::check)
    }

    /// The digest a user pins: SHA-256 of the canonical text.
    pub fn digest(&self) -> Result<Digest, ManifestError> {
        Ok(Digest::sha256(self.to_json()?.as_bytes()))
    }

    /// The shapes of all modules, in order.
    pub fn shapes(&self) -> Vec<ModuleShape> {
        self.modules.iter().map(ManifestModule::shape).collect()
    }

    /// Checks every field against the supported sizes and against each other.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != MANIFEST_FORMAT {
            return Err(field("format", MANIFEST_FORMAT, &self.format));
        }
        if self.base.family.is_empty() || self.base.family.len() > 64 {
            return Err(field("base.family", "1 to 64 bytes", self.base.family.len()));
        }
        if self.modules.is_empty() || self.modules.len() > MAX_MODULES {
            return Err(field("modules", format!("1 to {MAX_MODULES} modules"), self.modules.len()));
        }
        let mut total_rank = 0usize;
        let mut previous: Option<&ModuleName> = None;
        for (index, module) in self.modules.iter().enumerate() {
            module.check(index)?;
            if previous.is_some_and(|name| name >= &module.name) {
                return Err(field(
                    format!("modules[{index}].name"),
                    "strictly increasing names",
                    &module.name,
                ));
            }
            previous = Some(&module.name);
            total_rank = total_rank.saturating_add(module.rank);
        }
        if total_rank > MAX_TOTAL_RANK {
            return Err(field("modules", format!("a total rank of at most {MAX_TOTAL_RANK}"), total_rank));
        }
        let count = total_rank.saturating_mul(2);
        if self.commitments.count != count {
            return Err(field(
                "commitments.count",
                format!("{count}, two for each rank index"),
                self.commitments.count,
            ));
        }
        Ok(())
    }
}

impl ManifestModule {
    fn check(&self, index: usize) -> Result<(), ManifestError> {
        let path = |name: &str| format!("modules[{index}].{name}");
        let Some(bits) = weight_bits_for(self.inputs, self.outputs, self.rank) else {
            return Err(field(
                path("inputs, outputs, rank"),
                format!("1..={MAX_WIDTH}, 1..={MAX_WIDTH}, 1..={MAX_RANK}"),
                format!("{}, {}, {}", self.inputs, self.outputs, self.rank),
            ));
        };
        if self.weight_bits != bits {
            return Err(field(path("weight_bits"), format!("{bits} for this shape"), self.weight_bits));
        }
        for (name, exponent) in [("a_exponent", self.a_exponent), ("b_exponent", self.b_exponent)] {
            if exponent.unsigned_abs() > MAX_EXPONENT.unsigned_abs() {
                return Err(field(path(name), format!("-{MAX_EXPONENT}..={MAX_EXPONENT}"), exponent));
            }
        }
        if !self.scaling.alpha.is_finite() {
            return Err(field(path("scaling.alpha"), "a finite number", self.scaling.alpha));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(alpha: f64) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT.into(),
            base: BaseIdentity { family: "gpt2".into(), config: Digest([1; 32]), weights: Digest([2; 32]) },
            modules: vec![ManifestModule {
                name: "h.0.attn".parse().unwrap(),
                inputs: 4096,
                outputs: 4096,
                rank: 16,
                weight_bits: 16,
                a_exponent: 20,
                b_exponent: -3,
                scaling: Scaling { alpha, rule: ScalingRule::SqrtRank },
            }],
            nonce: Digest([3; 32]),
            commitments: CommitmentList { count: 32, digest: Digest([4; 32]) },
            range: RangeLevel::None,
        }
    }

    #[test]
    fn every_alpha_survives_its_text() {
        // A parser that is off by one unit in the last place would find the canonical form broken.
        for bits in (0..20_000u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
            let alpha = f64::from_bits(bits);
            if alpha.is_finite() {
                let text = manifest(alpha).to_json().unwrap();
                assert_eq!(
                    Manifest::from_json(text.as_bytes()).unwrap().to_json().unwrap(),
                    text,
                    "{alpha:e}"
                );
            }
        }
    }

    #[test]
    fn weight_bits_keep_every_delta_inside_an_i64() {
        for (inputs, rank) in
            [(1, 1), (768, 16), (4096, 16), (8192, 16), (8193, 16), (65_536, 512), (65_536, 1)]
        {
            let bits = weight_bits_for(inputs, 10, rank).unwrap();
            let largest = |bits: u32| (1i128 << 15) * (1i128 << (2 * (bits - 1))) * (inputs * rank) as i128;
            assert!(largest(bits) <= i128::from(i64::MAX), "{inputs}, {rank}");
            assert!(
                bits == 16 || largest(bits + 1) > i128::from(i64::MAX),
                "{inputs}, {rank}: {bits} is not the widest"
            );
        }
        for (inputs, outputs, rank) in
            [(0, 1, 1), (1, 0, 1), (1, 1, 0), (65_537, 1, 1), (1, 65_537, 1), (1, 1, 513)]
        {
            assert_eq!(weight_bits_for(inputs, outputs, rank), None);
        }
    }

    #[test]
    fn a_refused_field_is_named() {
        type Change = fn(&mut Manifest);
        let cases: [(&str, Change); 9] = [
            ("format", |m| m.format = "lorica-manifest/2".into()),
            ("base.family", |m| m.base.family.clear()),
            ("modules", |m| m.modules.clear()),
            ("modules[1].name", |m| m.modules.push(m.modules[0].clone())),
            ("modules[0].inputs, outputs, rank", |m| m.modules[0].rank = 0),
            ("modules[0].weight_bits", |m| m.modules[0].weight_bits = 15),
            ("modules[0].a_exponent", |m| m.modules[0].a_exponent = 513),
            ("modules[0].scaling.alpha", |m| m.modules[0].scaling.alpha = f64::NAN),
            ("commitments.count", |m| m.commitments.count = 31),
        ];
        for (name, change) in cases {
            let mut changed = manifest(8.0);
            change(&mut changed);
            match changed.check() {
                Err(ManifestError::Field { field, .. }) => assert_eq!(field, name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
