//! Metrics of the process, read from the operating system, under the names that the client
//! libraries of Prometheus use. Memory and open files are available on Linux only.

use super::sample::{Sample, SampleKind};
use rustix::time::{ClockId, clock_gettime};
use std::{
    fs,
    sync::LazyLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// The start time of the process, in seconds since 1970: the time of the first access.
static STARTED: LazyLock<f64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
});

/// Records the current time as the start time of the process.
pub fn mark_start() {
    LazyLock::force(&STARTED);
}

/// Returns all values that the operating system reports.
pub(super) fn read() -> Vec<Sample> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    let known = [
        Some(Sample {
            name: "process_cpu_seconds",
            help: "CPU time used, in user and system mode",
            kind: SampleKind::Counter,
            value: seconds,
        }),
        gauge(
            "process_start_time_seconds",
            "Start time of the process, in seconds since 1970",
            Some(*STARTED),
        ),
        gauge("process_open_fds", "Open files", open_files()),
        gauge(
            "process_max_fds",
            "Maximum number of open files",
            most_files(),
        ),
        gauge(
            "process_resident_memory_bytes",
            "Resident memory of the process",
            memory("VmRSS:"),
        ),
        gauge(
            "process_virtual_memory_bytes",
            "Virtual memory of the process",
            memory("VmSize:"),
        ),
    ];
    known.into_iter().flatten().collect()
}

fn gauge(name: &'static str, help: &'static str, value: Option<f64>) -> Option<Sample> {
    Some(Sample {
        name,
        help,
        kind: SampleKind::Gauge,
        value: value?,
    })
}

/// Returns the number of open files. Newer kernels report it as the size of the folder; on older
/// ones the entries are counted.
fn open_files() -> Option<f64> {
    const FOLDER: &str = "/proc/self/fd";
    let size = fs::metadata(FOLDER).ok()?.len();
    match size {
        // The folder itself is open while it is read.
        0 => Some(fs::read_dir(FOLDER).ok()?.count().saturating_sub(1) as f64),
        size => Some(size as f64),
    }
}

fn most_files() -> Option<f64> {
    let limit = rlimit::Resource::NOFILE.get_soft().ok()?;
    Some(limit as f64)
}

/// Returns a value of the process's status, in bytes.
fn memory(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}
