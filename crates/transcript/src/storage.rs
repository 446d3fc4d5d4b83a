//! The few file operations a transcript needs beside those of [`lorica_tensor::files`].

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use crate::error::TranscriptError;

/// Wraps a file system error with what was tried and where.
pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> TranscriptError + 'a {
    move |source| TranscriptError::Io { action, path: path.to_owned(), source }
}

/// Fills `bytes` from `offset` of the file; a file that ends before is an error.
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}
