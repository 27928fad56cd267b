//! Control socket, through which commands reach the server that has the SQLite file open. Its path is
//! `<file>.sock`, next to the SQLite file. Only the user of the server process and root may use it.
//!
//! A client sends one line of JSON, a [`CommandRequest`], and receives one line of JSON, a [`Reply`].

use super::{hasher, request::CommandRequest};
use crate::{
    auth::PasswordHasher,
    config::Config,
    database::{Database, Target, beside},
    model::SessionId,
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Maximum length of a request or reply line, in bytes.
const LONGEST_LINE: u64 = 64 * 1024;
/// Time limit for a client to send its request.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of connected clients. Further clients wait to be accepted.
const MAX_CLIENTS: usize = 64;
/// Time limit of a request on the server, and of a client's wait for the reply.
const LIMIT: Duration = Duration::from_secs(60);
/// Maximum number of requests performed at once. Further requests wait.
const AT_ONCE: usize = 4;
/// Pause of the server after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Reply to a request.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum Reply {
    /// The request succeeded; the text is a sentence about the result.
    Done(String),
    /// The request was refused or failed; the text is the error and its remedy.
    Refused(String),
}

/// Returns the path of the control socket of a database, or `None` for Postgres, which several servers share.
fn socket_path(target: &Target) -> Option<PathBuf> {
    let Target::Sqlite(path) = target else {
        return None;
    };
    Some(beside(path, ".sock"))
}

/// Sends a request to the server that has the database open. Returns the sentence of its reply.
///
/// # Errors
/// Returns the server's refusal, or a message that the server does not answer.
pub(super) async fn ask(path: &Path, request: &CommandRequest) -> Result<String, String> {
    let lost = |e: io::Error| format!("the running server does not answer at its socket: {e}");
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut reply = Vec::new();
        let mut stream = BufReader::new(stream.take(LONGEST_LINE));
        stream.read_until(b'\n', &mut reply).await?;
        Ok(serde_json::from_slice(&reply)?)
    };
    let timed = time::timeout(LIMIT, exchange).await;
    let reply = timed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match reply.map_err(lost)? {
        Reply::Done(said) => Ok(said),
        Reply::Refused(why) => Err(why),
    }
}

/// Returns the path of the control socket of the server that has the database open. Returns `None` if no server
/// has the database open, or if the database is on Postgres.
pub(super) fn running(target: &Target) -> Option<PathBuf> {
    socket_path(target).filter(|_| target.is_in_use())
}

/// Server side of the control socket.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// User id of this process.
    owner: u32,
    context: Arc<ControlContext>,
}

/// The parts of the server that a request needs.
struct ControlContext {
    database: Database,
    passwords: PasswordHasher,
    /// Closes the sockets of an ended session.
    close: Box<dyn Fn(SessionId) + Send + Sync>,
    permits: Semaphore,
}

impl Control {
    /// Listens on the socket next to the database file, which this process has locked. `close` is called with
    /// each session that a command ends. Returns `None` on Postgres, and if the socket cannot be created:
    /// commands then need a stopped server, and the log gives the reason.
    #[must_use]
    pub fn listen(
        config: &Config,
        database: &Database,
        close: impl Fn(SessionId) + Send + Sync + 'static,
    ) -> Option<Self> {
        let path = socket_path(&config.target().ok()?)?;
        match bind(&path) {
            Ok((listener, owner)) => Some(Self {
                listener,
                path,
                owner,
                context: Arc::new(ControlContext {
                    database: database.clone(),
                    passwords: hasher(config),
                    close: Box::new(close),
                    permits: Semaphore::new(AT_ONCE),
                }),
            }),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%error, %path, "no control socket: commands can run only while the server is stopped");
                None
            }
        }
    }

    /// Performs requests until `stop`. A request that was received completely is finished; a client that has
    /// sent part of a request is disconnected.
    pub async fn run(self, stop: CancellationToken) {
        let clients = TaskTracker::new();
        let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
        let accept = async || {
            (
                Arc::clone(&slots).acquire_owned().await,
                self.listener.accept().await,
            )
        };
        while let Some((slot, accepted)) = stop.run_until_cancelled(accept()).await {
            match accepted {
                Ok((stream, _)) if self.is_trusted(&stream) => {
                    let (context, stop) = (Arc::clone(&self.context), stop.clone());
                    clients.spawn(async move {
                        serve(stream, &context, &stop).await;
                        drop(slot);
                    });
                }
                Ok(_) => {
                    tracing::warn!("refused a request of another user at the control socket")
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections at the control socket");
                    time::sleep(PAUSE).await;
                }
            }
        }
        clients.close();
        clients.wait().await;
        // A failure is harmless: the next server replaces the file.
        let _ = fs::remove_file(&self.path);
    }

    /// Returns true if the client runs as the user of this process or as root.
    fn is_trusted(&self, stream: &UnixStream) -> bool {
        stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

/// Creates the socket and replaces one that a killed server left. Returns the user id of this process, too.
fn bind(path: &Path) -> io::Result<(UnixListener, u32)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    // The peer of a socket pair is this process, so its credentials give the user id.
    let (own, _) = UnixStream::pair()?;
    Ok((listener, own.peer_cred()?.uid()))
}

async fn serve(stream: UnixStream, context: &ControlContext, stop: &CancellationToken) {
    if let Err(error) = answer(stream, context, stop).await {
        tracing::info!(%error, "the connection of a client of the control socket failed");
    }
}

async fn answer(
    mut stream: UnixStream,
    context: &ControlContext,
    stop: &CancellationToken,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut input = BufReader::new((&mut stream).take(LONGEST_LINE));
    let read = time::timeout(READ_LIMIT, input.read_until(b'\n', &mut line));
    let Some(read) = stop.run_until_cancelled(read).await else {
        return Ok(());
    };
    read??;
    let Ok(_permit) = context.permits.acquire().await else {
        return Ok(());
    };
    let reply = match serde_json::from_slice::<CommandRequest>(&line) {
        Ok(request) => carry_out(request, context).await,
        Err(_) => Reply::Refused(
            "the running server does not know this command; use the same version of messaging-api \
             as the server"
                .to_owned(),
        ),
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    time::timeout(LIMIT, stream.write_all(&line)).await?
}

async fn carry_out(request: CommandRequest, context: &ControlContext) -> Reply {
    let command = request.name();
    let done = request.perform(&context.database, &context.passwords);
    match time::timeout(LIMIT, done).await {
        Ok(Ok(outcome)) => {
            let user = outcome.user.map(|user| user.0);
            let chat = outcome.chat.map(|chat| chat.0);
            tracing::info!(command, user, chat, "command carried out");
            for (user, session) in outcome.ended {
                (context.close)(session);
                tracing::info!(user = user.0, session = session.0, "session ended");
            }
            Reply::Done(outcome.said)
        }
        Ok(Err(why)) => {
            // The reason may hold names, so it goes to the client but not to the log.
            tracing::info!(command, "command refused");
            Reply::Refused(why)
        }
        Err(_) => {
            tracing::warn!(command, "command not finished in time");
            Reply::Refused("the database does not answer; try again".to_owned())
        }
    }
}
