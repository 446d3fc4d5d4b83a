//! The contributor's own adapter: weights and secret, and whether they are the manifest's.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use lorica_adapter::{Adapter, QuantizedAdapter, QuantizedModule, quantize};
use lorica_argument::generators::Generators;
use lorica_prove::{
    randomness::Entropy,
    registration::{self, RegistrationError},
    secret::AdapterSecret,
};
use lorica_tensor::{Digest, ModuleName};
use lorica_verify::{
    manifest::{Manifest, ManifestModule, Scaling, ScalingRule, weight_bits_for},
    registered::RegisteredAdapter,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{artefacts::read_required, error::CliError, progress::Unit, report::Console};

const MAX_SECRET_BYTES: u64 = 4096;

/// An adapter with its integers.
pub(crate) struct OwnAdapter {
    pub(crate) adapter: Adapter,
    pub(crate) quantized: QuantizedAdapter,
}

/// In what weights and a manifest differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// The first module that differs, where one module does.
    pub(crate) module: Option<ModuleName>,
    /// What differs, with what was expected and found.
    pub(crate) message: String,
}

impl OwnAdapter {
    /// Reads a PEFT folder and rounds it to the integers that are committed to.
    pub(crate) fn load(folder: &Path) -> Result<Self, CliError> {
        let adapter = Adapter::load(folder)?;
        let quantized = quantize(&adapter, weight_bits_for)?;
        Ok(Self { adapter, quantized })
    }

    /// The modules as a manifest lists them.
    pub(crate) fn manifest_modules(&self) -> Vec<ManifestModule> {
        self.quantized.modules.iter().map(manifest_module).collect()
    }

    /// The first public difference from a manifest: modules, shapes, exponents, scaling.
    pub(crate) fn public_difference(&self, manifest: &Manifest) -> Option<Difference> {
        let (own, stated) = (self.manifest_modules(), &manifest.modules);
        for (own, stated) in own.iter().zip(stated) {
            let message = if own.name != stated.name {
                format!(
                    "the manifest's module {} has no counterpart in the adapter, which has {}",
                    stated.name, own.name
                )
            } else if own != stated {
                let (expected, found) = (describe(stated), describe(own));
                format!("module {}: the manifest says {expected}; the adapter has {found}", own.name)
            } else {
                continue;
            };
            return Some(Difference { module: Some(stated.name.clone()), message });
        }
        let (own, stated) = (own.len(), stated.len());
        (own != stated).then(|| Difference {
            module: None,
            message: format!("the manifest has {stated} modules, the adapter {own}"),
        })
    }

    /// Whether these weights and this secret open every commitment; the first difference if not.
    pub(crate) fn difference(
        &self,
        registered: &RegisteredAdapter,
        secret: &AdapterSecret,
        generators: &Generators,
        console: &Console,
    ) -> Result<Option<Difference>, CliError> {
        if let Some(difference) = self.public_difference(registered.manifest()) {
            return Ok(Some(difference));
        }
        let progress = console.progress("opening the commitments", Unit::Items);
        let opened =
            registration::open(registered, &self.quantized.witness, secret, generators, &|done, total| {
                progress.set(done, total)
            });
        match opened {
            Ok(()) => Ok(None),
            Err(error @ RegistrationError::NotOpened { .. }) => {
                let RegistrationError::NotOpened { module, .. } = &error else { return Err(error.into()) };
                let named = registered.manifest().modules.iter().find(|found| found.name.as_str() == module);
                let module = named.map(|module| module.name.clone());
                let message = format!("{error}, or this is not the secret they were committed with");
                Ok(Some(Difference { module, message }))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn manifest_module(module: &QuantizedModule) -> ManifestModule {
    let rule = match module.rule {
        lorica_adapter::ScalingRule::Rank => ScalingRule::Rank,
        lorica_adapter::ScalingRule::SqrtRank => ScalingRule::SqrtRank,
    };
    ManifestModule {
        name: module.name.clone(),
        inputs: module.inputs,
        outputs: module.outputs,
        rank: module.rank,
        weight_bits: module.weight_bits,
        a_exponent: module.a_exponent,
        b_exponent: module.b_exponent,
        scaling: Scaling { alpha: module.alpha, rule },
    }
}

fn describe(module: &ManifestModule) -> String {
    let ManifestModule { inputs, outputs, rank, weight_bits, a_exponent, b_exponent, .. } = module;
    let factor = module.scaling.factor(*rank);
    format!(
        "{inputs} inputs, {outputs} outputs, rank {rank}, {weight_bits} bits, exponents {a_exponent} and {b_exponent}, \
         scaling {factor}"
    )
}

/// Reads a secret file.
pub(crate) fn read_secret(path: &Path) -> Result<AdapterSecret, CliError> {
    let bytes = read_required(path, MAX_SECRET_BYTES, "expected the secret that `lorica commit` wrote")?;
    let bytes = Zeroizing::new(bytes);
    warn_if_exposed(path)?;
    // Anything that is not text is not the format either.
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    AdapterSecret::from_text(text).map_err(|source| CliError::Secret { path: path.to_owned(), source })
}

/// Warns where others can read a secret file.
pub(crate) fn warn_if_exposed(path: &Path) -> Result<(), CliError> {
    let mode = path.metadata().map_err(CliError::io("read", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!("{} can be read by others (mode {:o}): chmod 600 it", path.display(), mode & 0o777);
    }
    Ok(())
}

/// Fresh entropy for one proof.
pub(crate) fn entropy() -> Result<Entropy, CliError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(Entropy(bytes))
}

/// A fresh secret.
pub(crate) fn fresh_secret() -> Result<AdapterSecret, CliError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)?;
    Ok(AdapterSecret::from_seed(*seed))
}

/// A fresh public nonce.
pub(crate) fn fresh_nonce() -> Result<Digest, CliError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Digest(bytes))
}
