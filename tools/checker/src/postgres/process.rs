//! The processes of a Postgres server.

use rustix::process::{Pid, Signal, kill_process};
use std::{fs, path::Path};

/// The id of the running postmaster of this data folder.
pub(super) fn postmaster(data: &Path) -> Result<Pid, String> {
    let text = fs::read_to_string(data.join("postmaster.pid"))
        .map_err(|e| format!("cannot read Postgres' pid: {e}"))?;
    let pid = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    let pid = pid.and_then(Pid::from_raw);
    // A postmaster that crashed on a disk error may have left the file behind.
    pid.filter(|pid| rustix::process::test_kill_process(*pid).is_ok())
        .ok_or_else(|| "Postgres has no process".to_owned())
}

/// Sends a signal to these processes.
pub(super) fn signal(pids: &[Pid], signal: Signal) {
    for &pid in pids {
        // A process that has ended needs no signal.
        let _ = kill_process(pid, signal);
    }
}

/// The child processes of this process.
pub(super) fn children(parent: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The process name stands in parentheses and may contain anything.
            let (_, rest) = stat.rsplit_once(')')?;
            let ppid: i32 = rest.split_whitespace().nth(1)?.parse().ok()?;
            (ppid == parent.as_raw_nonzero().get()).then_some(pid)
        })
        .filter_map(Pid::from_raw)
        .collect()
}
