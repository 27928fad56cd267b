//! The connection to NATS: its options, and how often it is tried and checked.

use async_nats::{Client, ConnectOptions, Event as NatsEvent, ServerAddr};
use std::{path::PathBuf, time::Duration};
use tokio::sync::mpsc;

/// The capacity of the client's queue of outgoing messages. A message that finds the queue full for
/// `PUBLISH_LIMIT` is dropped.
const QUEUE: usize = 1024;
/// The time between two pings to NATS. After three unanswered pings the connection counts as lost.
const PING: Duration = Duration::from_secs(2);
/// The maximum duration of an attempt to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The options of the link: the address of NATS, and the deployment that it connects the nodes of.
pub struct LinkOptions {
    /// `nats://` or `tls://` URLs of one NATS cluster, separated by commas. A URL may contain a user and
    /// password, or a token.
    pub urls: String,
    /// The path of a NATS credentials file. `None` if NATS needs none.
    pub credentials: Option<PathBuf>,
    /// The path of a file with certificates of trusted authorities. `None` for the authorities of the system.
    pub authorities: Option<PathBuf>,
    /// The name that all nodes on one database share. It is part of every subject, so that deployments on one
    /// NATS cluster do not hear each other.
    pub deployment: String,
    /// The capacity of each subscription, in messages. A message that finds it full is dropped, and the node
    /// catches up from the database.
    pub subscription: usize,
    /// Observes the age of each message of another node at its arrival, by the clocks of both nodes.
    pub on_lag: Box<dyn Fn(Duration) + Send + Sync>,
}

/// Creates a NATS client that connects in the background, and reconnects when the connection is lost.
///
/// # Errors
/// A message for the operator about an invalid option. It never shows a URL, which may contain a
/// password.
pub(super) async fn connect(
    options: &LinkOptions,
    events: mpsc::Sender<NatsEvent>,
) -> Result<Client, String> {
    const EXPECTED: &str = "NATS_URL must be nats://HOST:PORT or tls://HOST:PORT, with \
                            USER:PASSWORD@ or TOKEN@ before the host if NATS requires it; commas \
                            separate several servers of one cluster";
    let urls = options.urls.split(',').map(|url| url.trim().parse());
    let urls: Result<Vec<ServerAddr>, _> = urls.collect();
    // The error of the parser is not shown, because it would show the URL and the password in it.
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
            // A full queue loses the event. The task also checks the state of the connection itself.
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
    connected.map_err(|e| format!("cannot connect to NATS: {e}"))
}
