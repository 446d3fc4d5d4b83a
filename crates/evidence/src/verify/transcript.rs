//! Reading the transcript: once from its beginning to its end, after a look at its last line, which holds the key.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use lorica_identity::{Bank, ChallengeKey};
use sha2::{Digest as _, Sha256};

use crate::{
    chain::{self, Chain},
    digest::Digest,
    error::{Reason, VerifyError},
    files::{LINE_LIMIT, TRANSCRIPT},
    record::{Closing, Header, Record},
};

use super::{
    folder::{Signed, digest_reason, invalid, unreadable},
    line_place,
    replay::{Fault, Replay},
};

/// The longest first and last line, in bytes.
const END_LIMIT: u64 = 4 << 20;

/// A transcript in which everything holds.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) replay: Replay,
    pub(super) closing: Closing,
    pub(super) lines: u64,
}

/// Checks the whole transcript.
pub(super) fn check(folder: &Path, signed: &Signed, bank: &Bank) -> Result<Checked, VerifyError> {
    let path = folder.join(TRANSCRIPT);
    let mut file = File::open(&path).map_err(unreadable(&path))?;
    let last = last_line(&mut file).map_err(unreadable(&path))?;
    // Where the last line is not a closing, the first broken line is looked for before anything is said.
    let revealed = match chain::record::<Record>(&last) {
        Ok(Record::Closing(closing)) => Some(*closing),
        _ => None,
    };
    file.seek(SeekFrom::Start(0)).map_err(unreadable(&path))?;
    let mut pass = Pass { chain: Chain::new(), replay: None, closing: None, revealed, bank };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut hash = Sha256::new();
    let mut bytes = 0_u64;
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        let limit = if number == 0 { END_LIMIT } else { LINE_LIMIT };
        let length = (&mut reader)
            .take(limit.saturating_add(1))
            .read_until(b'\n', &mut line)
            .map_err(unreadable(&path))?;
        if length == 0 {
            break;
        }
        number = number.saturating_add(1);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if length > limit {
            return Err(invalid(line_place(number, None), Reason::TooLarge { limit }));
        }
        hash.update(&line);
        bytes = bytes.saturating_add(length);
        let content = line.strip_suffix(b"\n").ok_or_else(|| {
            invalid(line_place(number, None), Reason::Unusable("the line is torn".to_owned()))
        })?;
        pass.line(content).map_err(|(field, reason)| invalid(line_place(number, field), reason))?;
    }
    let (Some(replay), Some(closing)) = (pass.replay, pass.closing) else {
        let reason = Reason::Unusable("the transcript ends without a closing".to_owned());
        return Err(invalid(line_place(number.max(1), None), reason));
    };
    let found = Digest::finish(hash);
    let file = signed.files.iter().find(|file| file.path == TRANSCRIPT);
    match file {
        Some(file) if file.sha256 == found && file.bytes == bytes => {}
        Some(file) => {
            let place = crate::error::Place::file(TRANSCRIPT);
            return Err(invalid(place, digest_reason(file, bytes, found)));
        }
        None => return Err(invalid(crate::error::Place::file(TRANSCRIPT), Reason::Extra)),
    }
    Ok(Checked { replay, closing, lines: number })
}

/// The last line without its newline, or its end where it is too long to be a closing.
fn last_line(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(END_LIMIT)))?;
    let mut tail = Vec::new();
    file.take(END_LIMIT).read_to_end(&mut tail)?;
    let tail = tail.strip_suffix(b"\n").unwrap_or(&tail);
    Ok(tail.rsplit(|byte| *byte == b'\n').next().unwrap_or_default().to_vec())
}

/// The one pass over the lines.
struct Pass<'a> {
    chain: Chain,
    replay: Option<Replay>,
    closing: Option<Closing>,
    revealed: Option<Closing>,
    bank: &'a Bank,
}

impl Pass<'_> {
    fn line(&mut self, content: &[u8]) -> Result<(), Fault> {
        match self.chain.read::<Record>(content) {
            Ok(record) => self.record(record),
            Err((error, record)) => {
                // What else is wrong with the line tells which field was changed.
                let field = record.and_then(|record| self.record(record).err()).and_then(|(field, _)| field);
                Err((field, error.into()))
            }
        }
    }

    fn record(&mut self, record: Record) -> Result<(), Fault> {
        match (record, self.replay.as_mut()) {
            (Record::Header(header), None) => {
                self.replay = self.begin(*header)?;
                Ok(())
            }
            (Record::Entry(entry), Some(replay)) if self.closing.is_none() => replay.entry(&entry, self.bank),
            (Record::Closing(closing), Some(replay)) if self.closing.is_none() => {
                replay.closing(&closing)?;
                self.closing = Some(*closing);
                Ok(())
            }
            _ => {
                let reason = "a header is the first line and only there, a closing the last".to_owned();
                Err((Some("record".to_owned()), Reason::Unusable(reason)))
            }
        }
    }

    fn begin(&self, header: Header) -> Result<Option<Replay>, Fault> {
        let Some(closing) = &self.revealed else {
            return Replay::chain_only(header).map(Some);
        };
        let opens = |key: &ChallengeKey| Digest::new(key.commitment()) == header.key_commitment;
        let Some(key) = ChallengeKey::from_hex(&closing.key).ok().filter(opens) else {
            // Either end may have been changed: if the chain holds, the closing is blamed.
            return Replay::chain_only(header).map(Some);
        };
        Replay::new(header, key, self.bank).map(Some)
    }
}
