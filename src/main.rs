//! The entry point: reads the settings, then runs the server until a signal arrives, or runs
//! another command.

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

/// Connections that may wait to be accepted. The kernel caps the number (`net.core.somaxconn` on
/// Linux).
const BACKLOG: u32 = 4096;

/// Time that the process waits at its end for each of: blocking threads, standard error, the log.
const END_LIMIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    metrics::mark_start();
    // Runs before any thread starts, because reading .env writes to the environment of the process.
    let result = Config::read().and_then(|(config, command)| {
        telemetry::start(&config.log, config.log_format, log_target(&command))?;
        log_remarks(&config, &command);
        #[cfg(feature = "planted-faults")]
        messaging_api::failpoints::announce();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start: {e}"))?;
        let result = runtime.block_on(async {
            match command {
                CliCommand::Serve => serve(&config).await,
                other => cli::run(&other, &config).await,
            }
        });
        runtime.shutdown_timeout(END_LIMIT);
        result
    });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            print_error(message);
            ExitCode::FAILURE
        }
    };
    telemetry::flush(END_LIMIT);
    code
}

/// Returns the stream for log lines. A server logs to standard output; another command logs to
/// standard error, because its own output may be data.
fn log_target(command: &CliCommand) -> LogTo {
    match command {
        CliCommand::Serve => LogTo::Output,
        _ => LogTo::Errors,
    }
}

/// Logs settings that are valid but probably a mistake. The `check` command prints them itself.
fn log_remarks(config: &Config, command: &CliCommand) {
    if *command != CliCommand::Check {
        for remark in &config.remarks {
            tracing::warn!("{remark}");
        }
    }
}

/// Prints the reason for the exit on standard error, because the log may be redirected or off.
/// The wait is bounded, so an unread pipe cannot keep the process from ending.
#[allow(clippy::print_stderr)]
fn print_error(message: String) {
    let (printed, waiting) = mpsc::channel();
    thread::spawn(move || {
        eprintln!("messaging-api: {message}");
        // The receiver is gone if printing took longer than `END_LIMIT`.
        let _ = printed.send(());
    });
    let _ = waiting.recv_timeout(END_LIMIT);
}

/// Runs the server until a signal arrives.
async fn serve(config: &Config) -> Result<(), String> {
    // Checks the settings first, so that a mistake in them is reported before any other error.
    config.check()?;
    let config = &fit_open_files(config)?;
    // The port is bound before the database is opened: if another server (for example the original
    // backend) already listens on it, the database is not converted. Clients that connect meanwhile
    // wait in the backlog until the server is ready.
    let address = config.address();
    let listener = listen(address)
        .map_err(|e| format!("cannot listen on {address}: {e}; choose another HOST or PORT"))?;
    let bound = listener.local_addr().map_err(|e| e.to_string())?;
    let app = App::start(config).await?;
    let signal = shutdown_signal()?;
    tracing::info!("listening on http://{bound}");
    app.serve(listener, signal).await
}

/// Listens with a long backlog. After a restart all clients reconnect at once, and the usual
/// backlog of 128 would refuse most of them.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Returns a future that completes on SIGTERM, SIGINT or SIGHUP.
fn shutdown_signal() -> Result<impl Future<Output = ()>, String> {
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

/// Returns true if the process was started with SIGHUP ignored, as nohup does; SIGHUP then stays
/// ignored. Only Linux reports the mask of ignored signals. On other systems SIGHUP stops the
/// server.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, the lowest bit of the mask.
    ignored.is_some_and(|mask| mask & 1 == 1)
}
