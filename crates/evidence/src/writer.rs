//! Writing a bundle without losing an answer to a crash.
//!
//! Order of writes: the families and the secret key of the challenges; the header, whole; one line for each answer,
//! synced in small batches; the closing; plots and report; the secret is removed; `bundle.json` last. A folder without
//! `bundle.json` is a run that can be resumed, whatever was lost after the last sync.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use lorica_identity::{Bank, ChallengeKey};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    canonical,
    chain::Chain,
    digest::Digest,
    error::{WriteError, io_error},
    files::{
        self, BUNDLE, FAMILIES, LINE_LIMIT, REPORT, SECRET, TRANSCRIPT, create_secret, plot_name,
        sync_folder, write_whole,
    },
    record::{CandidateResult, Closing, Entry, FORMAT, Fault, Header, Outcome, Record, Relation},
    report,
    signature::{BundleSigner, Fingerprint, SignedFile},
    summary::Summary,
};

/// Lines written between two syncs.
const BATCH: u32 = 8;

/// What a new bundle is made from.
#[derive(Debug)]
pub struct NewBundle<'a> {
    /// A new or an empty folder.
    pub folder: &'a Path,
    /// Everything that is fixed before the first question.
    pub header: Header,
    /// The families that the challenges are drawn from.
    pub bank: &'a Bank,
    /// The key of the challenges, kept beside the transcript until the run ends.
    pub key: &'a ChallengeKey,
    /// Who signs.
    pub signer: BundleSigner,
}

/// How the run ended, as far as the entries do not tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ending {
    /// Why a candidate has no decision.
    pub faults: BTreeMap<u32, Fault>,
    /// What kind of difference it probably is.
    pub relations: BTreeMap<u32, Relation>,
    /// Seconds that the run took.
    pub seconds: f64,
    /// The most memory that the program used, in bytes.
    pub peak_memory: Option<u64>,
    /// Requests that were sent again.
    pub retries: u64,
}

/// A bundle that is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// How the run ended.
    pub closing: Closing,
    /// Who signed.
    pub signer: Fingerprint,
}

/// A run that was found in a folder.
#[derive(Debug)]
pub enum Resumed {
    /// It can go on, with this key of the challenges. What was answered went to the visitor.
    Open(Box<Writer>, ChallengeKey),
    /// It had ended; what a crash had left undone is done now.
    Finished(Finished),
}

/// Writes one bundle.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    file: File,
    header: Header,
    key: Option<ChallengeKey>,
    signer: BundleSigner,
    progress: Progress,
    unsynced: u32,
    broken: bool,
}

/// What follows from the lines so far.
#[derive(Debug)]
struct Progress {
    chain: Chain,
    hash: Sha256,
    bytes: u64,
    summaries: Vec<Summary>,
    /// Digests of the reference's answers, by the challenge's index.
    reference_answers: BTreeMap<u32, Digest>,
}

impl Writer {
    /// Begins a bundle. When it returns, the header is on disk: the key is committed to.
    ///
    /// # Errors
    /// A folder that holds something; a header that would not verify; the file system.
    pub fn create(bundle: NewBundle<'_>) -> Result<Self, WriteError> {
        let NewBundle { folder, header, bank, key, signer } = bundle;
        check_header(&header, bank, key)?;
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        let mut entries = fs::read_dir(folder).map_err(io_error("list", folder))?;
        if entries.next().is_some() {
            return Err(WriteError::NotEmpty { path: folder.to_owned() });
        }
        let families = folder.join(FAMILIES);
        fs::create_dir(&families).map_err(io_error("create", &families))?;
        for (name, text) in bank.files() {
            write_whole(&families.join(name), text.as_bytes())?;
        }
        create_secret(&folder.join(SECRET), |file| file.write_all(key.reveal().as_bytes()))?;
        let mut progress = Progress::new(&header);
        let line = progress.next_line(&Record::Header(Box::new(header.clone())))?;
        let path = folder.join(TRANSCRIPT);
        write_whole(&path, &line.0)?;
        progress.advance(&line.0, line.1);
        let file = open_locked(&path)?;
        let key = Some(key.clone());
        Ok(Self {
            folder: folder.to_owned(),
            file,
            header,
            key,
            signer,
            progress,
            unsynced: 0,
            broken: false,
        })
    }

    /// Opens a run again: checks its chain, cuts a torn last line, and hands every entry to `visit`, in order, so that
    /// no question is asked twice.
    ///
    /// # Errors
    /// No run, a finished one, or a damaged one; an entry that `visit` refuses; the file system.
    pub fn resume(
        folder: &Path,
        signer: BundleSigner,
        visit: &mut dyn FnMut(&Header, Entry) -> Result<(), String>,
    ) -> Result<Resumed, WriteError> {
        let not_resumable = |reason| WriteError::NotResumable { path: folder.to_owned(), reason };
        if folder.join(BUNDLE).exists() {
            return Err(not_resumable("it is finished: bundle.json is there"));
        }
        let path = folder.join(TRANSCRIPT);
        if !path.exists() {
            return Err(not_resumable("evidence.ndjson is not there"));
        }
        let mut file = open_locked(&path)?;
        remove_partials(folder)?;
        let read = read_back(&mut file, &path, visit)?;
        let ReadBack { header, progress, closing } = read;
        let key = match read_secret(&folder.join(SECRET))? {
            Some(key) if Digest::new(key.commitment()) == header.key_commitment => Some(key),
            Some(_) => return Err(not_resumable("its secret is not the key that the header commits to")),
            None if closing.is_some() => None,
            None => return Err(not_resumable("challenge-key.secret is not there")),
        };
        let writer = Self {
            folder: folder.to_owned(),
            file,
            header,
            key: key.clone(),
            signer,
            progress,
            unsynced: 0,
            broken: false,
        };
        match (closing, key) {
            (Some(closing), _) => writer.seal(closing).map(Resumed::Finished),
            (None, Some(key)) => Ok(Resumed::Open(Box::new(writer), key)),
            (None, None) => Err(not_resumable("challenge-key.secret is not there")),
        }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What is known of each candidate so far.
    pub fn summaries(&self) -> &[Summary] {
        &self.progress.summaries
    }

    /// Appends an answered question. When it returns, a crash of the process no longer loses it.
    ///
    /// # Errors
    /// An entry that would not verify: another index than the next of its candidate, an answer of the reference that
    /// is not the one that another candidate was compared with, an entry after a decision. The file system.
    pub fn entry(&mut self, entry: Entry) -> Result<(), WriteError> {
        let reference = self.progress.check(&entry)?;
        let record = Record::Entry(Box::new(entry));
        self.append(&record)?;
        if let Record::Entry(entry) = record {
            self.progress.take(&entry, reference);
        }
        if self.unsynced >= BATCH {
            self.sync()?;
        }
        Ok(())
    }

    /// Ends the run: closing, plots, report, signature.
    ///
    /// # Errors
    /// A candidate without a decision and without a fault, or with both; the file system.
    pub fn finish(mut self, ending: Ending) -> Result<Finished, WriteError> {
        let closing = self.closing(ending)?;
        self.append(&Record::Closing(Box::new(closing.clone())))?;
        self.seal(closing)
    }

    fn closing(&self, ending: Ending) -> Result<Closing, WriteError> {
        let Ending { mut faults, mut relations, seconds, peak_memory, retries } = ending;
        let mut results = Vec::new();
        for (candidate, summary) in (0..).zip(&self.progress.summaries) {
            let queries = count(summary.trace.len());
            let decision = summary.state.as_ref().and_then(|state| state.decision);
            let outcome = match (decision, faults.remove(&candidate)) {
                (Some(decision), None) => Outcome::Decided(decision),
                (None, Some(fault)) => Outcome::Error(fault),
                (None, None) => return Err(WriteError::Unfinished { candidate, queries }),
                (Some(_), Some(fault)) => {
                    return Err(refuse(
                        format!("faults[{candidate}]"),
                        "none, for there is a decision",
                        fault.detail,
                    ));
                }
            };
            let relation = relations.remove(&candidate);
            results.push(CandidateResult {
                outcome,
                queries,
                withheld: summary.withheld,
                state: summary.state.clone(),
                relation,
            });
        }
        if let Some(candidate) = faults.keys().chain(relations.keys()).next() {
            let found = candidate.to_string();
            return Err(refuse("candidate".to_owned(), "one of the header's", found));
        }
        let key = self.key.as_ref().ok_or(WriteError::Broken)?.reveal().to_string();
        Ok(Closing { key, results, seconds, peak_memory, retries })
    }

    fn append(&mut self, record: &Record) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let (line, chain) = self.progress.next_line(record)?;
        self.broken = true;
        let path = self.folder.join(TRANSCRIPT);
        self.file.write_all(&line).map_err(io_error("append to", &path))?;
        self.broken = false;
        self.progress.advance(&line, chain);
        self.unsynced = self.unsynced.saturating_add(1);
        Ok(())
    }

    /// Makes everything written so far survive a loss of power.
    ///
    /// # Errors
    /// The file system.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        let path = self.folder.join(TRANSCRIPT);
        self.file.sync_data().map_err(io_error("sync", &path))?;
        self.unsynced = 0;
        Ok(())
    }

    /// Writes everything but the transcript, the signed list last.
    fn seal(mut self, closing: Closing) -> Result<Finished, WriteError> {
        self.sync()?;
        let signer = self.signer.fingerprint();
        let rendered = report::render(&report::Contents {
            header: &self.header,
            closing: &closing,
            summaries: &self.progress.summaries,
            signer: &signer,
        })
        .map_err(|error| WriteError::Report { reason: error.to_string() })?;
        let mut list = vec![SignedFile {
            path: TRANSCRIPT.to_owned(),
            bytes: self.progress.bytes,
            sha256: Digest::finish(self.progress.hash.clone()),
        }];
        list.push(self.write_listed(REPORT, rendered.html.as_bytes())?);
        for (candidate, plot) in rendered.plots.iter().enumerate() {
            list.push(self.write_listed(&plot_name(candidate), plot.as_bytes())?);
        }
        let families = self.folder.join(FAMILIES);
        for entry in fs::read_dir(&families).map_err(io_error("list", &families))? {
            let path = entry.map_err(io_error("list", &families))?.path();
            let text = fs::read(&path).map_err(io_error("read", &path))?;
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            list.push(listed(format!("{FAMILIES}/{name}"), &text));
        }
        list.sort_by(|a, b| a.path.cmp(&b.path));
        self.check_folder(&list)?;
        let secret = self.folder.join(SECRET);
        if secret.exists() {
            fs::remove_file(&secret).map_err(io_error("remove", &secret))?;
            sync_folder(&secret)?;
        }
        let mut bundle = canonical::encode(&self.signer.sign(list, report::REPORT_FORMAT)?)?;
        bundle.push(b'\n');
        write_whole(&self.folder.join(BUNDLE), &bundle)?;
        Ok(Finished { closing, signer })
    }

    fn write_listed(&self, name: &str, bytes: &[u8]) -> Result<SignedFile, WriteError> {
        write_whole(&self.folder.join(name), bytes)?;
        Ok(listed(name.to_owned(), bytes))
    }

    /// Nothing is signed that is not part of the bundle, and nothing lies beside it.
    fn check_folder(&self, list: &[SignedFile]) -> Result<(), WriteError> {
        let mut expected: BTreeSet<&str> = list.iter().map(|file| file.path.as_str()).collect();
        expected.extend([SECRET, FAMILIES]);
        for entry in fs::read_dir(&self.folder).map_err(io_error("list", &self.folder))? {
            let name = entry.map_err(io_error("list", &self.folder))?.file_name();
            if !name.to_str().is_some_and(|name| expected.contains(name)) {
                let found = name.to_string_lossy().into_owned();
                return Err(refuse("folder".to_owned(), "nothing but the bundle", found));
            }
        }
        Ok(())
    }
}

impl Progress {
    fn new(header: &Header) -> Self {
        Self {
            chain: Chain::new(),
            hash: Sha256::new(),
            bytes: 0,
            summaries: vec![Summary::default(); header.candidates.len()],
            reference_answers: BTreeMap::new(),
        }
    }

    fn next_line(&self, record: &Record) -> Result<(Vec<u8>, Chain), WriteError> {
        let (line, chain) = self.chain.line(record)?;
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if length > LINE_LIMIT {
            let expected = format!("at most {LINE_LIMIT} bytes in a line; ask for fewer positions or tokens");
            return Err(WriteError::Record {
                field: "entry".to_owned(),
                expected,
                found: length.to_string(),
            });
        }
        Ok((line, chain))
    }

    fn advance(&mut self, line: &[u8], chain: Chain) {
        self.chain = chain;
        self.hash.update(line);
        self.bytes = self.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
    }

    /// Whether the entry is the next of its candidate; returns the digest of the reference's answer.
    fn check(&self, entry: &Entry) -> Result<Digest, WriteError> {
        let index = usize::try_from(entry.candidate).unwrap_or(usize::MAX);
        let Some(summary) = self.summaries.get(index) else {
            let expected = format!("below {}", self.summaries.len());
            return Err(refuse("candidate".to_owned(), &expected, entry.candidate.to_string()));
        };
        let next = count(summary.trace.len());
        if entry.challenge.index != next {
            return Err(refuse(
                "challenge.index".to_owned(),
                &next.to_string(),
                entry.challenge.index.to_string(),
            ));
        }
        if summary.state.as_ref().is_some_and(|state| state.decision.is_some()) {
            return Err(refuse("entry".to_owned(), "none after the decision", format!("challenge {next}")));
        }
        let digest = reference_digest(entry)?;
        match self.reference_answers.get(&next) {
            Some(other) if *other != digest => Err(refuse(
                "reference_answer".to_owned(),
                "the answer that the other candidates were compared with",
                "another one".to_owned(),
            )),
            _ => Ok(digest),
        }
    }

    fn take(&mut self, entry: &Entry, reference: Digest) {
        self.reference_answers.insert(entry.challenge.index, reference);
        let index = usize::try_from(entry.candidate).unwrap_or(usize::MAX);
        if let Some(summary) = self.summaries.get_mut(index) {
            summary.add(entry);
        }
    }
}

/// The digest of the reference's answer in its canonical form.
pub(crate) fn reference_digest(entry: &Entry) -> Result<Digest, canonical::CanonicalError> {
    Ok(Digest::of(&[&canonical::form(&entry.reference_answer)?]))
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn listed(path: String, content: &[u8]) -> SignedFile {
    SignedFile {
        path,
        bytes: u64::try_from(content.len()).unwrap_or(u64::MAX),
        sha256: Digest::of(&[content]),
    }
}

fn refuse(field: String, expected: &str, found: String) -> WriteError {
    WriteError::Record { field, expected: expected.to_owned(), found }
}

fn check_header(header: &Header, bank: &Bank, key: &ChallengeKey) -> Result<(), WriteError> {
    crate::verify::header_rules(header, bank, key).map_err(|(field, expected, found)| WriteError::Record {
        field,
        expected,
        found,
    })
}

fn open_locked(path: &Path) -> Result<File, WriteError> {
    let file = OpenOptions::new().read(true).append(true).open(path).map_err(io_error("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(WriteError::InUse { path: path.to_owned() }),
        Err(fs::TryLockError::Error(error)) => Err(io_error("lock", path)(error)),
    }
}

fn read_secret(path: &Path) -> Result<Option<ChallengeKey>, WriteError> {
    let mut digits = Zeroizing::new(String::with_capacity(128));
    match File::open(path) {
        Ok(file) => file.take(65).read_to_string(&mut digits).map_err(io_error("read", path))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    ChallengeKey::from_hex(&digits).map(Some).map_err(|_| WriteError::NotResumable {
        path: path.to_owned(),
        reason: "it is not 64 hexadecimal digits",
    })
}

fn remove_partials(folder: &Path) -> Result<(), WriteError> {
    for entry in fs::read_dir(folder).map_err(io_error("list", folder))? {
        let entry = entry.map_err(io_error("list", folder))?;
        if entry.file_name().to_str().is_some_and(files::is_partial) {
            let path = entry.path();
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(())
}

struct ReadBack {
    header: Header,
    progress: Progress,
    closing: Option<Closing>,
}

/// Reads a transcript from its beginning and cuts what a crash has torn.
fn read_back(
    file: &mut File,
    path: &Path,
    visit: &mut dyn FnMut(&Header, Entry) -> Result<(), String>,
) -> Result<ReadBack, WriteError> {
    let damaged = |line, reason: String| WriteError::Damaged { path: path.to_owned(), line, reason };
    let mut read: Option<ReadBack> = None;
    let mut chain = Chain::new();
    let mut reader = BufReader::new(&*file);
    let mut bytes = Vec::new();
    for number in 1_u64.. {
        bytes.clear();
        let limited = (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut bytes);
        limited.map_err(io_error("read", path))?;
        let Some(content) = bytes.strip_suffix(b"\n") else { break };
        let record =
            chain.read::<Record>(content).map_err(|(error, _)| damaged(number, error.to_string()))?;
        let state = match (record, read.as_mut()) {
            (Record::Header(header), None) => {
                let progress = Progress::new(&header);
                read.insert(ReadBack { header: *header, progress, closing: None })
            }
            (Record::Entry(entry), Some(state)) if state.closing.is_none() => {
                let reference =
                    state.progress.check(&entry).map_err(|error| damaged(number, error.to_string()))?;
                state.progress.take(&entry, reference);
                visit(&state.header, *entry)
                    .map_err(|reason| WriteError::Refused { line: number, reason })?;
                state
            }
            (Record::Closing(closing), Some(state)) if state.closing.is_none() => {
                state.closing = Some(*closing);
                state
            }
            _ => return Err(damaged(number, "a record that cannot stand here".to_owned())),
        };
        state.progress.advance(&bytes, chain);
    }
    let read = read.ok_or_else(|| damaged(1, "there is no whole line".to_owned()))?;
    if read.header.format != FORMAT {
        return Err(damaged(1, format!("format {:?}: expected {FORMAT:?}", read.header.format)));
    }
    if !bytes.is_empty() {
        file.set_len(read.progress.bytes).map_err(io_error("cut", path))?;
        file.sync_all().map_err(io_error("sync", path))?;
    }
    file.seek(SeekFrom::End(0)).map_err(io_error("seek in", path))?;
    Ok(read)
}
