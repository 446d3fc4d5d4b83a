//! `lorica pin`: check a manifest and print the digest to keep.

use std::io::{self, Write};

use lorica_tensor::Digest;
use lorica_verify::manifest::{BaseIdentity, ManifestModule, RangeLevel};
use serde::Serialize;

use crate::{
    args::PinArgs,
    artefacts::{ArtefactPaths, PublicArtefacts},
    error::CliError,
    exit::Exit,
    report::{
        Report,
        format::{plural, table},
    },
};

/// A manifest that holds.
#[derive(Debug, Serialize)]
pub(crate) struct PinReport {
    pub(crate) pin: Digest,
    expected: Option<Digest>,
    base: BaseIdentity,
    modules: Vec<ManifestModule>,
    range: RangeLevel,
}

pub(crate) fn run(args: &PinArgs) -> Result<PinReport, CliError> {
    let adapter = PublicArtefacts::read(&ArtefactPaths::of_args(&args.manifest))?.check(None)?;
    let manifest = adapter.manifest();
    Ok(PinReport {
        pin: adapter.registered.digest(),
        expected: args.expect,
        base: manifest.base.clone(),
        modules: manifest.modules.clone(),
        range: manifest.range,
    })
}

impl Report for PinReport {
    const SCHEMA: &'static str = "lorica-pin/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = self.modules.iter().map(|module| {
            vec![
                module.name.to_string(),
                format!("{} -> {}", module.inputs, module.outputs),
                module.rank.to_string(),
                format!("{:.4}", module.scaling.factor(module.rank)),
                module.weight_bits.to_string(),
                format!("2^{}", -module.a_exponent),
                format!("2^{}", -module.b_exponent),
            ]
        });
        let header = ["module", "shape", "rank", "scaling", "bits", "unit of A", "unit of B"];
        writeln!(out, "{}\n", table(&header, rows))?;
        writeln!(
            out,
            "{}, every commitment proven to be openable",
            plural(self.modules.len() as u64, "module")
        )?;
        let BaseIdentity { family, config, weights } = &self.base;
        writeln!(out, "base    {family}, config {config}")?;
        writeln!(out, "        weights {weights}")?;
        match self.range {
            RangeLevel::None => {
                writeln!(
                    out,
                    "range   none: it is not proven that the committed entries are small integers"
                )?;
            }
            RangeLevel::Int16 => {
                writeln!(out, "range   int16: every committed entry is proven to be an integer of 16 bits")?;
            }
        }
        writeln!(out, "pin     {}   (sha256sum manifest.json)", self.pin)?;
        match self.expected {
            Some(expected) if expected != self.pin => writeln!(
                out,
                "NOT THE EXPECTED PIN: expected {expected}; this is another adapter or another commitment of it"
            ),
            Some(_) => writeln!(out, "the pin is the expected one"),
            None => Ok(()),
        }
    }

    fn exit(&self) -> Exit {
        if self.expected.is_none_or(|expected| expected == self.pin) { Exit::Yes } else { Exit::No }
    }
}
