//! Reads the settings, then serves until a signal comes, or does what else was asked for.

#![forbid(unsafe_code)]

use messaging_api::{
    App, Config, command,
    config::Command,
    telemetry::{self, LogTo},
};
use std::{io, net::SocketAddr, process::ExitCode};
use tokio::{
    net::{TcpListener, TcpSocket},
    select,
    signal::unix,
};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Connections that may wait to be accepted; the kernel takes less where it is told to.
const BACKLOG: u32 = 4096;

fn main() -> ExitCode {
    // Before any thread: reading .env writes to the process's environment.
    let result = Config::read().and_then(|(config, to_do)| {
        telemetry::start(&config.log, config.log_format, log_of(&to_do));
        #[cfg(feature = "planted-faults")]
        messaging_api::planted::announce();
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start: {e}"))?
            .block_on(async {
                match to_do {
                    Command::Serve => run(&config).await,
                    other => command::run(&other, &config).await,
                }
            })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// A server's log is its output; what a command writes may be data.
fn log_of(to_do: &Command) -> LogTo {
    match to_do {
        Command::Serve => LogTo::Output,
        _ => LogTo::Errors,
    }
}

/// Tells whoever started the server, on standard error: the log may be elsewhere or off.
#[allow(clippy::print_stderr)]
fn complain(message: &str) {
    eprintln!("messaging-api: {message}");
}

async fn run(config: &Config) -> Result<(), String> {
    // Each socket is a file; the usual soft limit of 1,024 is far below what the server can hold.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let app = App::start(config).await?;
    let address = config.address();
    let listener = listen(address)
        .map_err(|e| format!("cannot listen on {address}: {e}; choose another HOST or PORT"))?;
    let bound = listener.local_addr().map_err(|e| e.to_string())?;
    tracing::info!("listening on http://{bound}");
    app.serve(listener, signal()?).await;
    Ok(())
}

/// Listens with room for a crowd: when a server restarts, all of its clients come back at once, and
/// the usual 128 places would turn most of them away.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Waits for SIGTERM or SIGINT.
fn signal() -> Result<impl Future<Output = ()>, String> {
    let listen = |kind| unix::signal(kind).map_err(|e| format!("cannot wait for signals: {e}"));
    let mut terminate = listen(unix::SignalKind::terminate())?;
    let mut interrupt = listen(unix::SignalKind::interrupt())?;
    Ok(async move {
        select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
