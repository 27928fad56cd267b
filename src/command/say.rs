//! What commands tell whoever runs them.

use crate::error::{Error, sentence};
use std::{
    error::Error as _,
    io::{self, Write},
};

/// Says a sentence on standard output.
pub(super) fn tell(sentence: &str) -> Result<(), String> {
    write(sentence.as_bytes())?;
    write(b"\n")
}

/// Writes to standard output, and sees that it arrives.
pub(super) fn write(bytes: &[u8]) -> Result<(), String> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|e| format!("cannot write to standard output: {e}"))
}

/// Says a sentence on standard error, because standard output may be the data. Where nobody can be
/// told, the exit code still tells.
pub(super) fn remark(sentence: &str) {
    let _ = writeln!(io::stderr().lock(), "{sentence}");
}

/// What went wrong, for whoever runs the server: the cause, where there is one, rather than what a
/// caller would be told.
pub(super) fn cause(error: &Error) -> String {
    match error.source() {
        Some(cause) => sentence(cause),
        None => error.to_string(),
    }
}
