//! Reads the settings, then serves until a signal comes, or does what else was asked for.

#![forbid(unsafe_code)]

use messaging_api::{
    app::{App, fit_open_files},
    cli,
    config::{CliCommand, Config},
    metrics,
    telemetry::{self, LogTo},
};
use std::{
    fs, future::pending, io, net::SocketAddr, process::ExitCode, sync::mpsc, thread, time::Duration,
};
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

/// How long the end of the process waits for each of: work on other threads, standard error, the log.
const END_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    metrics::mark_start();
    // Before any thread: reading .env writes to the process's environment.
    let result = Config::read().and_then(|(config, to_do)| {
        telemetry::start(&config.log, config.log_format, log_of(&to_do))?;
        remark(&config, &to_do);
        #[cfg(feature = "planted-faults")]
        messaging_api::failpoints::announce();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start: {e}"))?;
        let result = runtime.block_on(async {
            match to_do {
                CliCommand::Serve => run(&config).await,
                other => cli::run(&other, &config).await,
            }
        });
        runtime.shutdown_timeout(END_LIMIT);
        result
    });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(message);
            ExitCode::FAILURE
        }
    };
    telemetry::flush(END_LIMIT);
    code
}

/// A server's log is its output; what a command writes may be data.
fn log_of(to_do: &CliCommand) -> LogTo {
    match to_do {
        CliCommand::Serve => LogTo::Output,
        _ => LogTo::Errors,
    }
}

/// Says what of the settings may be a slip; `check` says it itself.
fn remark(config: &Config, to_do: &CliCommand) {
    if *to_do != CliCommand::Check {
        for remark in &config.remarks {
            tracing::warn!("{remark}");
        }
    }
}

/// Says why the process ends, on standard error: the log may be elsewhere or off. A pipe that is not
/// read does not keep the process from ending.
#[allow(clippy::print_stderr)]
fn complain(message: String) {
    let (said, hears) = mpsc::channel();
    thread::spawn(move || {
        eprintln!("messaging-api: {message}");
        // The other end is gone where this took too long.
        let _ = said.send(());
    });
    let _ = hears.recv_timeout(END_LIMIT);
}

async fn run(config: &Config) -> Result<(), String> {
    // What is wrong with the settings is told first.
    config.check()?;
    let config = &fit_open_files(config)?;
    // Before the database is touched: with another server on the port, the original for one, nothing of
    // it is converted. Who connects meanwhile waits, and is answered once the server is ready.
    let address = config.address();
    let listener = listen(address)
        .map_err(|e| format!("cannot listen on {address}: {e}; choose another HOST or PORT"))?;
    let bound = listener.local_addr().map_err(|e| e.to_string())?;
    let app = App::start(config).await?;
    let signal = signal()?;
    tracing::info!("listening on http://{bound}");
    app.serve(listener, signal).await
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

/// Waits for SIGTERM, SIGINT or SIGHUP.
fn signal() -> Result<impl Future<Output = ()>, String> {
    let listen = |kind| unix::signal(kind).map_err(|e| format!("cannot wait for signals: {e}"));
    let mut terminate = listen(unix::SignalKind::terminate())?;
    let mut interrupt = listen(unix::SignalKind::interrupt())?;
    let mut hangup = match ignores_hangup() {
        true => None,
        false => Some(listen(unix::SignalKind::hangup())?),
    };
    Ok(async move {
        let hangup = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup => {}
        }
    })
}

/// Whether the process was started to outlive its terminal, as nohup does: then SIGHUP stays ignored.
/// Linux alone tells; elsewhere SIGHUP is a stop.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
