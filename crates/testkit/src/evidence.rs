//! Everything a verdict is judged on, from fixtures.

use lorica_verify::passes;
use lorica_verify::registered::RegisteredAdapter;
use lorica_verify::verdict::{Evidence, RecordedModule, RecordedStream, SessionRecord};

use crate::adapter::AdapterFixture;
use crate::session::SessionFixture;

/// The evidence of an honest user: its own record of a session, the contributor's artefacts and proof.
pub fn evidence<'a>(
    adapter: &'a AdapterFixture,
    session: &'a SessionFixture,
    proof: &'a [u8],
) -> Evidence<'a> {
    let registered: &RegisteredAdapter = &adapter.pinned;
    let shapes = registered.manifest().shapes();
    let digests = passes::digests(&shapes, &session.streams, &session.rows).expect("rows in memory");
    Evidence {
        pin: registered.digest(),
        manifest: adapter.registered.manifest.as_bytes(),
        commitments: &adapter.registered.commitments,
        registration: &adapter.registered.proof,
        record: SessionRecord {
            manifest: registered.digest(),
            session: session.session,
            calls: session.streams.len() as u64,
            modules: shapes
                .into_iter()
                .map(|shape| RecordedModule { name: shape.name, outputs: shape.outputs })
                .collect(),
            streams: session
                .streams
                .iter()
                .map(|shape| RecordedStream { shape: shape.clone(), calls: 1 })
                .collect(),
            digests,
            rows: &session.rows,
        },
        proof,
        loss: None,
    }
}
