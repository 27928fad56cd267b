//! A file system of the run's own, which can be full: in memory, and as large as it is told to be.

use std::{
    env, fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What it may hold at most, unless it is full. It takes what is used.
const SIZE: &str = "8g";
/// How often the size is asked for again because the server wrote meanwhile.
const ATTEMPTS: u32 = 20;
/// Set in a process that has mounts of its own.
const OWN_MOUNTS: &str = "CHECKER_OWN_MOUNTS";

/// A mounted file system. Dropping it takes it away.
pub struct Volume {
    path: PathBuf,
}

/// Starts this program again with mounts of its own, where that is possible: what it mounts then goes
/// with it, however it ends.
pub fn own_mounts() {
    const UNSHARE: [&str; 4] = ["unshare", "--mount", "--propagation", "private"];
    if env::var_os(OWN_MOUNTS).is_some() || !rustix::process::geteuid().is_root() {
        return;
    }
    let mut attempt = Command::new(UNSHARE[0]);
    let attempt = attempt.args(&UNSHARE[1..]).arg("true");
    let works = attempt.stderr(Stdio::null()).status();
    if let (true, Ok(own)) = (
        works.is_ok_and(|status| status.success()),
        env::current_exe(),
    ) {
        let mut again = Command::new(UNSHARE[0]);
        let again = again
            .args(&UNSHARE[1..])
            .arg(own)
            .args(env::args_os().skip(1));
        let error = again.env(OWN_MOUNTS, "true").exec();
        eprintln!("checker: no mounts of its own: {error}");
    }
}

impl Volume {
    /// Mounts one on a new folder; none where this user may not, or where mounts would outlive the
    /// run.
    pub fn mount(path: &Path) -> io::Result<Option<Self>> {
        fs::create_dir_all(path)?;
        if env::var_os(OWN_MOUNTS).is_none() {
            return Ok(None);
        }
        let mounted = mount(
            &["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"],
            path,
        );
        Ok(mounted.then(|| Self {
            path: path.to_owned(),
        }))
    }

    /// Leaves so many pages free and no more.
    pub fn fill(&self, pages: u64) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            let used = rustix::fs::statvfs(&self.path).map_err(|e| e.to_string())?;
            let blocks = used.f_blocks - used.f_bfree + pages;
            let size = format!("remount,size={}", blocks * used.f_bsize);
            if mount(&["-o", &size], &self.path) {
                return Ok(());
            }
        }
        Err("the file system cannot be made full".to_owned())
    }

    /// Makes room again.
    pub fn free(&self) -> Result<(), String> {
        let size = format!("remount,size={SIZE}");
        match mount(&["-o", &size], &self.path) {
            true => Ok(()),
            false => Err("the file system cannot be made larger".to_owned()),
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // What is still open in it goes with the last process that has it open.
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.path)
            .status();
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    let mut command = Command::new("mount");
    let command = command.args(options).arg(path).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
