//! A connected socket: one task with one `select!` over the feed, the client's frames, pending
//! answers and timers.

use super::{
    commands::{AwaitedReceipt, next_receipt},
    socket::{Incoming, Socket},
};
use crate::{
    auth::Caller,
    delivery::{AnswerQueue, Feed, FeedAction, FeedStart, HubEvent, ReplayFrames, TakenAnswer},
    error::Error,
    middleware::Input,
    model::{ChatId, Epoch, MessageId, UserId},
    protocol::{CloseCode, Connect, ConnectAck, Frame, Online, Request, RequestId},
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

/// Most unanswered read positions of one socket. At the limit the socket is not read until one is
/// answered (backpressure).
const IN_FLIGHT: usize = 64;
/// Events after which a busy socket is flushed even if more events are ready.
const UNFLUSHED: usize = 64;

/// A socket with a known user.
pub(super) struct SocketSession {
    pub(super) socket: Socket,
    pub(super) feed: Feed,
    pub(super) user: UserId,
    /// The caller that opened the socket. In open mode, any user who connects to a chat becomes a
    /// member of it.
    pub(super) caller: Caller,
    pub(super) state: AppState,
    /// Cancelled when the sockets of the user or of the session must close.
    pub(super) ended: CancellationToken,
    /// Signals the end of the client's input.
    input: Arc<Input>,
    /// Submitted changes that are not answered yet.
    pub(super) answers: AnswerQueue,
    /// Submitted read positions that are not answered yet, in order. They are kept apart from
    /// `answers`, so that changes do not wait for them.
    pub(super) receipts: VecDeque<AwaitedReceipt>,
    /// The permit that counts this socket among the user's sockets.
    _permit: Permit<UserId>,
    /// Pings sent since the last pong.
    pub(super) unanswered_pings: u32,
}

/// An accepted `connect-chat` that is not answered yet.
pub(super) struct AcceptedConnect {
    id: Option<RequestId>,
    chat: ChatId,
    who: Online,
    opened: FeedStart,
    resumes: bool,
}

/// An event in the loop of a connected socket.
enum SessionEvent {
    /// The hub published an event in one of the socket's chats.
    Hub(HubEvent),
    /// The client sent a message.
    Client(Incoming),
    /// The oldest pending read position was written. Holds the position after the write.
    ReceiptAnswer(Result<MessageId, Error>),
    /// Bytes wait in the send queue, an answer was left to this task, or a direct line was cut.
    Attention,
    /// A ping is due.
    Tick,
    /// The client closed its sending side.
    InputEnded,
    /// The server stops.
    Stopping,
}

impl SocketSession {
    pub(super) fn new(
        socket: Socket,
        feed: Feed,
        caller: Caller,
        state: AppState,
        permit: Permit<UserId>,
    ) -> Self {
        let (user, ended, input) = (feed.user(), feed.ended(), socket.input());
        let answers = AnswerQueue::new(Arc::clone(socket.send_queue()), ended.clone());
        Self {
            socket,
            feed,
            user,
            caller,
            state,
            ended,
            input,
            answers,
            receipts: VecDeque::new(),
            _permit: permit,
            unanswered_pings: 0,
        }
    }

    /// Serves the socket until it closes.
    ///
    /// Boxed, because a task reserves memory for every place that a value was moved through, for as
    /// long as the socket is open.
    pub(super) async fn run(mut self: Box<Self>, first: Box<AcceptedConnect>) {
        let ended = self.ended.clone();
        // The end of the session interrupts all other work, for example a replay to a slow reader.
        let close = select! {
            biased;
            () = ended.cancelled() => CloseCode::SessionEnded,
            closed = self.run_until_close(first) => {
                let Err(close) = closed;
                match ended.is_cancelled() {
                    true => CloseCode::SessionEnded,
                    false => close,
                }
            }
        };
        let Self {
            socket,
            feed,
            answers,
            user,
            ..
        } = *self;
        // No ack may follow the close frame.
        answers.hold();
        // The user leaves the chats at once. The closing handshake below may take time.
        drop(feed);
        Box::pin(socket.close(close, Some(user))).await;
    }

    /// Handles events until a reason to close the socket, which is the error.
    async fn run_until_close(
        &mut self,
        first: Box<AcceptedConnect>,
    ) -> Result<Infallible, CloseCode> {
        Box::pin(self.finish_connect(*first)).await?;
        let period = self.state.limits.ping;
        let mut ticks = time::interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unflushed = 0;
        loop {
            // Events that are ready are handled without a flush in between, so that their frames share
            // one write.
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
                    self.feed.open_lines(self.socket.send_queue());
                    self.event(&mut ticks).await?
                }
            };
            unflushed += 1;
            // Checked before each event, because nothing is done for a session that has ended.
            if self.ended.is_cancelled() {
                return Err(CloseCode::SessionEnded);
            }
            match event {
                SessionEvent::Hub(arrival) => self.deliver(arrival).await?,
                SessionEvent::Client(Incoming::Text(text)) => self.handle(&text).await?,
                SessionEvent::Client(Incoming::TooFast(text, wait)) => {
                    let id = Request::parse(&text).id;
                    self.refuse(id.as_ref(), &too_many_frames(wait)).await?;
                }
                SessionEvent::Client(Incoming::Pong) => self.unanswered_pings = 0,
                SessionEvent::Client(Incoming::Other) => {}
                SessionEvent::ReceiptAnswer(position) => self.answer_receipt(position).await?,
                SessionEvent::Attention => {
                    self.feed.close_cut_lines();
                    self.answer_changes().await?;
                }
                SessionEvent::Tick => Box::pin(self.tick()).await?,
                SessionEvent::InputEnded => return Box::pin(self.finish(CloseCode::Normal)).await,
                SessionEvent::Stopping => return Box::pin(self.finish(CloseCode::Restart)).await,
            }
        }
    }

    /// Waits for the next event. Cancel-safe: a dropped call loses no event.
    async fn event(&mut self, ticks: &mut Interval) -> Result<SessionEvent, CloseCode> {
        let reading = !self.answers.is_full() && self.receipts.len() < IN_FLIGHT;
        let send_queue = Arc::clone(self.socket.send_queue());
        Ok(select! {
            Some(arrival) = self.feed.arrival() => SessionEvent::Hub(arrival),
            incoming = self.socket.receive(), if reading => SessionEvent::Client(incoming?),
            Some(position) = next_receipt(&mut self.receipts) => SessionEvent::ReceiptAnswer(position),
            () = send_queue.attention() => SessionEvent::Attention,
            _ = ticks.tick() => SessionEvent::Tick,
            () = self.input.ended() => SessionEvent::InputEnded,
            () = self.state.stopping.cancelled() => SessionEvent::Stopping,
        })
    }

    /// Sends a hub event to the client.
    async fn deliver(&mut self, arrival: HubEvent) -> Result<(), CloseCode> {
        match self.feed.take(arrival) {
            FeedAction::Changes(frames) => self.socket.buffer_frames(frames).await,
            FeedAction::Frame(frame) => self.socket.buffer(frame).await,
            FeedAction::CatchUp(chat) => Box::pin(self.catch_up(chat)).await,
            FeedAction::Reset => Err(CloseCode::Restart),
            FeedAction::Nothing => Ok(()),
        }
    }

    /// Sends the changes that the socket has missed, read from the database. If the database does
    /// not answer, the socket closes and the client must reconnect and resume.
    async fn catch_up(&mut self, chat: ChatId) -> Result<(), CloseCode> {
        loop {
            let ReplayFrames { frames, memory } = match self.feed.catch_up(chat).await {
                Ok(Some(page)) => page,
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
            drop(memory);
        }
    }

    /// Completes an accepted `connect-chat`: sends the replay, the `join` and the ack.
    pub(super) async fn finish_connect(
        &mut self,
        admitted: AcceptedConnect,
    ) -> Result<(), CloseCode> {
        let AcceptedConnect {
            id,
            chat,
            who,
            opened,
            resumes,
        } = admitted;
        if resumes || id.is_some() {
            // The client is not one of the original API.
            self.feed.take_all_types();
        }
        self.catch_up(chat).await?;
        let join = self.feed.join(chat, who);
        // Dropped after the join, so that a repeated connect announces no leave.
        drop(opened.previous);
        self.acknowledge_connect(id, chat, opened.epoch.as_ref(), opened.truncated)
            .await?;
        match join {
            Some(join) => self.socket.buffer(join).await,
            None => Ok(()),
        }
    }

    /// Answers an accepted `connect-chat`, if the client wants an answer. The socket's own `join` comes after it.
    async fn acknowledge_connect(
        &mut self,
        id: Option<RequestId>,
        chat: ChatId,
        epoch: Option<&Epoch>,
        truncated: bool,
    ) -> Result<(), CloseCode> {
        match id {
            Some(id) if self.feed.is_in(chat) => {
                let ack = ConnectAck {
                    chat_id: chat,
                    seq: self.feed.seen(chat),
                    epoch,
                    online: &self.feed.online(chat),
                    truncated,
                };
                self.socket.buffer(Frame::connected(&id, &ack)).await
            }
            Some(id) => {
                self.socket
                    .buffer(Frame::error(Some(&id), &Error::chat_not_found(chat)))
                    .await
            }
            None => Ok(()),
        }
    }

    /// Sends the answers that the writer has left to this task.
    async fn answer_changes(&mut self) -> Result<(), CloseCode> {
        while let Some(TakenAnswer { id, answer }) = self.answers.take() {
            match answer {
                Ok(Some(ack)) => self.socket.buffer(ack).await?,
                Ok(None) => {}
                Err(error) => self.refuse(id.as_ref(), &error).await?,
            }
        }
        Ok(())
    }

    /// Sends a ping, and a heartbeat with the heads of the socket's chats. Closes the socket if two
    /// pings are unanswered.
    async fn tick(&mut self) -> Result<(), CloseCode> {
        if self.unanswered_pings >= 2 {
            return Err(CloseCode::NoPong(2 * self.state.limits.ping));
        }
        self.unanswered_pings += 1;
        if self.feed.takes_all_types() {
            // Heads are read before the events that have already arrived are sent. So a head in the
            // heartbeat that is above the last seq the client has received means a lost change, not
            // one on its way. Publishers must not write in between: a head below the last seq would mean
            // that the log went back. Nor must the writer write acks of later changes.
            self.answers.hold();
            self.feed.close_all_lines();
            let known_heads = self.feed.known_heads();
            while let Some(Some(arrival)) = unconstrained(self.feed.arrival()).now_or_never() {
                self.deliver(arrival).await?;
            }
            let heads = self.feed.heads(&known_heads);
            self.socket.buffer(Frame::heartbeat(&heads)).await?;
            self.answers.release();
        }
        self.socket.ping();
        Ok(())
    }

    /// Finishes the socket when the server stops or the client sends no more: answers all pending
    /// requests, sends all events that have arrived, then returns `close` as the error.
    async fn finish(&mut self, close: CloseCode) -> Result<Infallible, CloseCode> {
        self.answers.hold();
        loop {
            self.answer_changes().await?;
            if self.answers.is_empty() {
                break;
            }
            self.socket.send_queue().attention().await;
        }
        while let Some(position) = next_receipt(&mut self.receipts).await {
            self.answer_receipt(position).await?;
        }
        self.feed.close_all_lines();
        while let Some(Some(arrival)) = self.feed.arrival().now_or_never() {
            self.deliver(arrival).await?;
        }
        self.socket.flush().await?;
        Err(close)
    }
}

/// Connects a user to a chat and opens the feed of the chat. Sends nothing yet.
pub(super) async fn admit(
    feed: &mut Feed,
    state: &AppState,
    caller: Caller,
    id: Option<RequestId>,
    connect: Connect,
) -> Result<AcceptedConnect, Error> {
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
    Ok(AcceptedConnect {
        id,
        chat,
        who,
        opened,
        resumes: since.is_some(),
    })
}

/// Returns the error for a socket that sends faster than its rate.
pub(super) fn too_many_frames(wait: Duration) -> Error {
    too_fast("frames on this socket", wait)
}
