//! The three commitments against independent computations, known answers, and every change of what they bind.
//!
//! Poseidon vectors: made with circomlibjs `poseidon([1, 1, ..])`, as they stand in the tests of light-poseidon
//! (Apache-2.0), for 1 to 12 inputs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, path::Path};

use ark_bn254::Fr;
use ark_ff::{BigInteger as _, PrimeField as _};
use half::{bf16, f16};
use lorica_algebra::{Scalar, point, scalar};
use lorica_commitment::{
    CommitError, CommitOptions, CommitmentSecret, Document, DocumentError, Kind, Outcome, Tensor, commit,
    pedersen, poseidon, sha256, verify,
};
use lorica_tensor::checkpoint::{Checkpoint, Dtype};
use safetensors::tensor::TensorView;
use sha2::{Digest as _, Sha256};

fn tensor(dtype: Dtype, shape: &[u64], bytes: Vec<u8>) -> Tensor {
    Tensor { name: "w".to_owned(), dtype, shape: shape.to_vec(), bytes }
}

/// Bytes without a pattern that a tree could hide.
fn bytes(count: usize) -> Vec<u8> {
    (0..count as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

fn floats(count: usize) -> Vec<u8> {
    (0..count).flat_map(|i| ((i as f32 * 0.37).sin() * 0.05).to_le_bytes()).collect()
}

/// The tree as RFC 6962 writes it, by recursion.
fn tree<T: Copy>(leaves: &[T], node: &dyn Fn(T, T) -> T) -> T {
    match leaves {
        [one] => *one,
        _ => {
            let left = leaves.len().next_power_of_two() / 2;
            node(tree(&leaves[..left], node), tree(&leaves[left..], node))
        }
    }
}

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

#[test]
fn the_sha256_root_is_the_one_of_the_specification() {
    for count in [0, 1, 4, 1024, 1025, 3 * 1024, 7 * 1024 + 5] {
        let tensor = tensor(Dtype::U8, &[count as u64], bytes(count));
        let leaves: Vec<_> = tensor.bytes.chunks(1024).map(|chunk| sha(&[&[0], chunk])).collect();
        let tree = match leaves.len() {
            0 => sha(&[]),
            _ => tree(&leaves, &|left, right| sha(&[&[1], &left, &right])),
        };
        let expected = sha(&[
            &[3],
            b"lorica tensor sha256 1",
            &[0],
            &[2],
            b"U8",
            &1u32.to_le_bytes(),
            &(count as u64).to_le_bytes(),
            &(count as u64).to_le_bytes(),
            &tree,
        ]);
        assert_eq!(sha256::root(&tensor, None), expected, "{count} bytes");
    }
}

#[test]
fn poseidon_is_the_one_of_circom() {
    for (inputs, expected) in (1..).zip(CIRCOM) {
        let hash = poseidon::hash(&vec![Fr::from(1u64); inputs]).unwrap();
        assert_eq!(hex::encode(hash.into_bigint().to_bytes_be()), expected, "{inputs} inputs");
    }
    let hash = poseidon::hash(&[Fr::from(1u64), Fr::from(2u64)]).unwrap();
    let text = "7853200120776062878684798364095072458815029376092732009249414926327459813530";
    assert_eq!(poseidon::Root(hash).to_string(), text);
    assert_eq!(poseidon::Root::parse(text), Some(poseidon::Root(hash)));
    // Above the order of the field, with zeros, or no number at all.
    let order = "21888242871839275222246405745257275088548364400416034343698204186575808495617";
    for bad in [order, "007853", "-1", "", "1e3", "0x1"] {
        assert_eq!(poseidon::Root::parse(bad), None, "{bad}");
    }
}

const CIRCOM: [&str; 12] = [
    "29176100eaa962bdc1fe6c654d6a3c130e96a4d1168b33848b897dc502820133",
    "007af346e2d304279e79e0a9f3023f771294a78acb70e73f90afe27cad401e81",
    "02c0066e10a72abd2b33c3b214cb3e81bcb1b6e30961cd23c202b18673bf2543",
    "082c9c370a0d24f4416fbc414a37681f78442d27d86385991c17d6fc0c4b7d71",
    "10389605ae688d4f14db853122c47d66a803c72b41589cb1bf868741b206b9bb",
    "2a73f679328c3eab724aa3e5bdbf50b39035d7729f135b9709890f85c5dc5e76",
    "2276310aa7f3343a284214139d9da959be2a31b2c708a5f81954b265e53a30b8",
    "177e1453c446e1b07d2b4233425147095c4fcabb233d230b6d46a214d95b2884",
    "0e8fee2fe49da30fdeeb48c42ebb44cc6ee7055f61fbca5e313b8a5fca834c47",
    "2ec4c65e6378ab8c7330854f4a7077c1ff9260e44885c4b81dd131ad3a86cd96",
    "00713d41eca635f117d4ecbceb5f3a66dc4142eb70b56765bc358f1bec40bb9b",
    "14390be0baef249bd47c65ddac65c2e52e8513c081c1cd72c98006098e9a8fbe",
];

#[test]
fn the_poseidon_root_is_the_one_of_the_specification() {
    let p = |inputs: &[Fr]| poseidon::hash(inputs).unwrap();
    let n = |value: u64| Fr::from(value);
    // Type, entry bytes, entries of an element.
    for (dtype, name, width, per) in [
        (Dtype::F32, "F32", 4, 7),
        (Dtype::BF16, "BF16", 2, 15),
        (Dtype::F64, "F64", 8, 3),
        (Dtype::U8, "U8", 1, 31),
    ] {
        for count in [0, 1, per, per + 1, 10 * per, 25 * per + 1] {
            let tensor = tensor(dtype, &[1, count as u64], bytes(count * width));
            let elements: Vec<Fr> =
                tensor.bytes.chunks(per * width).map(Fr::from_le_bytes_mod_order).collect();
            let leaf = |elements: &[Fr]| {
                let mut inputs = vec![n(1), n(0)];
                inputs.extend_from_slice(elements);
                inputs.resize(12, n(0));
                p(&inputs)
            };
            let leaves: Vec<Fr> = elements.chunks(10).map(leaf).collect();
            let tree = match leaves.len() {
                0 => n(0),
                _ => tree(&leaves, &|left, right| p(&[n(3), left, right])),
            };
            let name = name.bytes().fold(0, |value, byte| value << 8 | u64::from(byte));
            let shape = p(&[n(4), n(name), n(2), n((count * width) as u64)]);
            let shape = p(&[n(5), p(&[n(5), shape, n(1)]), n(count as u64)]);
            let expected = poseidon::Root(p(&[n(6), n(0), shape, tree]));
            assert_eq!(poseidon::root(&tensor, None).unwrap(), expected, "{name} {count}");
        }
    }
}

#[test]
fn pedersen_rows_are_the_sums_of_the_specification() {
    let secret = CommitmentSecret::from_seed([5; 32]);
    let generators = pedersen::generators();
    let key = zeroize::Zeroizing::new([9; 32]);
    let halves: Vec<u8> = (0..5000).flat_map(|i| bf16::from_f32(i as f32 / 512.0).to_le_bytes()).collect();
    let tensors = [
        // Exact: the integers are the entries.
        (tensor(Dtype::I16, &[5000], (0..5000i16).flat_map(|i| (i - 2500).to_le_bytes()).collect()), 0, 1.0),
        (tensor(Dtype::I8, &[3], vec![0x80, 0xff, 0x7f]), 0, 1.0),
        (tensor(Dtype::U8, &[3], vec![0x80, 0xff, 0x7f]), 0, 1.0),
        // The largest is 4999/512 < 16 = 2^4, so the exponent is 15 - 4.
        (tensor(Dtype::BF16, &[2, 2500], halves), 11, 2f64.powi(11)),
    ];
    for (tensor, exponent, scale) in tensors {
        let rows = pedersen::commit(&tensor, &key, &generators).unwrap();
        assert_eq!(rows.exponent, exponent);
        let values: Vec<f64> = match tensor.dtype {
            Dtype::I16 => {
                tensor.bytes.chunks(2).map(|b| f64::from(i16::from_le_bytes([b[0], b[1]]))).collect()
            }
            Dtype::I8 => tensor.bytes.iter().map(|b| f64::from(*b as i8)).collect(),
            Dtype::U8 => tensor.bytes.iter().map(|b| f64::from(*b)).collect(),
            _ => tensor.bytes.chunks(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
        };
        let integers: Vec<i64> =
            values.iter().map(|value| (value * scale).round_ties_even() as i64).collect();
        let mut hash = Sha256::new();
        for (index, row) in integers.chunks(4096).enumerate() {
            let mut blind = [0; 64];
            let mut hasher = blake3::Hasher::new_keyed(&key);
            hasher.update(b"lorica tensor row blind 1").update(&(index as u64).to_le_bytes());
            hasher.finalize_xof().fill(&mut blind);
            let mut scalars: Vec<Scalar> = row.iter().map(|value| Scalar::from(*value)).collect();
            scalars.push(scalar::from_uniform_bytes(&blind));
            let mut points = generators.rows()[..row.len()].to_vec();
            points.push(*generators.blinding());
            let expected = point::multiscalar(&scalars, &points).compress().to_bytes();
            assert_eq!(rows.points[index], expected, "{} row {index}", tensor.dtype);
            hash.update(expected);
        }
        assert_eq!(rows.points.len(), integers.len().div_ceil(4096));
        let name = tensor.dtype.to_string();
        let mut public =
            [b"lorica tensor pedersen 1".as_slice(), &[name.len() as u8], name.as_bytes()].concat();
        public.extend((tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().for_each(|size| public.extend(size.to_le_bytes()));
        public.extend((tensor.bytes.len() as u64).to_le_bytes());
        public.extend(exponent.to_le_bytes());
        public.extend((rows.points.len() as u64).to_le_bytes());
        public.extend(rows.points.concat());
        assert_eq!(rows.root, sha(&[&public]));
    }
    assert_eq!(format!("{secret:?}"), "CommitmentSecret(..)");
}

#[test]
fn types_without_16_bit_integers_have_no_rows() {
    let (key, generators) = (zeroize::Zeroizing::new([9; 32]), pedersen::generators());
    for dtype in [Dtype::F64, Dtype::I32, Dtype::I64, Dtype::BOOL, Dtype::U16, Dtype::F8_E4M3] {
        let error = pedersen::commit(&tensor(dtype, &[1], bytes(8)), &key, &generators).unwrap_err();
        assert!(error.to_string().contains(&dtype.to_string()), "{error}");
    }
    for value in [f32::NAN, f32::INFINITY] {
        let bytes = [1.0f32, value].iter().flat_map(|v| v.to_le_bytes()).collect();
        let error = pedersen::commit(&tensor(Dtype::F32, &[2], bytes), &key, &generators).unwrap_err();
        assert!(error.to_string().contains("entry 1"), "{error}");
    }
}

/// A file of tensors, and what is committed to of it.
struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn new(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.write(tensors);
        file
    }

    fn write(&self, tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap())
        });
        std::fs::write(self.path(), safetensors::serialize(views, None).unwrap()).unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("model.safetensors")
    }

    fn open(&self) -> Checkpoint {
        Checkpoint::open(&self.path()).unwrap()
    }
}

const ALL: [Kind; 3] = [Kind::Sha256, Kind::Poseidon, Kind::Pedersen];

fn two_tensors() -> Vec<(&'static str, Dtype, &'static [usize], Vec<u8>)> {
    let halves = (0..300).flat_map(|i| f16::from_f32(i as f32 - 100.0).to_le_bytes()).collect();
    vec![("a.weight", Dtype::F32, &[50, 100], floats(5000)), ("b.bias", Dtype::F16, &[300], halves)]
}

fn document(path: &Path, hiding: bool, kinds: &[Kind], seed: u8) -> Document {
    let file = Checkpoint::open(path).unwrap();
    let names = file.tensors().into_iter().map(|tensor| tensor.name).collect();
    let secret = CommitmentSecret::from_seed([seed; 32]);
    let kinds = kinds.iter().copied().collect();
    let options = CommitOptions { kinds: &kinds, hiding, secret: Some(&secret), progress: None };
    commit(&file, &names, &options).unwrap()
}

fn outcomes(document: &Document, file: &Checkpoint, seed: u8) -> Vec<Outcome> {
    let secret = CommitmentSecret::from_seed([seed; 32]);
    let kinds = document.kinds();
    let options = CommitOptions { kinds: &kinds, hiding: false, secret: Some(&secret), progress: None };
    verify(document, file, &options).unwrap()
}

/// What does not hold, as "tensor kind".
fn broken(document: &Document, file: &Checkpoint, seed: u8) -> Vec<String> {
    let outcomes = outcomes(document, file, seed);
    let broken = outcomes.iter().filter(|outcome| outcome.difference.is_some());
    broken.map(|outcome| format!("{} {}", outcome.tensor, outcome.kind)).collect()
}

#[test]
fn a_document_holds_for_its_tensors_and_names_what_does_not() {
    let file = File::new(&two_tensors());
    for hiding in [false, true] {
        let document = document(&file.path(), hiding, &ALL, 1);
        let text = document.to_json().unwrap();
        assert_eq!(Document::parse(text.as_bytes()).unwrap(), document);
        assert_eq!(outcomes(&document, &file.open(), 1).len(), 6);
        assert_eq!(broken(&document, &file.open(), 1), [""; 0]);

        // One entry of one tensor, well above a step of the rounding.
        let mut changed = two_tensors();
        changed[0].3[4 * 4500..4 * 4501].copy_from_slice(&0.04f32.to_le_bytes());
        let other = File::new(&changed);
        assert_eq!(
            broken(&document, &other.open(), 1),
            ["a.weight sha256", "a.weight poseidon", "a.weight pedersen"]
        );
        let outcomes = outcomes(&document, &other.open(), 1);
        assert!(outcomes[2].difference.as_ref().unwrap().starts_with("row 1 (entries 4096 to 8191)"));

        // Below the rounding: the roots bind the bytes, the rows the integers.
        let mut changed = two_tensors();
        changed[0].3[4 * 17] ^= 1;
        let other = File::new(&changed);
        assert_eq!(broken(&document, &other.open(), 1), ["a.weight sha256", "a.weight poseidon"]);

        // Same bytes, another shape or type; a tensor that is gone.
        for shape in [&[100, 50][..], &[5000], &[1, 50, 100]] {
            let mut changed = two_tensors();
            changed[0].2 = shape;
            assert_eq!(broken(&document, &File::new(&changed).open(), 1).len(), 3, "{shape:?}");
        }
        let mut changed = two_tensors();
        changed[1].1 = Dtype::BF16;
        assert_eq!(
            broken(&document, &File::new(&changed).open(), 1),
            ["b.bias sha256", "b.bias poseidon", "b.bias pedersen"]
        );
        let gone = File::new(&two_tensors()[..1]);
        assert_eq!(broken(&document, &gone.open(), 1).len(), 3);
        // Another opening: whatever is salted or blinded does not open.
        let expected: &[&str] = match hiding {
            true => &["a.weight sha256", "a.weight poseidon", "a.weight pedersen"],
            false => &["a.weight pedersen"],
        };
        assert_eq!(broken(&document, &file.open(), 2)[..expected.len()], *expected);
    }
}

#[test]
fn a_tensor_that_is_not_finite_any_more_does_not_hold() {
    let file = File::new(&two_tensors());
    let document = document(&file.path(), false, &ALL, 1);
    let mut changed = two_tensors();
    changed[0].3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    file.write(&changed);
    assert_eq!(
        broken(&document, &file.open(), 1),
        ["a.weight sha256", "a.weight poseidon", "a.weight pedersen"]
    );
}

#[test]
fn every_value_of_a_document_matters() {
    let rows: Vec<u8> = (0..4100i16).flat_map(i16::to_le_bytes).collect();
    let file = File::new(&[("a.weight", Dtype::I16, &[4100], rows), ("b.bias", Dtype::F32, &[2], floats(2))]);
    let document = document(&file.path(), true, &ALL, 1);
    let text = document.to_json().unwrap();
    // Every digit, letter or bracket changed: refused, or something does not hold.
    let step = 29;
    for place in (0..text.len()).step_by(step) {
        let mut bytes = text.clone().into_bytes();
        bytes[place] = if bytes[place] == b'1' { b'2' } else { b'1' };
        let Ok(changed) = Document::parse(&bytes) else { continue };
        assert!(!broken(&changed, &file.open(), 1).is_empty(), "byte {place}");
    }
    let swapped = {
        let mut swapped = document.clone();
        let rows = &mut swapped.tensors[0].pedersen.as_mut().unwrap().rows;
        rows.swap(0, 1);
        swapped
    };
    assert_eq!(broken(&swapped, &file.open(), 1), ["a.weight pedersen"]);
    let mut plain = document.clone();
    plain.hiding = false;
    assert_eq!(broken(&plain, &file.open(), 1).len(), 4, "salted roots are no plain roots");
    let mut fewer = document.clone();
    fewer.tensors[1].sha256 = None;
    assert_eq!(broken(&fewer, &file.open(), 1), ["b.bias sha256"]);
    let mut longer = document;
    longer.tensors[0].pedersen.as_mut().unwrap().rows.pop();
    assert_eq!(broken(&longer, &file.open(), 1), ["a.weight pedersen"]);
}

#[test]
fn malformed_documents_are_refused() {
    let file = File::new(&two_tensors());
    let text = document(&file.path(), false, &[Kind::Sha256, Kind::Poseidon], 1).to_json().unwrap();
    let parse = |text: &str| Document::parse(text.as_bytes()).unwrap_err();
    assert_eq!(parse(&text.replace("  ", " ")), DocumentError::Spelling);
    assert_eq!(parse(text.trim_end()), DocumentError::Spelling);
    assert!(matches!(parse(&text.replacen("commitment/1", "commitment/2", 1)), DocumentError::Form { .. }));
    assert!(matches!(parse(&text.replacen('{', "{\"more\": 1,", 1)), DocumentError::Form { .. }));
    assert!(matches!(parse(&text.replacen("\"F32\"", "\"F33\"", 1)), DocumentError::Form { .. }));
    assert!(matches!(parse(&text.replacen("a.weight", "c.weight", 1)), DocumentError::Order { .. }));
    assert!(matches!(parse(&text.replacen("a.weight", "b.bias", 1)), DocumentError::Order { .. }));
    assert!(matches!(
        parse("{\"format\":\"lorica-tensor-commitment/1\",\"hiding\":false,\"tensors\":[]}"),
        DocumentError::Form { .. }
    ));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.retain(|line| !line.contains("sha256") && !line.contains("poseidon"));
    let bare = lines.join("\n").replace(",\n    }", "\n    }");
    assert!(matches!(parse(&bare), DocumentError::Tensor { reason: "no commitment", .. }), "{bare}");
}

#[test]
fn hiding_commitments_say_nothing_of_equal_tensors() {
    let same = floats(64);
    let tensors: Vec<(&str, Dtype, &[usize], Vec<u8>)> =
        vec![("a", Dtype::F32, &[64], same.clone()), ("b", Dtype::F32, &[64], same)];
    let file = File::new(&tensors);
    let plain = document(&file.path(), false, &ALL, 1);
    assert_eq!(plain.tensors[0].sha256, plain.tensors[1].sha256);
    assert_eq!(plain.tensors[0].poseidon, plain.tensors[1].poseidon);
    let (one, other) = (document(&file.path(), true, &ALL, 1), document(&file.path(), true, &ALL, 2));
    let mut seen = BTreeSet::new();
    for tensor in plain.tensors[..1].iter().chain(&one.tensors).chain(&other.tensors) {
        assert!(seen.insert(tensor.sha256.unwrap().to_string()));
        assert!(seen.insert(tensor.poseidon.clone().unwrap()));
    }
    let rows = [&plain, &one, &other].map(|document| document.tensors.clone()).concat();
    // The plain document and the first hiding one share the seed, and so the blinds.
    let rows: BTreeSet<_> = rows.iter().map(|tensor| tensor.pedersen.clone().unwrap().rows[0]).collect();
    assert_eq!(rows.len(), 4);
}

#[test]
fn a_leaf_is_never_a_node_and_equal_bytes_in_other_places_differ() {
    // A tensor of two chunks, and one whose only chunk is the two leaf hashes of the first.
    let long = tensor(Dtype::U8, &[2048], bytes(2048));
    let leaves: Vec<u8> = long.bytes.chunks(1024).flat_map(|chunk| sha(&[&[0], chunk])).collect();
    let short = tensor(Dtype::U8, &[64], leaves);
    assert_ne!(sha256::root(&long, None), sha256::root(&short, None));
    // Trees that double a last node have one root for these two.
    let three = tensor(Dtype::U8, &[3072], [[1; 1024], [2; 1024], [3; 1024]].concat());
    let four = tensor(Dtype::U8, &[4096], [[1; 1024], [2; 1024], [3; 1024], [3; 1024]].concat());
    assert_ne!(sha256::root(&three, None), sha256::root(&four, None));
    assert_ne!(poseidon::root(&three, None), poseidon::root(&four, None));
    // Zeros at the end, which padding adds as well.
    let zeros = tensor(Dtype::U8, &[32], vec![0; 32]);
    let more = tensor(Dtype::U8, &[33], vec![0; 33]);
    assert_ne!(poseidon::root(&zeros, None), poseidon::root(&more, None));
    let small = tensor(Dtype::U8, &[32], vec![7; 32]);
    assert_ne!(sha256::root(&small, None).to_vec(), small.bytes);
}

#[test]
fn what_is_missing_is_an_error() {
    let file = File::new(&two_tensors());
    let names = BTreeSet::from(["a.weight".to_owned()]);
    let commit_with =
        |names: &BTreeSet<String>, kinds: &[Kind], hiding, secret: Option<&CommitmentSecret>| {
            let kinds = kinds.iter().copied().collect();
            commit(&file.open(), names, &CommitOptions { kinds: &kinds, hiding, secret, progress: None })
        };
    assert!(matches!(commit_with(&names, &[Kind::Pedersen], false, None), Err(CommitError::NoSecret)));
    assert!(matches!(commit_with(&names, &[Kind::Sha256], true, None), Err(CommitError::NoSecret)));
    assert!(matches!(commit_with(&names, &[], false, None), Err(CommitError::Nothing)));
    assert!(matches!(commit_with(&BTreeSet::new(), &ALL, false, None), Err(CommitError::Nothing)));
    let unknown = BTreeSet::from(["c".to_owned()]);
    assert!(matches!(commit_with(&unknown, &[Kind::Sha256], false, None), Err(CommitError::Load(_))));
    assert!(commit_with(&names, &[Kind::Sha256, Kind::Poseidon], false, None).is_ok());
}

#[test]
fn openings_have_one_form() {
    let secret = CommitmentSecret::from_seed(std::array::from_fn(|i| i as u8));
    let text = secret.to_text();
    assert_eq!(*CommitmentSecret::from_text(&text).unwrap().to_text(), *text);
    for wrong in [
        "",
        text.trim_end(),
        &text.to_uppercase(),
        &text.replace("opening/1", "opening/2"),
        &format!("{}\n", *text),
    ] {
        assert!(CommitmentSecret::from_text(wrong).is_err());
    }
}

/// What others have stored must stay what it is: any change of a value here takes a new version.
#[test]
fn commitments_are_frozen() {
    let file = File::new(&[("w", Dtype::F32, &[8, 5], floats(40))]);
    for (hiding, expected) in [(false, FROZEN), (true, FROZEN_HIDING)] {
        let document = document(&file.path(), hiding, &ALL, 3);
        let tensor = &document.tensors[0];
        let rows = tensor.pedersen.as_ref().unwrap();
        assert_eq!((rows.exponent, rows.rows.len()), (19, 1));
        let found = [
            tensor.sha256.unwrap().to_string(),
            tensor.poseidon.clone().unwrap(),
            rows.root.to_string(),
            rows.rows[0].to_string(),
        ];
        assert_eq!(found, expected, "hiding {hiding}");
    }
}

const FROZEN: [&str; 4] = [
    "92507f751a5837a16244149d74d6177433cd5bb1c04b15a33b62426115f79de8",
    "8473960435833820206605436137161632878699431339746752583676441137649688741738",
    "76d344ea247a01612114a3adc4a2ac435c905721baed63af8d72431eb6876121",
    "8e00a1b64f3e761dd5ae1740cc4dcb8eaff27c5d0a5456e952a8e4826db4e92c",
];
const FROZEN_HIDING: [&str; 4] = [
    "5358dbfd2596b0f5e23bf6ce6ed6568687f09911acd011e12d6d5fb545ad08c3",
    "19507177151050261264650643766121606812354045481230586887687370067815544243387",
    "76d344ea247a01612114a3adc4a2ac435c905721baed63af8d72431eb6876121",
    "8e00a1b64f3e761dd5ae1740cc4dcb8eaff27c5d0a5456e952a8e4826db4e92c",
];
