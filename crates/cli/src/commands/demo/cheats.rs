//! Three ways to cheat, judged by the real verifier.
//!
//! Each keeps the pinned manifest and everything that could be checked without cryptography in order: digests are
//! recomputed, counts fit. Rows are changed while they are read, so that a session larger than memory can be cheated with.

use std::ops::Range;

use lorica_algebra::kernels::product::LowRankProduct;
use lorica_argument::opening::OpeningMode;
use lorica_argument::transcript::FiatShamir;
use lorica_attack::session::{Forgery, forge};
use lorica_prove::{secret::AdapterSecret, session::SessionProver};
use lorica_relation::{
    rows::{ModuleIndex, RowsError, SessionRows, StreamIndex},
    session::{LowRank, ModuleShape, StreamShape, Witness},
};
use lorica_transcript::TranscriptReader;
use lorica_verify::{
    passes,
    schedule::SESSION_PROTOCOL,
    statement::SessionStatement,
    verdict::{Evidence, Outcome, Reason, SessionRecord, Verdict, judge},
};
use serde::Serialize;

use crate::{
    artefacts::{CheckedAdapter, PublicArtefacts},
    commands::{prove, verify},
    error::CliError,
    own::{self, OwnAdapter},
};

/// Where the false delta is.
const CHANGED_ROW: u64 = 1;
const CHANGED_COLUMN: usize = 5;

/// One way to cheat, and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Cheat {
    pub(super) name: &'static str,
    pub(super) what: String,
    pub(super) verdict: Outcome,
    pub(super) reason: Option<Reason>,
}

/// An honest session, and what a cheating contributor knows.
pub(super) struct Session<'a> {
    pub(super) artefacts: &'a PublicArtefacts,
    pub(super) adapter: &'a CheckedAdapter,
    pub(super) reader: &'a TranscriptReader,
    pub(super) own: &'a OwnAdapter,
    pub(super) secret: &'a AdapterSecret,
    pub(super) proof: &'a [u8],
}

impl Session<'_> {
    /// All three.
    pub(super) fn cheats(&self) -> Result<Vec<Cheat>, CliError> {
        Ok(vec![self.changed_delta()?, self.another_adapter()?, self.forged_slot()?])
    }

    /// The honest proof, and a record in which one delta is another.
    fn changed_delta(&self) -> Result<Cheat, CliError> {
        let rows = self.rows_with_a_false_delta();
        let what = format!(
            "{} is 1 more than the contributor's answer, and the record's digest was made to fit",
            self.place_of_the_false_delta()
        );
        self.judged("a changed delta", what, &rows, self.proof)
    }

    /// Deltas of other weights, and a proof made with those.
    fn another_adapter(&self) -> Result<Cheat, CliError> {
        let module = self.first_module();
        let shape = self.shapes().swap_remove(module.0);
        let mut witness = self.own.quantized.witness.clone();
        if let Some(weight) = witness.modules.get_mut(module.0).and_then(|weights| weights.a.first_mut()) {
            // Towards zero or away from it, it stays within its bits.
            *weight += if *weight > 0 { -1 } else { 1 };
        }
        let rows = OtherWeights {
            reader: self.reader,
            stream: StreamIndex(0),
            module,
            shape: &shape,
            weights: &witness.modules[module.0],
        };
        let what = format!(
            "one weight of {} is another by one unit of rounding; deltas and proof are made with it",
            shape.name
        );
        let statement = self.statement(&rows)?;
        let proof = self.prover(&statement, &rows, &witness).prove(OpeningMode::Compact, &own::entropy()?)?;
        self.judged("another adapter", what, &rows, &proof)
    }

    /// A false delta, and a proof whose last commitment rewrites a slot that an earlier one has fixed.
    fn forged_slot(&self) -> Result<Cheat, CliError> {
        let rows = self.rows_with_a_false_delta();
        let what = format!(
            "{} is false, and the proof's last commitment rewrites a slot of the first round to hide it",
            self.place_of_the_false_delta()
        );
        let statement = self.statement(&rows)?;
        let prover = self.prover(&statement, &rows, &self.own.quantized.witness);
        let proof = forge(
            &prover,
            Forgery::RewriteSlot,
            OpeningMode::Compact,
            &own::entropy()?,
            &mut FiatShamir::new(SESSION_PROTOCOL),
        )?;
        self.judged("a forged slot", what, &rows, &proof.to_bytes())
    }

    fn judged(
        &self,
        name: &'static str,
        what: String,
        rows: &dyn SessionRows,
        proof: &[u8],
    ) -> Result<Cheat, CliError> {
        let honest = verify::record(self.reader);
        let digests = passes::digests(&self.shapes(), &self.stream_shapes(), rows)?;
        let Verdict { verdict, reason, .. } = judge(&Evidence {
            pin: self.adapter.registered.digest(),
            manifest: &self.artefacts.manifest,
            commitments: &self.artefacts.commitments,
            registration: &self.artefacts.registration,
            record: SessionRecord { digests, rows, ..honest },
            proof,
            loss: None,
        })?;
        Ok(Cheat { name, what, verdict, reason })
    }

    /// The statement a cheating contributor proves: the digests are those of its rows.
    fn statement(&self, rows: &dyn SessionRows) -> Result<SessionStatement, CliError> {
        let digests = passes::digests(&self.shapes(), &self.stream_shapes(), rows)?;
        Ok(prove::statement(&self.adapter.registered, self.reader, &digests))
    }

    fn prover<'p>(
        &'p self,
        statement: &'p SessionStatement,
        rows: &'p dyn SessionRows,
        witness: &'p Witness,
    ) -> SessionProver<'p> {
        SessionProver {
            adapter: &self.adapter.registered,
            witness,
            secret: self.secret,
            statement,
            rows,
            generators: &self.adapter.generators,
        }
    }

    fn rows_with_a_false_delta(&self) -> FalseDelta<'_> {
        FalseDelta {
            reader: self.reader,
            module: self.first_module(),
            width: self.shapes().swap_remove(self.first_module().0).outputs,
            row: CHANGED_ROW,
            column: CHANGED_COLUMN,
        }
    }

    fn place_of_the_false_delta(&self) -> String {
        let FalseDelta { module, row, column, width, .. } = self.rows_with_a_false_delta();
        let name = self.shapes().swap_remove(module.0).name;
        format!("delta {} of token {row} of {name}", column.min(width - 1))
    }

    /// The first module of the first stream: every session has one.
    fn first_module(&self) -> ModuleIndex {
        self.reader
            .streams()
            .first()
            .and_then(|stream| stream.modules.first())
            .copied()
            .unwrap_or(ModuleIndex(0))
    }

    fn shapes(&self) -> Vec<ModuleShape> {
        self.adapter.manifest().shapes()
    }

    fn stream_shapes(&self) -> Vec<StreamShape> {
        self.reader.streams().to_vec()
    }
}

/// The rows of a session with 1 added to one delta.
struct FalseDelta<'a> {
    reader: &'a TranscriptReader,
    module: ModuleIndex,
    width: usize,
    row: u64,
    column: usize,
}

impl SessionRows for FalseDelta<'_> {
    fn inputs<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.reader.inputs(stream, rows, buffer)
    }

    fn exponents<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.reader.exponents(stream, rows, buffer)
    }

    fn deltas<'a>(
        &'a self,
        module: ModuleIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i64>,
    ) -> Result<&'a [i64], RowsError> {
        // The reader on disk fills the buffer, so that is where the change is made.
        self.reader.deltas(module, rows.clone(), buffer)?;
        if module == self.module && rows.contains(&self.row) {
            let before = usize::try_from(self.row - rows.start).unwrap_or(usize::MAX);
            let entry = before.saturating_mul(self.width).saturating_add(self.column.min(self.width - 1));
            if let Some(delta) = buffer.get_mut(entry) {
                *delta = delta.wrapping_add(1);
            }
        }
        Ok(buffer)
    }
}

/// The rows of a session whose deltas of one module are computed with other weights.
struct OtherWeights<'a> {
    reader: &'a TranscriptReader,
    stream: StreamIndex,
    module: ModuleIndex,
    shape: &'a ModuleShape,
    weights: &'a LowRank,
}

impl SessionRows for OtherWeights<'_> {
    fn inputs<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.reader.inputs(stream, rows, buffer)
    }

    fn exponents<'a>(
        &'a self,
        stream: StreamIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i16>,
    ) -> Result<&'a [i16], RowsError> {
        self.reader.exponents(stream, rows, buffer)
    }

    fn deltas<'a>(
        &'a self,
        module: ModuleIndex,
        rows: Range<u64>,
        buffer: &'a mut Vec<i64>,
    ) -> Result<&'a [i64], RowsError> {
        if module != self.module {
            return self.reader.deltas(module, rows, buffer);
        }
        let mut inputs = Vec::new();
        let inputs = self.reader.inputs(self.stream, rows, &mut inputs)?;
        let ModuleShape { inputs: width, outputs, .. } = *self.shape;
        buffer.clear();
        buffer.resize(inputs.len() / width * outputs, 0);
        let LowRank { a, b } = self.weights;
        LowRankProduct { a, b_transposed: b, inputs: width, outputs }.write_deltas(inputs, buffer);
        Ok(buffer)
    }
}
