//! Several registrations in one proof.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lorica_argument::generators::Generators;
use lorica_prove::registration::integer_rows;
use lorica_prove::rows::joint::{JointMember, prove_joint};
use lorica_testkit::adapter::{AdapterFixture, entropy};
use lorica_testkit::random::Random;
use lorica_testkit::rows::{DataFixture, ModelFixture};
use lorica_testkit::tamper::{range_cases, range_scratch_cases};
use lorica_verify::range::RangeProof;
use lorica_verify::registration::RegistrationInvalid;
use lorica_verify::rows::data::RegisteredData;
use lorica_verify::rows::joint::JointRegistration;
use lorica_verify::rows::statement::{JointError, RangeStatement};

fn generators() -> Generators {
    Generators::derive(1024, 0)
}

fn adapter_member(adapter: &AdapterFixture) -> JointMember<'_> {
    let rows = integer_rows(&adapter.pinned, &adapter.witness, &adapter.secret).unwrap();
    JointMember { statement: (&adapter.pinned).into(), rows }
}

/// An adapter, two data sets of one shape and a model.
struct Members {
    adapter: AdapterFixture,
    data: [DataFixture; 2],
    model: ModelFixture,
}

impl Members {
    fn new() -> Self {
        Self {
            adapter: AdapterFixture::in_range(&[(6, 10, 2), (9, 3, 1)], 100),
            data: [101, 102].map(|seed| DataFixture::new(5, 3, 2, seed)),
            model: ModelFixture::new(&[(3, 4), (1, 4)], 103),
        }
    }

    fn all(&self) -> Vec<JointMember<'_>> {
        let [first, second] = &self.data;
        vec![adapter_member(&self.adapter), first.member(), second.member(), self.model.member()]
    }

    fn statements(&self) -> Vec<RangeStatement<'_>> {
        self.all().into_iter().map(|member| member.statement).collect()
    }

    fn prove(&self) -> Vec<u8> {
        let entropy = entropy(&mut Random::new(104));
        prove_joint(self.all(), &self.model.secret, &generators(), &entropy).unwrap().to_bytes()
    }
}

fn verify(members: Vec<RangeStatement<'_>>, proof: &[u8]) -> Result<JointRegistration, RegistrationInvalid> {
    JointRegistration::verify(members, proof, &generators())
}

#[test]
fn members_of_all_kinds_are_pinned_by_one_proof() {
    let members = Members::new();
    let joint = verify(members.statements(), &members.prove()).unwrap();
    (*members.adapter.pinned).clone().pin_jointly(&joint).unwrap();
    for data in &members.data {
        let pinned = (*data.pinned).clone().pin_jointly(&joint).unwrap();
        assert_eq!(pinned.digest(), data.pinned.digest());
    }
    let pinned = (*members.model.pinned).clone().pin_jointly(&joint).unwrap();
    assert_eq!(pinned.matrices(), members.model.pinned.matrices());

    // What it is not about is not pinned by it.
    let other = DataFixture::new(5, 3, 2, 105);
    let error = (*other.pinned).clone().pin_jointly(&joint).err().unwrap();
    assert_eq!(error, RegistrationInvalid::NotMember { digest: other.pinned.digest() });
    let other = ModelFixture::new(&[(3, 4), (1, 4)], 106);
    assert!((*other.pinned).clone().pin_jointly(&joint).is_err());
    let other = AdapterFixture::in_range(&[(6, 10, 2), (9, 3, 1)], 107);
    assert!((*other.pinned).clone().pin_jointly(&joint).is_err());
}

/// An adapter whose manifest says nothing of the range would be given a verdict that is.
#[test]
fn an_adapter_without_a_range_is_not_pinned_by_a_joint_proof() {
    let plain = AdapterFixture::new(&[(6, 10, 2)], 108);
    let entropy = entropy(&mut Random::new(109));
    let proof = prove_joint([adapter_member(&plain)], &plain.secret, &generators(), &entropy).unwrap();
    let joint = verify(vec![(&plain.pinned).into()], &proof.to_bytes()).unwrap();
    let error = (*plain.pinned).clone().pin_jointly(&joint).err().unwrap();
    assert_eq!(error, RegistrationInvalid::NotInRange);
}

#[test]
fn other_members_are_refused() {
    let members = Members::new();
    let proof = members.prove();
    let statements = members.statements();
    verify(statements.clone(), &proof).unwrap();
    for left_out in 0..statements.len() {
        let mut fewer = statements.clone();
        fewer.remove(left_out);
        assert!(verify(fewer, &proof).is_err(), "member {left_out} may be left out");
    }
    for first in 0..statements.len() {
        for second in 0..first {
            let mut swapped = statements.clone();
            swapped.swap(first, second);
            assert!(verify(swapped, &proof).is_err(), "members {first} and {second} may change places");
        }
    }
    // One more, also one that is there already.
    for more in &statements {
        assert!(verify([statements.clone(), vec![more.clone()]].concat(), &proof).is_err());
    }
    // Another of the same shape in its place.
    let other = DataFixture::new(5, 3, 2, 110);
    for place in [1, 2] {
        let mut replaced = statements.clone();
        replaced[place] = (&*other.pinned).into();
        assert!(verify(replaced, &proof).is_err(), "member {place} may be another");
    }
    // The same commitments under a manifest that gives them another meaning.
    let data = &members.data[0];
    let mut manifest = data.pinned.manifest().clone();
    manifest.inputs.fraction_bits += 1;
    let manifest = manifest.to_json().unwrap();
    let changed =
        RegisteredData::from_bytes(manifest.as_bytes(), &data.registered.commitments, None).unwrap();
    let mut renamed = statements.clone();
    renamed[1] = (&changed).into();
    assert!(verify(renamed, &proof).is_err());
    assert_eq!(
        verify(Vec::new(), &proof).err(),
        Some(RegistrationInvalid::Joint(JointError::Members { found: 0 }))
    );
}

/// A joint proof about one registration is not that registration's own proof, nor the other way round.
#[test]
fn joint_proofs_and_single_ones_are_apart() {
    let data = DataFixture::new(5, 3, 2, 111);
    let entropy = entropy(&mut Random::new(112));
    let joint = prove_joint([data.member()], &data.secret, &generators(), &entropy).unwrap().to_bytes();
    verify(vec![data.member().statement], &joint).unwrap();
    assert!((*data.pinned).clone().pin(&joint, &generators()).is_err());
    assert!(verify(vec![data.member().statement], &data.registered.proof).is_err());
}

#[test]
fn every_field_of_a_joint_proof() {
    let members = Members::new();
    let statement = RangeStatement::joint(members.statements()).unwrap();
    let proof = RangeProof::from_bytes(&members.prove(), &statement.shape()).unwrap();
    for (field, change) in range_cases(&proof) {
        let mut changed = proof.clone();
        change(&mut changed);
        assert!(verify(members.statements(), &changed.to_bytes()).is_err(), "{field} may be changed");
    }
    for (index, changed) in range_scratch_cases(&proof).enumerate() {
        let result = verify(members.statements(), &changed.to_bytes());
        assert!(result.is_err(), "scratch commitment {index} may be changed");
    }
}

/// Twice the members add about two commitments a layer: nothing beside as many proofs.
#[test]
fn a_joint_proof_grows_with_the_logarithm_of_its_members() {
    let all: Vec<_> = (0..16).map(|seed| DataFixture::new(8, 6, 2, 113 + seed)).collect();
    let mut sizes = Vec::new();
    for count in [1, 2, 4, 8, 16] {
        let members = || all[..count].iter().map(DataFixture::member);
        let entropy = entropy(&mut Random::new(130));
        let proof = prove_joint(members(), &all[0].secret, &generators(), &entropy).unwrap().to_bytes();
        let joint = verify(members().map(|member| member.statement).collect(), &proof).unwrap();
        for data in &all[..count] {
            (*data.pinned).clone().pin_jointly(&joint).unwrap();
        }
        sizes.push(proof.len());
    }
    assert_eq!(sizes[0], all[0].registered.proof.len());
    // 64, 128, .., 1024 leaves in one tree, less deep than the table's: the walk over the table has all the rounds already.
    let growth: Vec<_> = sizes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(growth.iter().all(|bytes| *bytes <= 20 * 32), "{sizes:?}");
    assert!(sizes[4] < sizes[0] + sizes[0] / 4, "{sizes:?}");
}
