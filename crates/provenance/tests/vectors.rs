//! Known answers from public test data, and an independent implementation that reads our logs.
//!
//! Tree vectors: `proof/verify_test.go` of transparency-dev/merkle (Apache-2.0). Note and checkpoint vectors:
//! `sumdb/note/note_test.go` of golang/mod (BSD-3-Clause). Tile numbers and paths: the text of c2sp.org/tlog-tiles.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Log, event, signer};
use lorica_provenance::{
    Hash, LogReader, LogSigner, Note, NoteError, VerifierKey,
    tile::{Row, Tile, levels},
    tree::{self, Heads, Subtrees, root_of_inclusion, verify_consistency},
};

const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Leaf, tree size, proof; leaves counted from 1.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (3, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        2,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Old size, new size, proof.
const CONSISTENCY: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn hash(text: &str) -> Hash {
    Hash(hex::decode(text).unwrap().try_into().unwrap())
}

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}

/// Subtrees of leaves in memory.
struct Leaves(Vec<Hash>);

impl Leaves {
    fn known() -> Self {
        Self(LEAVES.iter().map(|leaf| Hash::leaf(&hex::decode(leaf).unwrap())).collect())
    }
}

impl Subtrees for Leaves {
    type Error = std::convert::Infallible;

    fn subtree(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let start = (index << level) as usize;
        Ok(Hash::perfect(&self.0[start..start + (1 << level)]).unwrap())
    }
}

#[test]
fn roots_are_those_of_rfc_6962() {
    assert_eq!(Hash::empty(), hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    let leaves = Leaves::known();
    let mut frontier = tree::Frontier::default();
    assert_eq!(frontier.root(), Hash::empty());
    for (size, root) in (1..).zip(ROOTS) {
        frontier.push(0, leaves.0[size as usize - 1]);
        assert_eq!(frontier.root(), hash(root), "{size} leaves");
        assert_eq!(tree::root(size, &leaves), Ok(hash(root)), "{size} leaves");
    }
}

#[test]
fn inclusion_proofs_are_those_of_rfc_6962_and_no_change_of_one_holds() {
    let leaves = Leaves::known();
    for (leaf, size, proof) in INCLUSION {
        let (index, proof) = (leaf - 1, hashes(proof));
        let leaf = leaves.0[index as usize];
        let root = hash(ROOTS[size as usize - 1]);
        assert_eq!(tree::inclusion(index, size, &leaves), Ok(Some(proof.clone())));
        let leads =
            |index, size, leaf, proof: &[Hash]| root_of_inclusion(index, size, leaf, proof) == Some(root);
        assert!(leads(index, size, leaf, &proof));
        assert!(!leads(index + 1, size, leaf, &proof));
        assert!(index == 0 || !leads(index - 1, size, leaf, &proof));
        assert!(!leads(index ^ 2, size, leaf, &proof));
        assert!(!leads(index, size * 2, leaf, &proof) && !leads(index, size / 2, leaf, &proof));
        assert!(!leads(index, size, Hash::empty(), &proof));
        for extra in [root, leaf, Hash::empty()] {
            assert!(!leads(index, size, leaf, &[proof.clone(), vec![extra]].concat()));
            assert!(!leads(index, size, leaf, &[vec![extra], proof.clone()].concat()));
        }
        for place in 0..proof.len() {
            let mut changed = proof.clone();
            changed[place].0[0] ^= 8;
            assert!(!leads(index, size, leaf, &changed));
            changed.remove(place);
            assert!(!leads(index, size, leaf, &changed));
        }
    }
    assert_eq!(tree::inclusion(8, 8, &leaves), Ok(None));
    assert_eq!(root_of_inclusion(0, 0, Hash::empty(), &[]), None);
}

#[test]
fn consistency_proofs_are_those_of_rfc_6962_and_no_change_of_one_holds() {
    let leaves = Leaves::known();
    for (old, new, proof) in CONSISTENCY {
        let proof = hashes(proof);
        assert_eq!(tree::consistency(old, new, &leaves), Ok(Some(proof.clone())));
        let (old_root, new_root) = (hash(ROOTS[old as usize - 1]), hash(ROOTS[new as usize - 1]));
        let holds = |old: (u64, Hash), new: (u64, Hash), proof: &[Hash]| {
            verify_consistency(&Heads { old, new }, proof)
        };
        assert!(holds((old, old_root), (new, new_root), &proof));
        if proof.is_empty() {
            continue;
        }
        for (old, new) in [(old - 1, new), (old + 1, new), (old ^ 2, new), (old, new * 2), (old, new / 2)] {
            assert!(!holds((old, old_root), (new, new_root), &proof), "{old} to {new}");
        }
        assert!(!holds((old, Hash::empty()), (new, new_root), &proof));
        assert!(!holds((old, old_root), (new, Hash::empty()), &proof));
        assert!(!holds((old, new_root), (new, old_root), &proof));
        assert!(!holds((old, old_root), (new, new_root), &[]));
        for extra in [old_root, new_root, proof[0], Hash::empty()] {
            assert!(!holds((old, old_root), (new, new_root), &[proof.clone(), vec![extra]].concat()));
            assert!(!holds((old, old_root), (new, new_root), &[vec![extra], proof.clone()].concat()));
        }
        for place in 0..proof.len() {
            let mut changed = proof.clone();
            changed[place].0[0] ^= 16;
            assert!(!holds((old, old_root), (new, new_root), &changed));
            changed.remove(place);
            assert!(!holds((old, old_root), (new, new_root), &changed));
        }
    }
    let some = hash(ROOTS[3]);
    let holds = |old, new, proof: &[Hash]| verify_consistency(&Heads { old, new }, proof);
    assert!(holds((0, Hash::empty()), (4, some), &[]));
    assert!(!holds((0, some), (4, some), &[]), "the empty tree has one root");
    assert!(!holds((0, Hash::empty()), (4, some), &[some]));
    assert!(!holds((1, some), (0, some), &[]) && !holds((2, some), (1, some), &[]));
    assert_eq!(tree::consistency(5, 4, &leaves), Ok(None));
}

const VERIFIER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const OTHER_VERIFIER: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const SIGNER: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const OTHER_LINE: &str = "\u{2014} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

#[test]
fn keys_are_those_of_signed_notes_and_no_part_of_one_is_a_key() {
    let (verifier, signer): (VerifierKey, _) =
        (VERIFIER.parse().unwrap(), LogSigner::from_text(SIGNER).unwrap());
    assert_eq!(verifier.to_string(), VERIFIER);
    assert_eq!(*signer.to_text(), SIGNER);
    assert_eq!(*signer.verifier(), verifier);
    let bad = |key: &str| key.parse::<VerifierKey>().is_err() && LogSigner::from_text(key).is_err();
    for text in [VERIFIER, SIGNER] {
        for start in 0..text.len() {
            for end in start..=text.len() {
                assert!((start, end) == (0, text.len()) || bad(&text[start..end]), "{}", &text[start..end]);
            }
        }
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] += 1;
            assert!(bad(std::str::from_utf8(&bytes).unwrap()), "byte {place}");
        }
    }
    // A key that is too long and one of an unknown type, each with the id that fits it.
    assert!(bad("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="));
    assert!(bad("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"));
}

#[test]
fn notes_are_signed_and_verified_as_others_do() {
    let signer = LogSigner::from_text(SIGNER).unwrap();
    assert_eq!(Note::sign(TEXT.to_owned(), &signer).unwrap().to_string(), format!("{TEXT}\n{LINE}"));
    assert!(Note::sign("abc".to_owned(), &signer).is_err());

    let (peter, enoch): (VerifierKey, VerifierKey) =
        (VERIFIER.parse().unwrap(), OTHER_VERIFIER.parse().unwrap());
    let both = Note::parse(format!("{TEXT}\n{LINE}{OTHER_LINE}").as_bytes()).unwrap();
    assert_eq!((both.verified(&peter), both.verified(&enoch)), (Ok(TEXT), Ok(TEXT)));
    let one = Note::parse(format!("{TEXT}\n{OTHER_LINE}").as_bytes()).unwrap();
    assert!(matches!(one.verified(&peter), Err(NoteError::Unsigned { .. })));

    // One signature of a known key that does not hold condemns the note.
    let broken = format!("{}ABCD{}", &LINE[..60], &LINE[60..]);
    let note = Note::parse(format!("{TEXT}\n{LINE}{broken}").as_bytes()).unwrap();
    assert!(matches!(note.verified(&peter), Err(NoteError::Signature { .. })));
    let other_text = Note::parse(format!("x{TEXT}\n{LINE}").as_bytes()).unwrap();
    assert!(matches!(other_text.verified(&peter), Err(NoteError::Signature { .. })));

    for malformed in [
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("{TEXT}\n{}", &LINE[..LINE.len() - 1]),
        format!("\u{1}{TEXT}\n{LINE}"),
        format!("{TEXT}\n{}", LINE.replace("PeterNeumann", "Bad Name")),
        format!("{TEXT}\n{LINE}Unexpected line.\n"),
        format!("{TEXT}\n{}", LINE.repeat(101)),
    ] {
        assert!(matches!(Note::parse(malformed.as_bytes()), Err(NoteError::Malformed { .. })), "{malformed}");
    }
    assert!(Note::parse(&[b"\xff", TEXT.as_bytes(), b"\n", LINE.as_bytes()].concat()).is_err());
}

#[test]
fn tiles_are_those_of_the_specification() {
    // "index 1234067 will be encoded as x001/x234/067"
    let tile = |row, index, width| Tile { row, index, width }.path().to_str().unwrap().to_owned();
    assert_eq!(tile(Row::Level(3), 1_234_067, 256), "tile/3/x001/x234/067");
    assert_eq!(tile(Row::Entries, 5, 17), "tile/entries/005.p/17");
    // "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one full
    // level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1"
    let width = |level, index| Tile::of_size(Row::Level(level), index, 70_000).map(|tile| tile.width);
    assert_eq!([width(0, 272), width(0, 273), width(0, 274)], [Some(256), Some(112), None]);
    assert_eq!([width(1, 0), width(1, 1), width(1, 2)], [Some(256), Some(17), None]);
    assert_eq!([width(2, 0), width(2, 1), width(3, 0)], [Some(1), None, None]);
    assert_eq!([levels(0), levels(1), levels(255), levels(256), levels(70_000)], [0, 1, 1, 2, 3]);
    assert_eq!(Tile::of_size(Row::Level(1), 0, 256).map(|tile| tile.width), Some(1));
    assert_eq!(levels(u64::MAX), 8);
}

/// Our folder, as the other implementation reads tiles.
struct Folder<'a>(&'a Log);

impl tlog_tiles::TileReader for Folder<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::tlog::Error> {
        // Its paths name the height, as those of Go's checksum database do.
        let path = |tile: &tlog_tiles::Tile| self.0.file(tile.path().replacen("tile/8/", "tile/", 1));
        Ok(tiles.iter().map(|tile| std::fs::read(path(tile)).unwrap()).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn another_implementation_reads_our_log_and_makes_the_same_proofs() {
    const SIZE: u64 = 70_003;
    let log = Log::of(SIZE);
    let reader = LogReader::new(&log.path());
    let head = reader.checkpoint(signer().verifier()).unwrap();
    let ours = head.checkpoint();
    // The text of the checkpoint, as it parses it.
    let text = ours.text();
    let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
    assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), ("lorica.test/log", SIZE, ours.root.0));
    let folder = Folder(&log);
    let source = tlog_tiles::TileHashReader::new(SIZE, tlog_tiles::Hash(ours.root.0), &folder);
    let view = reader.at(SIZE);
    let same = |theirs: Vec<tlog_tiles::Hash>, ours: &[Hash]| {
        theirs.iter().map(|hash| hash.0).eq(ours.iter().map(|hash| hash.0))
    };
    for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, SIZE - 1] {
        let proof = view.inclusion(index).unwrap();
        assert!(same(tlog_tiles::prove_record(SIZE, index, &source).unwrap(), &proof), "entry {index}");
        let entry = event(index).to_bytes().unwrap();
        assert_eq!(root_of_inclusion(index, SIZE, Hash::leaf(&entry), &proof), Some(ours.root));
    }
    for old in [1, 2, 255, 256, 257, 65_536, 65_537, SIZE - 1, SIZE] {
        let proof = view.consistency(old).unwrap();
        assert!(same(tlog_tiles::prove_tree(SIZE, old, &source).unwrap(), &proof), "old size {old}");
    }
}
