//! The handshake of a socket: a socket without a user accepts only `connect-chat`, until one
//! succeeds or the deadline passes.

use super::{
    session::{AcceptedConnect, SocketSession, admit, too_many_frames},
    socket::{Incoming, Socket},
};
use crate::{
    auth::{Caller, SignedIn},
    delivery::Feed,
    error::{Code, Error},
    model::UserId,
    protocol::{ClientCommand, CloseCode, Connect, Frame, Request, RequestId},
    rate_limit::{Permit, rate_limit_key},
    service::Identity,
    state::AppState,
};
use std::time::Duration;
use tokio::{
    select,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// Retry-after for a user who already has as many sockets as allowed. The time is a guess, because
/// the server cannot know when one closes.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Wrong tokens after which a socket is closed. A well-behaved client sends one wrong
/// token and then obtains another.
const WRONG_TOKENS: u32 = 5;

/// A socket without a user. It has until a deadline to send an accepted `connect-chat`.
pub(super) struct Handshake {
    socket: Socket,
    /// The session of the upgrade request. `None` if the request carried no token.
    opened_by: Option<SignedIn>,
    state: AppState,
    /// The number of refused tokens.
    wrong_tokens: u32,
}

/// The outcome of a successful handshake.
struct Identified {
    feed: Feed,
    permit: Permit<UserId>,
    caller: Caller,
    admitted: AcceptedConnect,
}

impl Handshake {
    pub(super) fn new(socket: Socket, opened_by: Option<SignedIn>, state: &AppState) -> Self {
        Self {
            socket,
            opened_by,
            state: state.clone(),
            wrong_tokens: 0,
        }
    }

    /// Waits for the first successful `connect-chat`. If none succeeds before the deadline, closes
    /// the socket and returns `None`.
    pub(super) async fn identify(mut self) -> Option<(Box<SocketSession>, Box<AcceptedConnect>)> {
        let stopping = self.state.stopping.clone();
        // The feed is registered for the session although no chat is known yet, so that the end of
        // the session closes this socket too.
        let opened = self.opened_by.map(|opened_by| {
            let session = Some(opened_by.session);
            self.state.feeds.feed(opened_by.user, session)
        });
        let ended = opened
            .as_ref()
            .map_or_else(CancellationToken::new, Feed::ended);
        let deadline = Instant::now() + self.state.limits.handshake;
        let input = self.socket.input();
        let close = select! {
            connected = self.connect(deadline) => match connected {
                Ok(Identified { feed, permit, caller, admitted }) => {
                    let session = SocketSession::new(self.socket, feed, caller, self.state, permit);
                    return Some((Box::new(session), Box::new(admitted)));
                }
                Err(close) => close,
            },
            () = stopping.cancelled() => CloseCode::Restart,
            () = ended.cancelled() => CloseCode::SessionEnded,
            () = input.ended() => CloseCode::Normal,
        };
        let user = self.opened_by.map(|opened_by| opened_by.user);
        self.socket.close(close, user).await;
        None
    }

    /// Reads frames until a `connect-chat` succeeds. The deadline limits only the client: the time
    /// that the server takes to decide is added to it. The loop also checks the deadline itself,
    /// because the timeout never fires while the client always has another frame ready.
    async fn connect(&mut self, mut deadline: Instant) -> Result<Identified, CloseCode> {
        let late = CloseCode::NotConnected(self.state.limits.handshake);
        while Instant::now() < deadline {
            let received = time::timeout_at(deadline, self.socket.receive()).await;
            let (request, too_fast) = match received.map_err(|_| late)?? {
                Incoming::Text(text) => (Request::parse(&text), None),
                Incoming::TooFast(text, wait) => (Request::parse(&text), Some(wait)),
                Incoming::Pong | Incoming::Other => continue,
            };
            let Request { id, command } = request;
            let throttled = too_fast.is_some();
            let refused = match (too_fast, command) {
                (Some(wait), _) => too_many_frames(wait),
                (None, Ok(ClientCommand::Connect(connect))) => {
                    let asked = Instant::now();
                    match Box::pin(self.admit(id.clone(), connect)).await {
                        Ok(known) => return Ok(known),
                        Err(error) => {
                            deadline += asked.elapsed();
                            error
                        }
                    }
                }
                (None, other) => match self.count_frame() {
                    Ok(()) => other.err().unwrap_or_else(not_connected),
                    Err(too_fast) => too_fast,
                },
            };
            if !throttled {
                self.socket.slow_down(&refused);
            }
            let user = self.opened_by.map(|opened_by| opened_by.user);
            self.socket.log(user, &refused);
            self.state.metrics.refusal(refused.code().as_str(), "ws");
            self.socket
                .send(Frame::error(id.as_ref(), &refused))
                .await?;
            if self.wrong_tokens >= WRONG_TOKENS {
                return Err(CloseCode::WrongTokens);
            }
        }
        Err(late)
    }

    /// Counts a frame other than `connect-chat` as a request of the client's address. The user is
    /// unknown, so there is no other key to count the frame under.
    fn count_frame(&self) -> Result<(), Error> {
        let from = rate_limit_key(self.socket.from());
        let requests = &self.state.requests;
        requests.take(&from, "frames and requests from this address")
    }

    /// Counts a wrong token, on this socket and as a request of the client's address. Otherwise a
    /// socket would be a cheaper way to guess tokens than HTTP. If the address exceeds its rate,
    /// the socket counts as having sent all its wrong tokens and is closed.
    fn count_wrong_token(&mut self) {
        let from = rate_limit_key(self.socket.from());
        let taken = self
            .state
            .requests
            .take(&from, "requests from this address");
        self.wrong_tokens = match taken {
            Ok(()) => self.wrong_tokens + 1,
            Err(_) => WRONG_TOKENS,
        };
    }

    /// Identifies the user and connects the socket to the chat. The session is checked once more
    /// after the feed is registered, so that a session that ends in between is not missed. Takes
    /// `&mut self`, because a shared reference to the socket cannot be sent to another thread.
    async fn admit(
        &mut self,
        id: Option<RequestId>,
        connect: Connect,
    ) -> Result<Identified, Error> {
        let sessions = &self.state.sessions;
        let token = connect.token.as_deref();
        let Identity {
            caller,
            user,
            session,
        } = match sessions.identify(self.opened_by, token, connect.user).await {
            Ok(identity) => identity,
            Err(error) => {
                if token.is_some() && error.code() == Code::Unauthorized {
                    self.count_wrong_token();
                }
                return Err(error);
            }
        };
        let permit = self.state.sockets_per_user.take(user).ok_or_else(|| {
            let message = format!("User {user} has too many open sockets; close one first");
            Error::rate_limited(message, RETRY_AFTER)
        })?;
        let mut feed = self.state.feeds.feed(user, session);
        sessions.ensure_alive(user, session).await?;
        let admitted = admit(&mut feed, &self.state, caller, id, connect).await?;
        Ok(Identified {
            feed,
            permit,
            caller,
            admitted,
        })
    }
}

/// Returns the error for a frame before the first `connect-chat`.
fn not_connected() -> Error {
    let message = "This socket is not connected to a chat: send connect-chat first";
    Error::new(Code::NotConnected, message)
}
