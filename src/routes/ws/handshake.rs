//! A socket that nobody has identified themselves on yet.

use super::{
    line::{Incoming, Line},
    session::{Admitted, Session, admit},
};
use crate::{
    auth::Caller,
    error::{Code, Error},
    protocol::{Close, Command, Frame, Request},
    service::Feed,
    state::AppState,
};
use tokio::{
    select,
    time::{self, Instant},
};

/// A socket that understands `connect-chat` only, and not for long.
pub(super) struct Handshake {
    line: Line,
    caller: Caller,
    state: AppState,
}

impl Handshake {
    pub(super) fn new(line: Line, caller: Caller, state: &AppState) -> Self {
        Self {
            line,
            caller,
            state: state.clone(),
        }
    }

    /// Waits for the first successful `connect-chat`; closes the socket where none comes in time.
    pub(super) async fn identify(mut self) -> Result<(Session, Admitted), Close> {
        let stopping = self.state.stopping.clone();
        let deadline = Instant::now() + self.state.limits.handshake;
        let close = select! {
            connected = self.connect(deadline) => match connected {
                Ok((feed, admitted)) => {
                    let session = Session::new(self.line, feed, self.caller, self.state);
                    return Ok((session, admitted));
                }
                Err(close) => close,
            },
            () = stopping.cancelled() => Close::Restart,
        };
        self.line.close(close).await;
        Err(close)
    }

    /// The deadline is the client's: what the server takes to answer does not count.
    async fn connect(&mut self, deadline: Instant) -> Result<(Feed, Admitted), Close> {
        loop {
            let received = time::timeout_at(deadline, self.line.receive()).await;
            let Incoming::Text(text) = received.map_err(|_| Close::Policy)?? else {
                continue;
            };
            let request = Request::parse(&text);
            let id = request.id;
            let refused = match request.command {
                Ok(Command::Connect(connect)) => match self.caller.someone(connect.user) {
                    Ok(user) => {
                        let mut feed = self.state.feeds.feed(user);
                        let admitting =
                            admit(&mut feed, &self.state, self.caller, id.clone(), connect);
                        match Box::pin(admitting).await {
                            Ok(admitted) => return Ok((feed, admitted)),
                            Err(error) => error,
                        }
                    }
                    Err(error) => error,
                },
                Ok(_) => {
                    let message = "This socket is connected to no chat: send connect-chat first";
                    Error::new(Code::NotConnected, message)
                }
                Err(error) => error,
            };
            refused.log();
            self.line.send(Frame::error(id.as_ref(), &refused)).await?;
        }
    }
}
