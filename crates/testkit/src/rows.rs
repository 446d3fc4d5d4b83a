//! Random data sets and models with their registrations.

use lorica_argument::generators::Generators;
use lorica_prove::registration::Registered;
use lorica_prove::rows::data::{DataRegistration, data_rows};
use lorica_prove::rows::joint::JointMember;
use lorica_prove::rows::model::{LEAST_ENTRY, Limbs, MOST_ENTRY, ModelRegistration, model_rows};
use lorica_prove::secret::AdapterSecret;
use lorica_tensor::Digest;
use lorica_verify::rows::data::{Columns, PinnedData, RegisteredData};
use lorica_verify::rows::model::{ManifestMatrix, PinnedModel, RegisteredModel};

use crate::adapter::entropy;
use crate::random::Random;

/// A random data set, registered and pinned.
pub struct DataFixture {
    /// The integers of all samples.
    pub rows: Vec<i16>,
    /// Its secret.
    pub secret: AdapterSecret,
    /// The public artefacts.
    pub registered: Registered,
    /// Checked against each other, range proof included.
    pub pinned: PinnedData,
}

impl DataFixture {
    /// A data set of so many samples with so many inputs and targets.
    pub fn new(samples: usize, inputs: usize, targets: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let rows = random.integers(samples * (inputs + targets), 16);
        let secret = AdapterSecret::from_seed(random.bytes());
        Self::with_secret([inputs, targets], rows, secret, &mut random)
    }

    /// A data set with given integers and secret, under a fresh nonce.
    pub fn with_secret(
        widths: [usize; 2],
        rows: Vec<i16>,
        secret: AdapterSecret,
        random: &mut Random,
    ) -> Self {
        let [inputs, targets] = widths;
        let generators = Generators::derive(inputs + targets, 0);
        let registration = DataRegistration {
            inputs: Columns { width: inputs, fraction_bits: 8 },
            targets: Columns { width: targets, fraction_bits: 12 },
            rows: &rows,
            nonce: Digest(random.bytes()),
            secret: &secret,
            generators: &generators,
        };
        let registered = registration.run(&entropy(random), &|_, _| {}).expect("registration");
        let pinned =
            RegisteredData::from_bytes(registered.manifest.as_bytes(), &registered.commitments, None)
                .expect("artefacts that belong together")
                .pin(&registered.proof, &generators)
                .expect("a range proof that holds");
        Self { rows, secret, registered, pinned }
    }

    /// Its part of a joint proof.
    pub fn member(&self) -> JointMember<'_> {
        let rows = data_rows(&self.pinned, &self.rows, &self.secret).expect("its rows");
        JointMember { statement: (&*self.pinned).into(), rows }
    }
}

/// A random model, registered and pinned.
pub struct ModelFixture {
    /// The integers of all matrices.
    pub values: Vec<Vec<i64>>,
    /// The same as limbs.
    pub limbs: Vec<Limbs>,
    /// Its secret.
    pub secret: AdapterSecret,
    /// The public artefacts.
    pub registered: Registered,
    /// Checked against each other, range proof included.
    pub pinned: PinnedModel,
}

impl ModelFixture {
    /// A model with matrices of these rows and columns, in commitment rows of 1,024.
    pub fn new(shapes: &[(usize, usize)], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let values: Vec<_> =
            shapes.iter().map(|&(rows, columns)| integers(&mut random, rows * columns)).collect();
        let secret = AdapterSecret::from_seed(random.bytes());
        Self::with_secret(shapes, values, secret, &mut random)
    }

    /// A model with given integers and secret, under a fresh nonce.
    pub fn with_secret(
        shapes: &[(usize, usize)],
        values: Vec<Vec<i64>>,
        secret: AdapterSecret,
        random: &mut Random,
    ) -> Self {
        let matrix = |(index, &(rows, columns)): (usize, &(usize, usize))| ManifestMatrix {
            name: format!("layers.{index}").parse().expect("a name"),
            rows,
            columns,
            fraction_bits: 20,
        };
        let limbs: Vec<_> =
            values.iter().map(|values| Limbs::of("a matrix", values).expect("integers that fit")).collect();
        let generators = Generators::derive(1024, 0);
        let registration = ModelRegistration {
            row_length: 1024,
            matrices: shapes.iter().enumerate().map(matrix).collect(),
            limbs: &limbs,
            nonce: Digest(random.bytes()),
            secret: &secret,
            generators: &generators,
        };
        let registered = registration.run(&entropy(random), &|_, _| {}).expect("registration");
        let pinned =
            RegisteredModel::from_bytes(registered.manifest.as_bytes(), &registered.commitments, None)
                .expect("artefacts that belong together")
                .pin(&registered.proof, &generators)
                .expect("a range proof that holds");
        Self { values, limbs, secret, registered, pinned }
    }

    /// Its part of a joint proof.
    pub fn member(&self) -> JointMember<'_> {
        let rows = model_rows(&self.pinned, &self.limbs, &self.secret).expect("its rows");
        JointMember { statement: (&*self.pinned).into(), rows }
    }
}

/// Integers that fit into two limbs; extremes come up often.
fn integers(random: &mut Random, count: usize) -> Vec<i64> {
    let integer = |_| match random.below(16) {
        0 => LEAST_ENTRY,
        1 => MOST_ENTRY,
        2 => -(1 << 15),
        _ => random.below((MOST_ENTRY - LEAST_ENTRY + 1) as usize) as i64 + LEAST_ENTRY,
    };
    (0..count).map(integer).collect()
}
