//! A socket whose user is known: one task, one `select!`, whose arms are all that can happen.

use super::{
    commands::{AwaitedReceipt, next_mark},
    socket::{Incoming, Socket},
};
use crate::{
    auth::Caller,
    delivery::{Feed, FeedAction, FeedStart, HubEvent, Outcome, Pending},
    error::Error,
    middleware::Input,
    model::{ChatId, MessageId, UserId},
    protocol::{CloseCode, Connect, Connected, Frame, Online, Request, RequestId},
    rate_limit::{Permit, too_fast},
    state::AppState,
};
use futures_util::FutureExt;
use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    select,
    task::unconstrained,
    time::{self, Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// Changes of one socket that may be on their way at once, and read positions; with more, it is
/// not read until one is answered.
const IN_FLIGHT: usize = 64;
/// Events after which a busy socket is written to although more is ready.
const UNFLUSHED: usize = 64;

/// A socket whose user is known.
pub(super) struct Session {
    pub(super) socket: Socket,
    pub(super) feed: Feed,
    pub(super) user: UserId,
    /// Who the socket was opened by: in open mode, anyone who connects becomes a member.
    pub(super) caller: Caller,
    pub(super) state: AppState,
    /// Done when the user's or the session's sockets must close.
    pub(super) ended: CancellationToken,
    /// Whether the client still sends.
    input: Arc<Input>,
    /// Changes that were handed in, in order; their answers come in that order too.
    pub(super) pending: VecDeque<InFlight>,
    /// Read positions that were handed in, in order. Their answers take their time, and changes do
    /// not wait for them.
    pub(super) marks: VecDeque<AwaitedReceipt>,
    /// Whether the client is one that checks heartbeats.
    pub(super) heartbeat: bool,
    /// The socket's place among its user's.
    _place: Permit<UserId>,
    /// Pings that were sent since the last pong.
    pub(super) unanswered: u32,
}

/// A change that was handed in, and how to answer it.
pub(super) struct InFlight {
    pub(super) id: Option<RequestId>,
    pub(super) ack: fn(&RequestId, Outcome) -> Result<Frame, Error>,
    pub(super) pending: Pending,
}

/// A `connect-chat` that was accepted and is to be answered.
pub(super) struct Joined {
    id: Option<RequestId>,
    chat: ChatId,
    who: Online,
    opened: FeedStart,
    resumes: bool,
}

/// What can happen.
enum Event {
    HubEvent(HubEvent),
    Incoming(Incoming),
    Outcome(Result<Outcome, Error>),
    AwaitedReceipt(Result<MessageId, Error>),
    Tick,
    InputEnded,
    Stopping,
}

/// Lets a user into a chat and opens its feed. Nothing is sent yet.
pub(super) async fn admit(
    feed: &mut Feed,
    state: &AppState,
    caller: Caller,
    id: Option<RequestId>,
    connect: Connect,
) -> Result<Joined, Error> {
    let Connect {
        chat,
        username,
        since,
        ..
    } = connect;
    let user = feed.user();
    state
        .connects
        .take(&user, "connect-chat frames of this user")?;
    if !feed.is_in(chat) && feed.chats() >= state.limits.chats_per_socket {
        let most = state.limits.chats_per_socket;
        return Err(Error::forbidden(format!(
            "A socket connects to at most {most} chats"
        )));
    }
    let opened = feed.open(caller, chat, since.as_ref()).await?;
    let claimed = username.filter(|_| !caller.members_only());
    let username = claimed.map_or_else(|| opened.username.clone(), |name| name.to_string());
    let who = Online {
        customer_id: user,
        username,
    };
    Ok(Joined {
        id,
        chat,
        who,
        opened,
        resumes: since.is_some(),
    })
}

impl Session {
    pub(super) fn new(
        socket: Socket,
        feed: Feed,
        caller: Caller,
        state: AppState,
        place: Permit<UserId>,
    ) -> Self {
        let (user, ended, input) = (feed.user(), feed.ended(), socket.input());
        Self {
            socket,
            feed,
            user,
            caller,
            state,
            ended,
            input,
            pending: VecDeque::new(),
            marks: VecDeque::new(),
            heartbeat: false,
            _place: place,
            unanswered: 0,
        }
    }

    /// Serves the socket until it closes.
    ///
    /// Boxed, because a task keeps room for every place that a value was moved through, for as long
    /// as the socket is open.
    pub(super) async fn run(mut self: Box<Self>, first: Box<Joined>) {
        let ended = self.ended.clone();
        // Whatever is under way, a replay to somebody who reads slowly for one, ends with the session.
        let close = select! {
            biased;
            () = ended.cancelled() => CloseCode::SessionEnded,
            closed = self.live(first) => {
                let Err(close) = closed;
                match ended.is_cancelled() {
                    true => CloseCode::SessionEnded,
                    false => close,
                }
            }
        };
        let Self {
            socket, feed, user, ..
        } = *self;
        // Gone from its chats at once, however long the goodbye takes.
        drop(feed);
        Box::pin(socket.close(close, Some(user))).await;
    }

    async fn live(&mut self, first: Box<Joined>) -> Result<Infallible, CloseCode> {
        Box::pin(self.finish_connect(*first)).await?;
        let period = self.state.limits.ping;
        let mut ticks = time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unflushed = 0;
        loop {
            let ready = if unflushed < UNFLUSHED {
                self.event(&mut ticks).now_or_never()
            } else {
                None
            };
            let event = match ready {
                Some(event) => event?,
                None => {
                    self.socket.flush().await?;
                    unflushed = 0;
                    self.event(&mut ticks).await?
                }
            };
            unflushed += 1;
            // Whatever came with it: nothing is done for a session that has ended.
            if self.ended.is_cancelled() {
                return Err(CloseCode::SessionEnded);
            }
            match event {
                Event::HubEvent(arrival) => self.deliver(arrival).await?,
                Event::Incoming(Incoming::Text(text)) => self.handle(&text).await?,
                Event::Incoming(Incoming::TooFast(text, wait)) => {
                    let id = Request::parse(&text).id;
                    self.refuse(id.as_ref(), &too_many_frames(wait)).await?;
                }
                Event::Incoming(Incoming::Pong) => self.unanswered = 0,
                Event::Incoming(Incoming::Other) => {}
                Event::Outcome(answer) => self.answer(answer).await?,
                Event::AwaitedReceipt(position) => self.answer_mark(position).await?,
                Event::Tick => Box::pin(self.tick()).await?,
                Event::InputEnded => return Box::pin(self.finish(CloseCode::Normal)).await,
                Event::Stopping => return Box::pin(self.finish(CloseCode::Restart)).await,
            }
        }
    }

    /// Waits for whatever happens next; nothing is lost where this is broken off.
    async fn event(&mut self, ticks: &mut Interval) -> Result<Event, CloseCode> {
        let reading = self.pending.len() < IN_FLIGHT && self.marks.len() < IN_FLIGHT;
        Ok(select! {
            Some(arrival) = self.feed.arrival() => Event::HubEvent(arrival),
            incoming = self.socket.receive(), if reading => Event::Incoming(incoming?),
            Some(answer) = next_answer(&mut self.pending) => Event::Outcome(answer),
            Some(position) = next_mark(&mut self.marks) => Event::AwaitedReceipt(position),
            _ = ticks.tick() => Event::Tick,
            () = self.input.ended() => Event::InputEnded,
            () = self.state.stopping.cancelled() => Event::Stopping,
        })
    }

    /// Sends what happened in a chat.
    async fn deliver(&mut self, arrival: HubEvent) -> Result<(), CloseCode> {
        match self.feed.take(arrival) {
            FeedAction::Changes(batch, skip) => {
                for (_, frame) in batch.iter().skip(skip) {
                    self.socket.buffer(frame.clone()).await?;
                }
                Ok(())
            }
            FeedAction::Frame(frame) => self.socket.buffer(frame).await,
            FeedAction::CatchUp(chat) => Box::pin(self.catch_up(chat)).await,
            FeedAction::Reset => Err(CloseCode::Restart),
            FeedAction::Nothing => Ok(()),
        }
    }

    /// Sends what the socket has missed, from the database. Where that is not to be had, the
    /// client must come back and resume.
    async fn catch_up(&mut self, chat: ChatId) -> Result<(), CloseCode> {
        loop {
            let frames = match self.feed.catch_up(chat).await {
                Ok(Some(frames)) => frames,
                Ok(None) => return Ok(()),
                Err(error) => {
                    error.log();
                    return Err(CloseCode::TooSlow);
                }
            };
            for frame in frames {
                self.socket.buffer(frame).await?;
            }
            self.socket.flush().await?;
        }
    }

    /// Answers an accepted `connect-chat`: what was missed, the `join`, the ack.
    pub(super) async fn finish_connect(&mut self, admitted: Joined) -> Result<(), CloseCode> {
        let Joined {
            id,
            chat,
            who,
            opened,
            resumes,
        } = admitted;
        self.heartbeat |= resumes || id.is_some();
        self.catch_up(chat).await?;
        if let Some(join) = self.feed.join(chat, who) {
            self.socket.buffer(join).await?;
        }
        drop(opened.previous);
        match id {
            Some(id) if self.feed.is_in(chat) => {
                let how = Connected {
                    chat_id: chat,
                    seq: self.feed.seen(chat),
                    epoch: opened.epoch.as_ref(),
                    online: &self.feed.online(chat),
                    truncated: opened.truncated,
                };
                self.socket.buffer(Frame::connected(&id, &how)).await
            }
            Some(id) => {
                self.socket
                    .buffer(Frame::error(Some(&id), &Error::chat_not_found(chat)))
                    .await
            }
            None => Ok(()),
        }
    }

    /// Answers the change that was handed in first.
    async fn answer(&mut self, answer: Result<Outcome, Error>) -> Result<(), CloseCode> {
        let Some(InFlight { id, ack, .. }) = self.pending.pop_front() else {
            return Ok(());
        };
        let frame = match (answer, id) {
            (Ok(answer), Some(id)) => match ack(&id, answer) {
                Ok(frame) => frame,
                Err(error) => return self.refuse(Some(&id), &error).await,
            },
            (Err(error), id) => return self.refuse(id.as_ref(), &error).await,
            // Without a name the broadcast is the answer.
            (Ok(_), None) => return Ok(()),
        };
        self.socket.buffer(frame).await
    }

    /// Asks for a sign of life, and tells how far the chats are.
    async fn tick(&mut self) -> Result<(), CloseCode> {
        if self.unanswered >= 2 {
            return Err(CloseCode::NoPong(2 * self.state.limits.ping));
        }
        self.unanswered += 1;
        if self.heartbeat {
            // What the server knows of, held against what it has sent: a client sees where the two
            // differ for good. What is just on its way is sent first.
            let told = self.feed.told();
            while let Some(Some(arrival)) = unconstrained(self.feed.arrival()).now_or_never() {
                self.deliver(arrival).await?;
            }
            let heads = self.feed.heads(&told);
            self.socket.buffer(Frame::heartbeat(&heads)).await?;
        }
        self.socket.ping().await
    }

    /// The server stops, or the client sends no more: what was handed in is answered, what has arrived
    /// is sent.
    async fn finish(&mut self, close: CloseCode) -> Result<Infallible, CloseCode> {
        while let Some(answer) = next_answer(&mut self.pending).await {
            self.answer(answer).await?;
        }
        while let Some(position) = next_mark(&mut self.marks).await {
            self.answer_mark(position).await?;
        }
        while let Some(Some(arrival)) = self.feed.arrival().now_or_never() {
            self.deliver(arrival).await?;
        }
        self.socket.flush().await?;
        Err(close)
    }
}

/// The error for a socket that sends faster than it may.
pub(super) fn too_many_frames(wait: Duration) -> Error {
    too_fast("frames on this socket", wait)
}

/// The answer to the change that was handed in first; none where there is none.
async fn next_answer(pending: &mut VecDeque<InFlight>) -> Option<Result<Outcome, Error>> {
    match pending.front_mut() {
        Some(first) => Some(first.pending.answer().await),
        None => None,
    }
}
