//! The connection to NATS.

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use std::{path::PathBuf, time::Duration};
use tokio::sync::mpsc;

/// Messages that wait to be written to NATS; with more, a message is dropped.
const QUEUE: usize = 1024;
/// How often NATS is asked for a sign of life when it says nothing; without three of them the
/// connection counts as lost.
const PING: Duration = Duration::from_secs(2);
/// How long connecting may take, and the longest pause between two attempts.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How to reach NATS, and which servers to find there.
pub struct LinkOptions {
    /// `nats://` or `tls://` URLs of one cluster, separated by commas; user, password or token may
    /// stand in them.
    pub urls: String,
    /// A credentials file.
    pub credentials: Option<PathBuf>,
    /// Certificates of authorities that are trusted instead of the system's.
    pub authorities: Option<PathBuf>,
    /// What all servers on one database call it: they hear each other and nobody else.
    pub deployment: String,
    /// Messages of one subject that wait to be passed on; with more, they are dropped, and
    /// everything is compared with the database.
    pub subscription: usize,
    /// Takes note of how old each message of another server was when it came, by both clocks.
    pub on_lag: Box<dyn Fn(Duration) + Send + Sync>,
}

/// A client that connects by itself, now and whenever it must.
pub(super) async fn connect(
    options: &LinkOptions,
    events: mpsc::Sender<Event>,
) -> Result<Client, String> {
    const EXPECTED: &str = "NATS_URL must be nats://HOST:PORT or tls://HOST:PORT, with \
                            USER:PASSWORD@ or TOKEN@ before the host where NATS asks for them; \
                            several, of one cluster, are separated by commas";
    let urls = options.urls.split(',').map(|url| url.trim().parse());
    let urls: Result<Vec<ServerAddr>, _> = urls.collect();
    // The parser's own message would show the URL, and the password with it.
    let urls = urls.map_err(|_| EXPECTED.to_owned())?;
    let mut connect = ConnectOptions::new()
        .name("messaging-api")
        .no_echo()
        .retry_on_initial_connect()
        .client_capacity(QUEUE)
        .subscription_capacity(options.subscription)
        .skip_subject_validation(true)
        .ping_interval(PING)
        .connection_timeout(CONNECT_LIMIT)
        .reconnect_delay_callback(|attempt| {
            LONGEST_PAUSE.min(Duration::from_millis(50) * u32::try_from(attempt).unwrap_or(20))
        })
        .event_callback(move |event| {
            // Whoever is late to read them looks at the connection itself.
            let _ = events.try_send(event);
            async {}
        });
    if let Some(path) = &options.credentials {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|e| format!("cannot read NATS_CREDENTIALS: {e}"))?;
    }
    if let Some(path) = &options.authorities {
        connect = connect.add_root_certificates(path.clone());
    }
    let connected = connect.connect(urls).await;
    connected.map_err(|e| format!("cannot link to NATS: {e}"))
}
