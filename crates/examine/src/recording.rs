//! Recordings: a reference's answers, kept to compare with them later without the reference at hand.
//!
//! A file of JSON lines that nobody else may read (mode 0600): it holds the key of the challenges, and whoever knows
//! the challenges can prepare for them.
//!
//! ```text
//! {"format":"lorica-recording/1", ...}     what was asked, by which key, and of whom
//! {"challenge":{...},"answer":...}         one line a challenge, in their order
//! {"end":{"answers":400,"sha256":"..."}}   the digest of all lines before
//! {"used":{...}}                           one line for each comparison since: who has seen the challenges
//! ```

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write},
    path::{Path, PathBuf},
};

use lorica_identity::{
    Answer, Challenge, Description, Question, Respondent, RespondentError, RespondentFault,
};
use lorica_tensor::files::{FileError, FileMode, Writer, create_atomically};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// How every recording begins.
pub const MAGIC: &[u8] = br#"{"format":"lorica-recording/1""#;
const FORMAT: &str = "lorica-recording/1";

/// What was asked, by which key, and of whom.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingHeader {
    /// `lorica-recording/1`; the first field, so that the file is known by its beginning.
    pub format: String,
    /// The run's identifier, from which challenges are derived together with the key.
    pub run_id: String,
    /// The key of the challenges, in hexadecimal digits: a secret.
    pub key: String,
    /// SHA-256 of the families the challenges were drawn from, in hexadecimal digits.
    pub bank_digest: String,
    /// What was asked.
    pub question: Question,
    /// Positions asked about in each challenge.
    pub positions: u32,
    /// Who was asked.
    pub description: Description,
    /// The most probable tokens that it tells at each position, where it does not tell them all.
    pub top: Option<u32>,
    /// Whether a chat template stood around the prompts.
    pub chat: bool,
    /// How many challenges were asked.
    pub challenges: u32,
    /// When, as RFC 3339 text.
    pub created: String,
    /// The version of this program.
    pub code_version: String,
}

impl RecordingHeader {
    /// The format that this version writes.
    pub fn format() -> String {
        FORMAT.to_owned()
    }
}

/// Somebody to whom the challenges were put after they had been recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Use {
    /// When, as RFC 3339 text.
    pub when: String,
    /// The candidate's name.
    pub candidate: String,
    /// Whether others can have seen the challenges: the candidate was an endpoint.
    pub seen_by_others: bool,
}

/// Why a recording was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
    /// Reading or writing went wrong on the way.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The side that was to be recorded failed; no file was left behind.
    #[error(transparent)]
    Respondent(#[from] RespondentError),
    /// It is not the format, or not all of it.
    #[error("{}, line {line}: {reason}; record the reference again", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    challenge: Challenge,
    answer: Answer,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    answers: u32,
    sha256: String,
}

/// The lines behind the answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Tail {
    End(End),
    Used(Use),
}

/// Asks a side all challenges, `round` of them at a time, and writes the recording; whole or not at all.
///
/// # Errors
/// A file that exists, a file system that refuses, a side that fails.
pub fn record(
    path: &Path,
    header: &RecordingHeader,
    challenges: &[Challenge],
    round: usize,
    respondent: &mut dyn Respondent,
    done: &mut dyn FnMut(usize),
) -> Result<(), RecordingError> {
    if path.symlink_metadata().is_ok() {
        return Err(FileError::Exists { path: path.to_owned() }.into());
    }
    let mut failed = None;
    let written = create_atomically(path, FileMode::Secret, |out| {
        let mut lines = Lines { out, digest: Sha256::new() };
        lines.write(header)?;
        let mut answered = 0;
        for round in challenges.chunks(round.max(1)) {
            let answers = respondent
                .answer(header.question, round, &mut |count| done(answered + count))
                .map_err(|error| stashed(&mut failed, error))?;
            answered += answers.len();
            for (challenge, answer) in round.iter().zip(answers) {
                lines.write(&Recorded { challenge: challenge.clone(), answer })?;
            }
        }
        let sha256 = hex(&lines.digest.clone().finalize());
        lines.write(&Tail::End(End { answers: header.challenges, sha256 }))
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(written?),
    }
}

/// Keeps what really went wrong while the file's writer only learns that something did.
fn stashed(failed: &mut Option<RespondentError>, error: RespondentError) -> io::Error {
    *failed = Some(error);
    io::Error::other("the side that was to be recorded failed")
}

struct Lines<'a, 'b> {
    out: &'a mut Writer<'b>,
    digest: Sha256,
}

impl Lines<'_, '_> {
    fn write<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.digest.update(&line);
        self.out.write_all(&line)
    }
}

/// A recording that was read and checked; its answers are read from the file when they are asked for.
pub struct Recording {
    path: PathBuf,
    file: fs::File,
    /// What was asked, by which key, and of whom.
    pub header: RecordingHeader,
    /// Where each answer's line begins, and its length.
    answers: Vec<(u64, usize)>,
    /// The comparisons it was used for.
    pub uses: Vec<Use>,
}

impl Recording {
    /// Opens a recording and checks that all of it is there.
    ///
    /// # Errors
    /// A file that cannot be read, is no recording, or was cut or changed.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let unreadable = |source| RecordingError::Io { path: path.to_owned(), source };
        let invalid =
            |line: usize, reason: String| RecordingError::Invalid { path: path.to_owned(), line, reason };
        let file = fs::File::open(path).map_err(unreadable)?;
        let mut reader = BufReader::new(&file);
        let (mut line, mut number, mut offset) = (Vec::new(), 0, 0_u64);
        let mut digest = Sha256::new();
        let mut header: Option<RecordingHeader> = None;
        let (mut answers, mut uses, mut end) = (Vec::new(), Vec::new(), None::<End>);
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            number += 1;
            if line.last() != Some(&b'\n') {
                return Err(invalid(number, "the line was cut".to_owned()));
            }
            let wrong = |error: serde_json::Error| invalid(number, error.to_string());
            match &header {
                None => {
                    let read: RecordingHeader = serde_json::from_slice(&line).map_err(wrong)?;
                    if read.format != FORMAT {
                        let reason = format!("format {:?}, expected {FORMAT:?}", read.format);
                        return Err(invalid(number, reason));
                    }
                    header = Some(read);
                }
                Some(header) if answers.len() < header.challenges as usize => {
                    answers.push((offset, length));
                }
                Some(_) => match (serde_json::from_slice(&line).map_err(wrong)?, &end) {
                    (Tail::End(found), None) => {
                        if found.sha256 != hex(&digest.clone().finalize()) {
                            return Err(invalid(number, "the lines before were changed".to_owned()));
                        }
                        end = Some(found);
                    }
                    (Tail::Used(found), Some(_)) => uses.push(found),
                    _ => return Err(invalid(number, "a line that does not belong here".to_owned())),
                },
            }
            digest.update(&line);
            offset += length as u64;
        }
        match (header, end) {
            (Some(header), Some(_)) => Ok(Self { path: path.to_owned(), file, header, answers, uses }),
            _ => Err(invalid(number, "the file ends here, before all answers are there".to_owned())),
        }
    }

    /// Notes in the file that the challenges are put to somebody: before they are.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn note_use(&mut self, used: Use) -> Result<(), RecordingError> {
        let unwritable = |source| RecordingError::Io { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(&Tail::Used(used.clone())).map_err(|e| unwritable(e.into()))?;
        line.push(b'\n');
        let mut file = fs::OpenOptions::new().append(true).open(&self.path).map_err(unwritable)?;
        file.write_all(&line).and_then(|()| file.sync_all()).map_err(unwritable)?;
        self.uses.push(used);
        Ok(())
    }

    /// The first `count` challenges that were asked.
    ///
    /// # Errors
    /// A line that is no answer.
    pub fn challenges(&mut self, count: usize) -> Result<Vec<Challenge>, RecordingError> {
        (0..count.min(self.answers.len())).map(|index| Ok(self.read(index)?.challenge)).collect()
    }

    fn read(&mut self, index: usize) -> Result<Recorded, RecordingError> {
        let invalid =
            |reason: String| RecordingError::Invalid { path: self.path.clone(), line: index + 2, reason };
        let &(offset, length) =
            self.answers.get(index).ok_or_else(|| invalid("no such challenge was recorded".to_owned()))?;
        let mut line = vec![0; length];
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.read_exact(&mut line))
            .map_err(|source| RecordingError::Io { path: self.path.clone(), source })?;
        serde_json::from_slice(&line).map_err(|error| RecordingError::Invalid {
            path: self.path.clone(),
            line: index + 2,
            reason: error.to_string(),
        })
    }
}

impl Respondent for Recording {
    fn description(&self) -> &Description {
        &self.header.description
    }

    fn answer(
        &mut self,
        question: Question,
        challenges: &[Challenge],
        done: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, RespondentError> {
        let side = self.header.description.name.clone();
        let fail = |fault, detail| RespondentError { side: side.clone(), fault, detail };
        if question != self.header.question {
            let detail =
                format!("it was recorded with {:?}, asked for is {question:?}", self.header.question);
            return Err(fail(RespondentFault::Unsupported, detail));
        }
        let mut answers = Vec::with_capacity(challenges.len());
        for (count, challenge) in challenges.iter().enumerate() {
            let recorded = self
                .read(challenge.index as usize)
                .map_err(|error| fail(RespondentFault::Unusable, error.to_string()))?;
            if recorded.challenge != *challenge {
                let detail = format!("challenge {} is not the one that was recorded", challenge.index);
                return Err(fail(RespondentFault::Unsupported, detail));
            }
            answers.push(recorded.answer);
            done(count + 1);
        }
        Ok(answers)
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
