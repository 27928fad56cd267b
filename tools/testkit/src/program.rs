//! Programs that the tests start: where they are, and a port for them.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Command, Stdio},
};

/// A program by its name, looked for in `PATH` and in `/usr/sbin`, where Debian puts servers.
pub fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut paths = folders.map(|folder| folder.join(name));
    paths.find(|path| path.is_file()).unwrap_or(name.into())
}

/// The command of a nats-server on this port of loopback, without input and output.
pub fn nats_server(port: u16) -> Command {
    let mut command = Command::new(program("nats-server"));
    command
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A free port of loopback.
///
/// # Errors
/// If no port is free.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
