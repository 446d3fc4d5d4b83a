//! Random adapters with their registrations.

use lorica_argument::generators::Generators;
use lorica_prove::randomness::Entropy;
use lorica_prove::registration::{Registered, Registration};
use lorica_prove::secret::AdapterSecret;
use lorica_relation::session::{LowRank, Witness};
use lorica_tensor::Digest;
use lorica_verify::layout::Layout;
use lorica_verify::manifest::{
    BaseIdentity, ManifestModule, RangeLevel, Scaling, ScalingRule, weight_bits_for,
};
use lorica_verify::registered::PinnedAdapter;
use lorica_verify::registered::RegisteredAdapter;
use zeroize::Zeroizing;

use crate::random::Random;

/// The shape of a module: inputs, outputs, rank.
pub type Shape = (usize, usize, usize);

/// A random adapter, registered and pinned.
pub struct AdapterFixture {
    /// Its integers.
    pub witness: Witness,
    /// Its secret.
    pub secret: AdapterSecret,
    /// The public artefacts.
    pub registered: Registered,
    /// Checked against each other, registration proof included.
    pub pinned: PinnedAdapter,
    /// Enough bases for sessions of this adapter.
    pub generators: Generators,
}

/// The manifest entries for modules of given shapes.
pub fn modules(shapes: &[Shape]) -> Vec<ManifestModule> {
    let entry = |(index, &(inputs, outputs, rank)): (usize, &Shape)| ManifestModule {
        name: format!("layers.{index:04}.proj").parse().expect("a module name"),
        inputs,
        outputs,
        rank,
        weight_bits: weight_bits_for(inputs, outputs, rank).expect("a supported shape"),
        a_exponent: 14,
        b_exponent: 12,
        scaling: Scaling { alpha: 16.0, rule: ScalingRule::Rank },
    };
    shapes.iter().enumerate().map(entry).collect()
}

/// Random integers for modules.
pub fn witness(modules: &[ManifestModule], random: &mut Random) -> Witness {
    let entry = |module: &ManifestModule| LowRank {
        a: random.integers(module.rank * module.inputs, module.weight_bits),
        b: random.integers(module.rank * module.outputs, module.weight_bits),
    };
    Witness { modules: modules.iter().map(entry).collect() }
}

/// Entropy for tests.
pub fn entropy(random: &mut Random) -> Entropy {
    Entropy(Zeroizing::new(random.bytes()))
}

impl AdapterFixture {
    /// A random adapter with modules of the given shapes.
    pub fn new(shapes: &[Shape], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let modules = modules(shapes);
        let witness = witness(&modules, &mut random);
        Self::with_witness(modules, witness, &mut random)
    }

    /// An adapter with given integers and a fresh secret.
    pub fn with_witness(modules: Vec<ManifestModule>, witness: Witness, random: &mut Random) -> Self {
        let secret = AdapterSecret::from_seed(random.bytes());
        Self::with_secret(modules, witness, secret, random)
    }

    /// An adapter with given integers and secret, under a fresh nonce.
    pub fn with_secret(
        modules: Vec<ManifestModule>,
        witness: Witness,
        secret: AdapterSecret,
        random: &mut Random,
    ) -> Self {
        Self::with_range(modules, witness, secret, RangeLevel::None, random)
    }

    /// An adapter that is registered with a range argument.
    pub fn in_range(shapes: &[Shape], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let modules = modules(shapes);
        let witness = witness(&modules, &mut random);
        let secret = AdapterSecret::from_seed(random.bytes());
        Self::with_range(modules, witness, secret, RangeLevel::Int16, &mut random)
    }

    /// An adapter with given integers, secret and range level, under a fresh nonce.
    pub fn with_range(
        modules: Vec<ManifestModule>,
        witness: Witness,
        secret: AdapterSecret,
        range: RangeLevel,
        random: &mut Random,
    ) -> Self {
        let shapes: Vec<_> = modules.iter().map(ManifestModule::shape).collect();
        let sizes = lorica_verify::statement::Sizes::of(&shapes);
        let generators = Generators::derive(sizes.width, Layout::new(&sizes).slots());
        let registration = Registration {
            base: BaseIdentity {
                family: "test".into(),
                config: Digest::sha256(b"config"),
                weights: Digest::sha256(b"weights"),
            },
            modules,
            witness: &witness,
            nonce: Digest(random.bytes()),
            secret: &secret,
            generators: &generators,
            range,
        };
        let registered = registration.run(&entropy(random), &|_, _| {}).expect("registration");
        let pinned =
            RegisteredAdapter::from_bytes(registered.manifest.as_bytes(), &registered.commitments, None)
                .expect("artefacts that belong together")
                .pin(&registered.proof, &generators)
                .expect("a registration proof that holds");
        Self { witness, secret, registered, pinned, generators }
    }
}
