//! A disk that fails on demand: builds the library of disk.c and writes its rules.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the library is written in C; its head explains the rules.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/disk.c");

/// The library and its rules, in a folder that outlives the programs that use them.
pub struct Disk {
    library: PathBuf,
    rules: PathBuf,
}

impl Disk {
    /// Compiles the library in this folder, with `cc`. The disk is healthy at first. For a program of
    /// another user, such as Postgres, that user must be able to enter the folder.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let disk = Self {
            library: folder.join("disk.so"),
            rules: folder.join("disk.rules"),
        };
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O2", "-o"]);
        let built = cc.arg(&disk.library).arg(SOURCE).output()?;
        if !built.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&built.stderr).into_owned(),
            ));
        }
        disk.set("")?;
        Ok(disk)
    }

    /// What the environment of a program needs, so that it uses this disk.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("DISK_FAULTS", &self.rules)]
    }

    /// Sets the rules, such as "EIO sync 0 1 messages.db-wal"; with none the disk is healthy. A
    /// program meets the old rules or the new ones, and never half of a file.
    pub fn set(&self, rules: &str) -> io::Result<()> {
        let next = self.rules.with_extension("next");
        fs::write(&next, format!("{rules}\n"))?;
        // Programs of other users lower the numbers in it.
        fs::set_permissions(&next, fs::Permissions::from_mode(0o666))?;
        fs::rename(&next, &self.rules)
    }

    /// The rules with the numbers that are left of them.
    pub fn left(&self) -> io::Result<String> {
        Ok(fs::read_to_string(&self.rules)?.trim().to_owned())
    }
}
