//! The resource usage of processes, from Linux' `/proc`.

use std::{fs, io, path::PathBuf};

/// Ticks per CPU second in `/proc`, a constant on all common platforms of Linux.
const TICKS: f64 = 100.0;

/// Indexes of fields in `/proc/PID/stat`, counted from after the command's name.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const CHILDREN_USER: usize = 13;
const CHILDREN_SYSTEM: usize = 14;

/// CPU seconds that all threads of a process have used.
pub fn cpu(pid: u32) -> f64 {
    stat(pid).map_or(0.0, |stat| seconds(&stat, &[USER, SYSTEM]))
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> f64 {
    memory(pid, "VmRSS:")
}

/// The peak of the resident memory of a process, in bytes.
pub fn peak(pid: u32) -> f64 {
    memory(pid, "VmHWM:")
}

/// Resets the peak of the resident memory of a process to its present size.
pub fn forget_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

fn memory(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok())
        .map_or(0.0, |kib: f64| kib * 1024.0)
}

/// The number of files and sockets that a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// CPU seconds of the Postgres with its data in the folder `TEST_POSTGRES_DATA`: of the postmaster, and
/// of all present and past child processes. `None` if that variable is not set or Postgres does not
/// run.
pub fn postgres_cpu() -> Option<f64> {
    let folder = PathBuf::from(std::env::var_os("TEST_POSTGRES_DATA")?);
    let pid = fs::read_to_string(folder.join("postmaster.pid")).ok()?;
    let pid: u32 = pid.lines().next()?.parse().ok()?;
    let own = seconds(&stat(pid)?, &[USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM]);
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let children = processes
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .filter(|stat| stat.get(PARENT) == Some(&f64::from(pid)));
    Some(
        own + children
            .map(|stat| seconds(&stat, &[USER, SYSTEM]))
            .sum::<f64>(),
    )
}

/// The fields after the command's name. A field that is not a number is 0.
fn stat(pid: u32) -> Option<Vec<f64>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let number = |field: &str| field.parse().unwrap_or(0.0);
    Some(fields.split(' ').map(number).collect())
}

fn seconds(stat: &[f64], fields: &[usize]) -> f64 {
    let ticks = fields.iter().filter_map(|field| stat.get(*field));
    ticks.sum::<f64>() / TICKS
}
