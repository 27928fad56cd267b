//! The disk of the database. Calls on its files can be made to fail.

use std::{ffi::OsString, path::Path};
use testkit::Disk as Library;

/// The preloaded library that makes calls fail.
pub struct Disk(Library);

impl Disk {
    /// Returns a healthy disk. Returns `None` and prints the reason if the library cannot be built.
    pub fn new(folder: &Path) -> Option<Self> {
        match Library::new(folder) {
            Ok(library) => Some(Self(library)),
            Err(e) => {
                eprintln!("checker: no call on a file is made to fail: {e}");
                None
            }
        }
    }

    /// The environment variables that a program needs to load the library.
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
