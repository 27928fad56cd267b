//! A file system in memory that belongs to the run. Its size can be changed, so that it becomes full.

use std::{
    env, fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The maximum size while the file system is not full. Only stored data takes memory.
const SIZE: &str = "8g";
/// The number of attempts to shrink the file system: the server may write between measure and remount.
const ATTEMPTS: u32 = 20;
/// Environment variable that is set in a process with its own mount namespace.
const OWN_MOUNTS: &str = "CHECKER_OWN_MOUNTS";

/// A mounted file system. Dropping it unmounts it.
pub struct Volume {
    path: PathBuf,
}

/// Restarts this program in its own mount namespace if the system permits it. Its mounts then disappear
/// with the process, even if it is killed.
pub fn use_own_mounts() {
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
    /// Mounts a file system on a new folder. Returns `None` if the user may not mount, or if mounts
    /// would outlive the run.
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

    /// Shrinks the file system until only `pages` pages are free.
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

    /// Restores the full size.
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
        // A lazy unmount: files that are still open stay usable until their last process closes them.
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
