//! A small adapter: two modules share an input, one stands alone.

use lorica_relation::session::{LowRank, Witness};
use lorica_session::{
    contributor::{Offer, Serving},
    messages::control::Limits,
    user::{Open, Proposal},
};
use lorica_tensor::{Digest, ModuleName};
use lorica_verify::manifest::{
    BaseIdentity, CommitmentList, MANIFEST_FORMAT, Manifest, ManifestModule, RangeLevel, Scaling,
    ScalingRule, weight_bits_for,
};

/// Name, inputs, outputs, rank.
pub(crate) const MODULES: [(&str, usize, usize, usize); 3] =
    [("a.k_proj", 6, 4, 2), ("a.q_proj", 6, 5, 3), ("b.out", 3, 2, 1)];

pub(crate) fn manifest() -> Manifest {
    let modules = MODULES.iter().map(|&(name, inputs, outputs, rank)| ManifestModule {
        name: name.parse().unwrap(),
        inputs,
        outputs,
        rank,
        weight_bits: weight_bits_for(inputs, outputs, rank).unwrap(),
        a_exponent: 10,
        b_exponent: 12,
        scaling: Scaling { alpha: 8.0, rule: ScalingRule::Rank },
    });
    Manifest {
        format: MANIFEST_FORMAT.to_owned(),
        base: BaseIdentity { family: "gpt2".to_owned(), config: Digest([1; 32]), weights: Digest([2; 32]) },
        modules: modules.collect(),
        nonce: Digest([3; 32]),
        commitments: CommitmentList { count: 12, digest: Digest([4; 32]) },
        range: RangeLevel::None,
    }
}

pub(crate) fn witness() -> Witness {
    let value = |seed: usize| ((seed * 7919 + 13) % 65_536) as i32 as i16;
    Witness {
        modules: MODULES
            .iter()
            .enumerate()
            .map(|(module, &(_, inputs, outputs, rank))| LowRank {
                a: (0..rank * inputs).map(|at| value(at + 100 * module)).collect(),
                b: (0..rank * outputs).map(|at| value(at + 100 * module + 50)).collect(),
            })
            .collect(),
    }
}

pub(crate) fn streams() -> Vec<Vec<ModuleName>> {
    [&["a.q_proj", "a.k_proj"][..], &["b.out"]]
        .iter()
        .map(|names| names.iter().map(|name| name.parse().unwrap()).collect())
        .collect()
}

pub(crate) fn limits() -> Limits {
    Limits { max_rows_per_call: 8, max_body_bytes: 4096, max_total_rows: 20, max_float_rows: 3 }
}

pub(crate) fn proposal() -> Proposal {
    let manifest = manifest();
    Proposal::new(&manifest, manifest.digest().unwrap(), &streams(), Digest([5; 32])).unwrap()
}

pub(crate) fn open() -> (Open, Serving) {
    let proposal = proposal();
    let offer = Offer::new(manifest(), limits()).unwrap();
    let (serving, reply) = offer.accept(proposal.request(), Digest([6; 32])).unwrap();
    (proposal.receive(&reply).unwrap(), serving)
}

/// Rows of a stream of this width, and their exponents.
pub(crate) fn rows(count: usize, width: usize, seed: i16) -> (Vec<i16>, Vec<i16>) {
    let inputs = (0..count * width).map(|at| (at as i16).wrapping_mul(4001).wrapping_add(seed)).collect();
    (inputs, vec![seed; count])
}
