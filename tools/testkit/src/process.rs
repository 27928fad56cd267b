//! The binary as a process.

use super::{Client, Socket, patiently};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
};

/// A running binary. Dropping it kills it.
pub struct Process {
    /// The address.
    pub address: SocketAddr,
    /// Its log from before it listened.
    pub said: String,
    child: Child,
    /// The rest of its log, read as it comes, because a full pipe would block the process.
    log: JoinHandle<String>,
}

/// The server's binary: the one that Cargo built for this test, or the one beside the folder of
/// this executable.
///
/// # Panics
/// If there is no binary.
pub fn server_binary() -> PathBuf {
    let named = std::env::var_os("CARGO_BIN_EXE_messaging-api").map(PathBuf::from);
    let beside = || {
        let own = std::env::current_exe().ok()?;
        let folder = own.parent()?.parent()?;
        Some(folder.join("messaging-api"))
    };
    let binary = named.or_else(beside).filter(|path| path.is_file());
    binary.expect("the server's binary: cargo build makes it")
}

/// The server's binary beside this program, where `cargo build` puts both.
///
/// # Errors
/// If there is no binary, or if one of its sources is newer: a run with it would say nothing about them.
pub fn built_server() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let binary = own.with_file_name("messaging-api");
    if !binary.is_file() {
        let path = binary.display();
        return Err(format!(
            "there is no {path}: build messaging-api with the same profile"
        ));
    }
    match newer_source(&binary) {
        None => Ok(binary),
        Some(source) => Err(format!(
            "{} is older than {}: build messaging-api again",
            binary.display(),
            source.display()
        )),
    }
}

/// A source that was changed after this binary was built. Cargo lists the sources of a binary in a file
/// beside it; a binary without that file was copied here, and is taken as it is.
fn newer_source(binary: &Path) -> Option<PathBuf> {
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let built = changed(binary)?;
    let list = std::fs::read_to_string(binary.with_extension("d")).ok()?;
    let (_, sources) = list.trim_end().split_once(": ")?;
    // A space in a path has a backslash before it.
    let sources = sources.replace("\\ ", "\0");
    let mut sources = sources
        .split(' ')
        .map(|path| PathBuf::from(path.replace('\0', " ")));
    sources.find(|path| changed(path).is_some_and(|changed| changed > built))
}

/// The command of the binary, with these settings as its whole environment, in this folder.
pub(super) fn command(folder: &Path, settings: &[(&str, &str)]) -> Command {
    let binary = server_binary();
    let mut command = match cfg!(target_os = "linux") {
        // The tests may run where SIGHUP is ignored, as under nohup.
        true => Command::new("/usr/bin/env"),
        false => Command::new(&binary),
    };
    if cfg!(target_os = "linux") {
        command.arg("--default-signal=HUP").arg(&binary);
    }
    command
        .env_clear()
        .current_dir(folder)
        .envs(settings.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Process {
    /// Starts it, and waits until it listens: on a free port, unless the settings have a PORT.
    pub async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        Self::start_with(folder, settings, &[]).await
    }

    /// Starts it with these arguments too.
    pub async fn start_with(folder: &Path, settings: &[(&str, &str)], args: &[&str]) -> Self {
        let mut all = vec![("PORT", "0")];
        all.extend_from_slice(settings);
        let mut child = command(folder, &all)
            .args(args)
            .spawn()
            .expect("the binary");
        let mut log = BufReader::new(child.stdout.take().expect("its log")).lines();
        let mut said = String::new();
        let address = patiently("the binary to listen", async {
            while let Some(line) = log.next_line().await.expect("a line of the log") {
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let end = rest.find(['"', ' ']).unwrap_or(rest.len());
                    return rest[..end].parse().expect("an address");
                }
                said.push_str(&line);
                said.push('\n');
            }
            let mut complaint = String::new();
            let errors = child.stderr.as_mut().expect("its errors");
            errors
                .read_to_string(&mut complaint)
                .await
                .expect("its errors");
            panic!("the binary ended before it listened: {complaint}");
        });
        let address = address.await;
        Self {
            address,
            said,
            child,
            log: tokio::spawn(read_on(log)),
        }
    }

    /// Starts it with settings that it must refuse; gives its exit status and its standard error.
    pub async fn refused(folder: &Path, settings: &[(&str, &str)]) -> (ExitStatus, String) {
        let output = patiently("the binary to refuse", command(folder, settings).output()).await;
        let output = output.expect("the binary");
        (
            output.status,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Checks that these settings stop the start, and that the error has all of these words, no password
    /// ("hunter2") and no panic.
    pub async fn assert_refused(folder: &Path, settings: &[(&str, &str)], words: &[&str]) {
        let (status, error) = Self::refused(folder, settings).await;
        assert!(!status.success(), "{settings:?} were accepted");
        for word in words {
            assert!(error.contains(word), "{settings:?}: no {word:?} in {error}");
        }
        assert!(!error.contains("hunter2"), "a password is shown: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }

    /// Runs it to its end with these arguments; gives its standard output.
    pub async fn output(folder: &Path, args: &[&str]) -> String {
        Self::output_with(folder, &[], args).await
    }

    /// Runs it to its end with these settings and arguments; gives its standard output.
    pub async fn output_with(folder: &Path, settings: &[(&str, &str)], args: &[&str]) -> String {
        let output = command(folder, settings).args(args).output();
        let output = patiently("the binary to end", output).await;
        String::from_utf8_lossy(&output.expect("the binary").stdout).into_owned()
    }

    /// A REST client.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// A REST client of the same process by another of its addresses.
    pub fn client_at(&self, address: SocketAddr) -> Client {
        Client::new(address)
    }

    /// A new socket, connected to no chat.
    pub async fn socket(&self) -> Socket {
        Socket::open(self.address).await
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// The peak of its resident memory so far, in bytes.
    pub fn peak_memory(&self) -> i64 {
        let status = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(status).expect("the process's status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next());
        1024 * kilobytes
            .and_then(|n| n.parse::<i64>().ok())
            .expect("a size")
    }

    /// Kills it at once (SIGKILL) and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a killed process");
    }

    /// Suspends it (SIGSTOP).
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    /// Resumes it (SIGCONT).
    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    /// Sends it a signal such as -HUP.
    pub async fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let kill = Command::new("kill").args([signal, &id]).status().await;
        assert!(kill.expect("kill").success());
    }

    /// Tells it to stop (SIGTERM) and waits for its end; gives its exit status, and its log since it
    /// listened.
    pub async fn stop(self) -> (ExitStatus, String) {
        self.signal("-TERM").await;
        self.end().await
    }

    /// Waits for its end; gives its exit status, and its log since it listened.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let status = patiently("the binary to stop", self.child.wait()).await;
        let log = patiently("the end of its log", self.log).await;
        (status.expect("how it ended"), log.expect("its log"))
    }
}

async fn read_on(mut lines: Lines<BufReader<ChildStdout>>) -> String {
    let mut log = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        log.push_str(&line);
        log.push('\n');
    }
    log
}
