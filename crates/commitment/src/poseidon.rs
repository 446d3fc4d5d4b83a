//! The Poseidon root of a tensor: what a circuit over BN254 can recompute, with the parameters of circom's library.
//!
//! `P_n` is `poseidon` of circomlib with n inputs (x^5, 8 full rounds, t = n + 1). Every hash begins with a number of its
//! own, so that leaves, nodes and roots are kept apart by their first input and by how many inputs there are:
//!
//! ```text
//! element   as many whole entries as fit into 31 bytes, read as one little-endian integer
//! leaf i    P_12(1, 0, e_0 .. e_9)            plain: ten elements, missing ones 0
//!           P_12(2, salt i, e_0 .. e_9)       salted; salt i = P_3(7, salt, i)
//! node      P_3(3, left, right)
//! shape     h = P_4(4, type, dimensions, bytes); for each dimension, outermost first, h = P_3(5, h, size)
//! root      P_4(6, mode, h, tree)
//! ```
//!
//! `type` is the type's name as a big-endian integer of its ASCII bytes; `mode` is 0 for plain, 1 for salted; the tree
//! without leaves is 0. An element never holds a part of an entry, so that a circuit unpacks it by its bits.

use std::str::FromStr as _;

use ark_bn254::Fr;
use ark_ff::PrimeField as _;
use light_poseidon::{Poseidon, PoseidonError, PoseidonHasher as _};
use rayon::prelude::*;
use zeroize::Zeroizing;

use crate::{fold::fold, tensor::Tensor};

/// Elements of a leaf.
pub const LEAF_ELEMENTS: usize = 10;
/// Bytes that fit into an element of the field, whatever they are.
pub const ELEMENT_BYTES: usize = 31;
const LEAF_INPUTS: usize = LEAF_ELEMENTS + 2;

const LEAF: u64 = 1;
const SALTED_LEAF: u64 = 2;
const NODE: u64 = 3;
const SHAPE: u64 = 4;
const DIMENSION: u64 = 5;
const ROOT: u64 = 6;
const SALT: u64 = 7;

/// 31 secret bytes that make a root tell nothing of its tensor.
pub type Salt = Zeroizing<[u8; ELEMENT_BYTES]>;

/// A root: an element of the scalar field of BN254. Its text form is decimal, as circom's tools have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root(pub Fr);

impl Root {
    /// Reads the decimal form; `None` for anything else, also for other forms of the same element.
    pub fn parse(text: &str) -> Option<Self> {
        Fr::from_str(text).ok().map(Self).filter(|root| root.to_string() == text)
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.into_bigint().fmt(formatter)
    }
}

/// circomlib's `poseidon` of 1 to 12 inputs.
///
/// # Errors
/// Another number of inputs.
pub fn hash(inputs: &[Fr]) -> Result<Fr, PoseidonError> {
    Poseidon::<Fr>::new_circom(inputs.len())?.hash(inputs)
}

/// The root of a tensor, salted or plain.
///
/// # Errors
/// None that an input leads to: every hash has a supported number of inputs.
pub fn root(tensor: &Tensor, salt: Option<&Salt>) -> Result<Root, PoseidonError> {
    let salt = salt.map(|salt| Zeroizing::new(integer(&**salt)));
    let width = (tensor.dtype.bitsize() / 8).max(1);
    let element = ELEMENT_BYTES / width * width;
    let leaves: Vec<Fr> = tensor
        .bytes
        .par_chunks(element * LEAF_ELEMENTS)
        .enumerate()
        .map_init(
            || (Poseidon::<Fr>::new_circom(LEAF_INPUTS), Poseidon::<Fr>::new_circom(3)),
            |(leaf, small), (index, bytes)| {
                let (Ok(leaf), Ok(small)) = (leaf, small) else { return hash(&[]) };
                let (tag, own) = match &salt {
                    None => (LEAF, Fr::from(0u64)),
                    Some(salt) => {
                        let index = u64::try_from(index).unwrap_or(u64::MAX);
                        (SALTED_LEAF, small.hash(&[SALT.into(), **salt, index.into()])?)
                    }
                };
                let mut inputs = Zeroizing::new([Fr::from(0u64); LEAF_INPUTS]);
                let values = [tag.into(), own].into_iter().chain(bytes.chunks(element).map(integer));
                inputs.iter_mut().zip(values).for_each(|(input, value)| *input = value);
                leaf.hash(&*inputs)
            },
        )
        .collect::<Result<_, _>>()?;
    let node = |hasher: &mut Result<Poseidon<Fr>, PoseidonError>, left: &Fr, right: &Fr| match hasher {
        Ok(hasher) => hasher.hash(&[NODE.into(), *left, *right]),
        Err(_) => hash(&[]),
    };
    let tree = fold(leaves, || Poseidon::<Fr>::new_circom(3), node)?.unwrap_or_default();
    let dtype = Fr::from_be_bytes_mod_order(tensor.dtype_name().as_bytes());
    let dimensions = u64::try_from(tensor.shape.len()).unwrap_or(u64::MAX);
    let mut shape = hash(&[SHAPE.into(), dtype, dimensions.into(), tensor.length().into()])?;
    for size in &tensor.shape {
        shape = hash(&[DIMENSION.into(), shape, (*size).into()])?;
    }
    hash(&[ROOT.into(), u64::from(salt.is_some()).into(), shape, tree]).map(Root)
}

/// At most 31 bytes as a little-endian integer: smaller than the field's order, so nothing is reduced.
fn integer(bytes: &[u8]) -> Fr {
    Fr::from_le_bytes_mod_order(bytes)
}
