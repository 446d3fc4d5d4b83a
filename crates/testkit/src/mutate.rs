//! Random damage to valid artefacts: most of it small, so that it gets past the first check and into the depths.

use crate::random::Random;

/// Integers at which sizes and offsets tend to go wrong.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];
/// Pieces of JSON that stand where something else was expected.
const WORDS: [&str; 12] = [
    "null",
    "true",
    "-1",
    "1e999",
    "99999999999999999999",
    "\"\"",
    "[]",
    "{}",
    "\u{0}",
    "\\u0000",
    "NaN",
    "[[[[",
];

/// The artefact after one to four random edits; it may come out as it was.
pub fn mutate(valid: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..=random.below(4) {
        edit(&mut bytes, random);
    }
    bytes
}

fn edit(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = at + random.below((bytes.len() - at).min(40) + 1);
    match random.below(10) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 if at < bytes.len() => bytes[at] = random.next_u64() as u8,
        3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let piece = bytes[at..end].to_vec();
            let target = random.below(bytes.len() + 1);
            bytes.splice(target..target, piece);
        }
        6 => bytes.truncate(at),
        7 => bytes.extend_from_slice(&random.bytes()[..random.below(33)]),
        8 => {
            let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&edge[..width]);
        }
        _ => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..end, word.bytes());
        }
    }
}
