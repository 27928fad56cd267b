//! The disk beneath the database, whose calls can be made to fail.

use std::{ffi::OsString, path::Path};
use testkit::Disk as Library;

/// The library that fails calls.
pub struct Disk(Library);

impl Disk {
    /// A healthy one; none, with a word about it, where the library cannot be built.
    pub fn new(folder: &Path) -> Option<Self> {
        match Library::new(folder) {
            Ok(library) => Some(Self(library)),
            Err(e) => {
                eprintln!("checker: no call on a file is made to fail: {e}");
                None
            }
        }
    }

    /// What a program needs in its environment.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        let environment = self.0.environment();
        environment.map(|(name, value)| (name, value.into())).into()
    }

    pub fn set(&self, rules: &str) -> Result<(), String> {
        self.0
            .set(rules)
            .map_err(|e| format!("cannot fail the disk: {e}"))
    }
}
