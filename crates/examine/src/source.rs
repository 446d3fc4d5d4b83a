//! What a side of the comparison is: a model folder, an endpoint or a recording, told apart when it is named.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::recording;

/// Bytes at the beginning of a file that tell what it is.
const MAGIC_BYTES: u64 = 64;

/// One side, as it was named. What it names was there when it was parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A model folder: `config.json`, safetensors, `tokenizer.json`.
    Folder(PathBuf),
    /// The address of an OpenAI-compatible endpoint, `http` or `https`.
    Endpoint(String),
    /// A file that [`crate::recording::record`] wrote.
    Recording(PathBuf),
}

/// Why a text names no side.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Another scheme than http and https.
    #[error("{text}: expected an address that begins with http:// or https://")]
    Scheme {
        /// What was given.
        text: String,
    },
    /// A user name or key within the address.
    #[error(
        "the address holds a user name or a key, which would be written into the evidence: give keys with --key-env"
    )]
    Credentials,
    /// Nothing of that name.
    #[error(
        "{}: no such file or folder; models are not fetched by name: give a model folder, a recording, or an endpoint's \
         address that begins with http:// or https://", path.display()
    )]
    Nothing {
        /// What was given.
        path: PathBuf,
    },
    /// A folder without a model.
    #[error("{}: no config.json in this folder; expected a model folder with config.json, safetensors files and tokenizer.json", path.display())]
    NoModel {
        /// The folder.
        path: PathBuf,
    },
    /// A single file of weights.
    #[error("{}: a GGUF file; start llama.cpp's server with it and give the server's address", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
    },
    /// A file that is no recording.
    #[error("{}: this file is no recording; expected what `lorica identify record` wrote, a model folder or an endpoint's address", path.display())]
    NoRecording {
        /// The file.
        path: PathBuf,
    },
    /// The file system.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl Source {
    /// What a text names.
    ///
    /// # Errors
    /// Something that is none of the three, with what was found.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if let Some((scheme, rest)) = text.split_once("://") {
            if !matches!(scheme, "http" | "https") {
                return Err(SourceError::Scheme { text: text.to_owned() });
            }
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            if authority.contains('@') || rest.contains('?') {
                return Err(SourceError::Credentials);
            }
            return Ok(Self::Endpoint(text.trim_end_matches('/').to_owned()));
        }
        let path = PathBuf::from(text);
        let Ok(metadata) = fs::metadata(&path) else { return Err(SourceError::Nothing { path }) };
        if metadata.is_dir() {
            return if path.join("config.json").is_file() {
                Ok(Self::Folder(path))
            } else {
                Err(SourceError::NoModel { path })
            };
        }
        match beginning(&path) {
            Err(source) => Err(SourceError::Read { path, source }),
            Ok(bytes) if bytes.starts_with(b"GGUF") => Err(SourceError::Gguf { path }),
            Ok(bytes) if bytes.starts_with(recording::MAGIC) => Ok(Self::Recording(path)),
            Ok(_) => Err(SourceError::NoRecording { path }),
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(path) => Some(path),
            Self::Endpoint(_) | Self::Recording(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::Recording(path) => path.display().fmt(formatter),
            Self::Endpoint(address) => address.fmt(formatter),
        }
    }
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAGIC_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let recording = file("recording", recording::MAGIC);
        let (gguf, text) = (file("model.gguf", b"GGUF\x03"), file("text", b"hello"));
        let empty = folder.path().to_str().unwrap().to_owned();
        assert!(matches!(Source::parse(&recording), Ok(Source::Recording(_))));
        assert!(matches!(Source::parse(&gguf), Err(SourceError::Gguf { .. })));
        assert!(matches!(Source::parse(&text), Err(SourceError::NoRecording { .. })));
        assert!(matches!(Source::parse(&empty), Err(SourceError::NoModel { .. })));
        assert!(matches!(Source::parse("openai/gpt-oss"), Err(SourceError::Nothing { .. })));
        file("config.json", b"{}");
        assert!(matches!(Source::parse(&empty), Ok(Source::Folder(_))));
        assert_eq!(
            Source::parse("http://127.0.0.1:1/v1/").unwrap(),
            Source::Endpoint("http://127.0.0.1:1/v1".to_owned())
        );
        assert!(matches!(Source::parse("ftp://host"), Err(SourceError::Scheme { .. })));
    }

    /// The address is written into the evidence.
    #[test]
    fn an_address_with_a_key_is_refused_and_not_repeated() {
        for bad in ["https://me:sk-1@host/v1", "https://host/v1?key=sk-1"] {
            let error = Source::parse(bad).unwrap_err();
            assert!(!error.to_string().contains("sk-1"));
        }
    }
}
