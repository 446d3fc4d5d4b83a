//! Which files lie in a bundle's folder, which were signed, and what the small ones hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::Path,
};

use crate::{
    canonical,
    digest::Digest,
    error::{BundleInvalid, Place, Reason, VerifyError},
    files::{BUNDLE, BUNDLE_LIMIT, FAMILIES, FAMILY_LIMIT, FILE_LIMIT, REPORT, TRANSCRIPT, read_at_most},
    signature::{BUNDLE_FORMAT, Fingerprint, SignedFile, SignedList},
};

use super::VerifyOptions;

/// The most files that are listed before the folder is called something else.
const LISTED: usize = 4096;

/// Contents of all files but the transcript and the signed list, by path.
pub(super) type SmallFiles = BTreeMap<String, Vec<u8>>;

/// The signed list, checked.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) files: Vec<SignedFile>,
    pub(super) report: String,
    pub(super) fingerprint: Fingerprint,
}

pub(super) fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> VerifyError + '_ {
    move |source| VerifyError::Unreadable { path: path.to_owned(), source }
}

pub(super) fn invalid(place: Place, reason: Reason) -> VerifyError {
    BundleInvalid::new(place, reason).into()
}

/// The paths of all files, after a check that nothing else is there.
pub(super) fn list(folder: &Path) -> Result<BTreeSet<String>, VerifyError> {
    let mut found = BTreeSet::new();
    list_into(folder, "", &mut found)?;
    if fs::symlink_metadata(folder.join(FAMILIES)).is_ok_and(|metadata| metadata.is_dir()) {
        list_into(&folder.join(FAMILIES), "families/", &mut found)?;
    }
    for required in [BUNDLE, TRANSCRIPT, REPORT] {
        if !found.contains(required) {
            return Err(invalid(Place::file(required), Reason::Missing));
        }
    }
    Ok(found)
}

fn list_into(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) -> Result<(), VerifyError> {
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            let shown = format!("{prefix}{}", name.to_string_lossy());
            return Err(invalid(Place::file(shown), Reason::Extra));
        };
        let path = format!("{prefix}{name}");
        // The type of a link is that of the link itself.
        let kind = entry.file_type().map_err(unreadable(&entry.path()))?;
        if prefix.is_empty() && name == FAMILIES {
            if !kind.is_dir() {
                return Err(invalid(Place::file(path), Reason::Extra));
            }
            continue;
        }
        if kind.is_dir() {
            return Err(invalid(Place::file(path), Reason::Extra));
        }
        if !kind.is_file() {
            return Err(invalid(Place::file(path), Reason::NotAFile));
        }
        if found.len() >= LISTED {
            return Err(invalid(Place::file(path), Reason::Extra));
        }
        found.insert(path);
    }
    Ok(())
}

/// Reads `bundle.json`, and checks signature, signer and the set of files.
pub(super) fn signed_list(
    folder: &Path,
    found: &BTreeSet<String>,
    options: VerifyOptions,
) -> Result<Signed, VerifyError> {
    let fail = |field: &str, reason| invalid(Place::field(BUNDLE, field), reason);
    let bytes = read(folder, BUNDLE, BUNDLE_LIMIT)?;
    let content = bytes
        .strip_suffix(b"\n")
        .ok_or_else(|| invalid(Place::file(BUNDLE), Reason::Unusable("the last line is torn".to_owned())))?;
    let signed: SignedList =
        canonical::decode(content).map_err(|error| invalid(Place::file(BUNDLE), error.into()))?;
    if signed.list.format != BUNDLE_FORMAT {
        return Err(fail("list.format", mismatch(BUNDLE_FORMAT, &signed.list.format)));
    }
    let fingerprint = signed.check().map_err(|detail| fail("signature", Reason::Signature { detail }))?;
    if let Some(pinned) = options.signer
        && pinned != fingerprint
    {
        return Err(fail("list.public_key", Reason::Signer { pinned, found: fingerprint }));
    }
    let files = signed.list.files;
    for (before, after) in files.iter().zip(files.iter().skip(1)) {
        if before.path >= after.path {
            let reason = Reason::Unusable(format!("{} does not come after {}", after.path, before.path));
            return Err(fail("list.files", reason));
        }
    }
    let listed: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    if let Some(extra) = found.iter().find(|path| *path != BUNDLE && !listed.contains(path.as_str())) {
        return Err(invalid(Place::file(extra), Reason::Extra));
    }
    if let Some(missing) = listed.iter().find(|path| !found.contains(**path)) {
        return Err(invalid(Place::file(*missing), Reason::Missing));
    }
    for path in &listed {
        let families = path.strip_prefix("families/").is_some_and(|name| name.ends_with(".json"));
        let plot = path.starts_with("interval-") && path.ends_with(".svg");
        if !(families || plot || [TRANSCRIPT, REPORT].contains(path)) {
            return Err(invalid(Place::file(*path), Reason::Extra));
        }
    }
    if listed.iter().filter(|path| path.starts_with("families/")).count() > FAMILY_LIMIT {
        let reason = Reason::Unusable(format!("more than {FAMILY_LIMIT} families"));
        return Err(invalid(Place::file(FAMILIES), reason));
    }
    Ok(Signed { files, report: signed.list.report, fingerprint })
}

/// Reads all files but the transcript, and compares them with what was signed.
pub(super) fn small_files(folder: &Path, signed: &Signed) -> Result<SmallFiles, VerifyError> {
    let mut contents = SmallFiles::new();
    for file in signed.files.iter().filter(|file| file.path != TRANSCRIPT) {
        let bytes = read(folder, &file.path, FILE_LIMIT)?;
        let found = Digest::of(&[&bytes]);
        let found_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if found != file.sha256 || found_bytes != file.bytes {
            return Err(invalid(Place::file(&file.path), digest_reason(file, found_bytes, found)));
        }
        contents.insert(file.path.clone(), bytes);
    }
    Ok(contents)
}

pub(super) fn digest_reason(file: &SignedFile, found_bytes: u64, found: Digest) -> Reason {
    Reason::Digest { bytes: file.bytes, stated: file.sha256, found_bytes, found }
}

pub(super) fn mismatch(expected: &str, found: &str) -> Reason {
    Reason::Mismatch { expected: shorten(expected), found: shorten(found), code_version: None }
}

/// A text short enough for a message.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(200).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn read(folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, VerifyError> {
    let path = folder.join(name);
    let file = File::open(&path).map_err(unreadable(&path))?;
    read_at_most(file, limit)
        .map_err(unreadable(&path))?
        .ok_or_else(|| invalid(Place::file(name), Reason::TooLarge { limit }))
}
