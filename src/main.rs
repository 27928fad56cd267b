//! Reads the settings, starts the server, and waits for a signal.

use messaging_api::{App, Config, telemetry};
use std::process::ExitCode;
use tokio::{net::TcpListener, select, signal::unix};

/// Gives memory back after a crowd has left, and keeps tens of thousands of small sockets close
/// together; the system's allocator does neither well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any thread: reading .env writes to the process's environment.
    let result = Config::read().and_then(|config| {
        telemetry::start(&config.log, config.log_format);
        #[cfg(feature = "planted-faults")]
        messaging_api::planted::announce();
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|e| format!("cannot start: {e}"))?
            .block_on(run(&config))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
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
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| format!("cannot listen on {address}: {e}; choose another HOST or PORT"))?;
    let bound = listener.local_addr().map_err(|e| e.to_string())?;
    tracing::info!("listening on http://{bound}");
    app.serve(listener, signal()?).await;
    Ok(())
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
