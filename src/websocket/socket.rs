//! A socket as the session sees it: frames out, many to a system call; texts in.

use crate::{
    error::{Code, Error},
    middleware::Input,
    middleware::log_rate_limited,
    model::UserId,
    protocol::{CloseCode, Frame},
    rate_limit::{Rate, RateLimiter, RefusalLog, rate_limit_key},
    state::AppState,
};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, future::BoxFuture};
use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    select,
    time::{self, Instant},
};
use tungstenite::error::{CapacityError, Error as WsError};

/// How long the other side may take to answer a close frame, or to make room for one.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An open socket.
pub(super) struct Socket {
    /// Boxed, because a task keeps room for every place that a value was moved through.
    socket: Box<WebSocket>,
    /// How long the other side may take to accept what it is sent.
    write_limit: Duration,
    /// The id of its upgrade.
    id: Box<str>,
    /// Where it is.
    from: IpAddr,
    opened: Instant,
    /// Bytes of text that came.
    received: u64,
    /// Bytes of text that were sent.
    sent: u64,
    throttle: Throttle,
    /// Which refusals of its address are logged.
    refusals: RefusalLog,
    /// Whether the other side still sends.
    input: Arc<Input>,
    /// What came too fast, and when it may go on. Until then nothing is read.
    held: Option<(Instant, Incoming)>,
    /// Until when nothing is read, because its user goes on too fast.
    rests: Option<Instant>,
}

/// What comes in.
pub(super) enum Incoming {
    /// A text frame.
    Text(Utf8Bytes),
    /// A text frame that came too fast, and how long to wait with the next.
    TooFast(Utf8Bytes, Duration),
    /// A sign of life.
    Pong,
    /// Something that needs no answer.
    Other,
}

impl Socket {
    pub(super) fn new(
        socket: WebSocket,
        id: &str,
        from: IpAddr,
        input: Arc<Input>,
        state: &AppState,
    ) -> Self {
        let (socket, limits) = (Box::new(socket), &state.limits);
        Self {
            socket,
            write_limit: limits.write,
            // A copy: the header would keep the whole head of the request in memory.
            id: id.into(),
            from,
            opened: Instant::now(),
            received: 0,
            sent: 0,
            throttle: Throttle::new(limits.frames),
            refusals: state.refusals.clone(),
            input,
            held: None,
            rests: None,
        }
    }

    /// Where the other side is.
    pub(super) fn from(&self) -> IpAddr {
        self.from
    }

    /// Whether the other side still sends.
    pub(super) fn input(&self) -> Arc<Input> {
        self.input.clone()
    }

    /// Logs a refusal with its user; of refusals by rate, one line a second for an address. The span is
    /// made for this alone: ten thousand that are open would take room.
    pub(super) fn log(&self, user: Option<UserId>, error: &Error) {
        let user = user.map(|user| user.0);
        let span = || tracing::info_span!("socket", id = self.id, from = %self.from, user);
        if error.code() != Code::RateLimited {
            span().in_scope(|| error.log());
        } else if let Some(left_out) = self.refusals.note(rate_limit_key(self.from)) {
            span().in_scope(|| log_rate_limited(error.message(), left_out));
        }
    }

    /// Waits for what comes in, and no faster than it may; nothing is lost where this is broken off.
    pub(super) async fn receive(&mut self) -> Result<Incoming, CloseCode> {
        loop {
            let held = self.held.as_ref().map(|(until, _)| *until);
            if let Some(until) = held.max(self.rests) {
                Box::pin(time::sleep_until(until)).await;
                self.rests = None;
            }
            let incoming = match self.held.take() {
                Some((_, incoming)) => incoming,
                None => self.read().await?,
            };
            let is_text = matches!(incoming, Incoming::Text(_));
            match (self.throttle.judge(is_text), incoming) {
                (Verdict::Refuse(wait), Incoming::Text(text)) => {
                    return Ok(Incoming::TooFast(text, wait));
                }
                (Verdict::Wait(wait), incoming) => {
                    self.held = Some((Instant::now() + wait, incoming));
                }
                (_, incoming) => return Ok(incoming),
            }
        }
    }

    /// Takes note of a refusal: whoever was told often enough to go slower is read slower.
    pub(super) fn slow_down(&mut self, refusal: &Error) {
        if let Some(wait) = refusal.retry_after()
            && self.throttle.is_deaf()
        {
            self.rests = Some(Instant::now() + wait);
        }
    }

    async fn read(&mut self) -> Result<Incoming, CloseCode> {
        match self.socket.recv().await {
            Some(Ok(Message::Text(text))) => {
                self.received += text.len() as u64;
                Ok(Incoming::Text(text))
            }
            Some(Ok(Message::Pong(_))) => Ok(Incoming::Pong),
            Some(Ok(Message::Ping(_))) => Ok(Incoming::Other),
            Some(Ok(Message::Binary(_))) => Err(CloseCode::Binary),
            Some(Ok(Message::Close(_))) | None => Err(CloseCode::Normal),
            Some(Err(error)) => Err(reason(error)),
        }
    }

    /// Gathers a frame, to be written with those that follow.
    pub(super) async fn buffer(&mut self, frame: Frame) -> Result<(), CloseCode> {
        // Frames are JSON that this server made, so UTF-8: the check costs little and fails never.
        let text = Utf8Bytes::try_from(frame.into_bytes()).map_err(|_| CloseCode::Normal)?;
        self.sent += text.len() as u64;
        self.feed(Message::Text(text)).await
    }

    /// Gathers a ping.
    pub(super) async fn ping(&mut self) -> Result<(), CloseCode> {
        self.feed(Message::Ping(Bytes::new())).await
    }

    async fn feed(&mut self, message: Message) -> Result<(), CloseCode> {
        let limit = self.write_limit;
        within(limit, poll_fn(|cx| self.socket.poll_ready_unpin(cx))).await?;
        self.socket
            .start_send_unpin(message)
            .map_err(|_| CloseCode::Normal)
    }

    /// Writes what was gathered.
    pub(super) async fn flush(&mut self) -> Result<(), CloseCode> {
        let limit = self.write_limit;
        within(limit, poll_fn(|cx| self.socket.poll_flush_unpin(cx))).await
    }

    /// Writes one frame.
    pub(super) async fn send(&mut self, frame: Frame) -> Result<(), CloseCode> {
        self.buffer(frame).await?;
        self.flush().await
    }

    /// Says why, waits a moment for the other side to say goodbye too, and logs the socket's life.
    pub(super) async fn close(mut self, close: CloseCode, user: Option<UserId>) {
        let (code, reason) = close.frame();
        let frame = CloseFrame {
            code,
            reason: reason.into_owned().into(),
        };
        let goodbye = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                select! {
                    () = async { while let Some(Ok(_)) = self.socket.recv().await {} } => {}
                    // Nothing comes any more, not even a goodbye.
                    () = self.input.ended() => {}
                }
            }
        };
        let _ = time::timeout(CLOSE_LIMIT, goodbye).await;
        tracing::info!(
            id = self.id,
            from = %self.from,
            user = user.map(|user| user.0),
            code,
            received = self.received,
            sent = self.sent,
            micros = self.opened.elapsed().as_micros() as u64,
            "socket closed"
        );
    }
}

/// Waits for the other side to accept what it is sent. Mostly it does at once: only where it does
/// not, a timer is made.
async fn within<F>(limit: Duration, mut writing: F) -> Result<(), CloseCode>
where
    F: Future<Output = Result<(), axum::Error>> + Unpin + Send,
{
    let written = match (&mut writing).now_or_never() {
        Some(written) => written,
        None => {
            let waiting: BoxFuture<'_, _> = Box::pin(time::timeout(limit, writing));
            waiting.await.map_err(|_| CloseCode::TooSlow)?
        }
    };
    written.map_err(|_| CloseCode::Normal)
}

/// Why reading failed, as the other side is told.
fn reason(error: axum::Error) -> CloseCode {
    match error.into_inner().downcast::<WsError>().map(|error| *error) {
        Ok(WsError::Capacity(CapacityError::MessageTooLong { .. })) => CloseCode::TooLarge,
        Ok(WsError::Utf8(_)) => CloseCode::NotText,
        Ok(WsError::Protocol(_)) => CloseCode::Protocol,
        _ => CloseCode::Normal,
    }
}

/// Frames over its pace that a socket is told about, in its life. A client that goes on regardless
/// is not worth an answer each: from then on it is read only as fast as it may send, and waits.
const TOLD: u32 = 100;

/// A socket's pace.
pub(super) struct Throttle {
    pace: RateLimiter,
    told: u32,
}

/// What becomes of a frame.
pub(super) enum Verdict {
    /// It is done.
    Pass,
    /// It is refused; the next one passes after so long.
    Refuse(Duration),
    /// It waits for so long, and nothing else is read until then.
    Wait(Duration),
}

impl Throttle {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            pace: RateLimiter::new(rate),
            told: 0,
        }
    }

    /// Counts a refusal by another pace; tells whether there were so many that the socket must wait.
    pub(super) fn is_deaf(&mut self) -> bool {
        self.told = self.told.saturating_add(1).min(TOLD);
        self.told == TOLD
    }

    /// Decides about a frame. `can_be_told` is whether it has an answer: a ping has none.
    pub(super) fn judge(&mut self, can_be_told: bool) -> Verdict {
        match self.pace.take() {
            Ok(()) => Verdict::Pass,
            Err(wait) if can_be_told && self.told < TOLD => {
                self.told += 1;
                Verdict::Refuse(wait)
            }
            Err(wait) => Verdict::Wait(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_and_goes_on_is_held_back() {
        let mut throttle = Throttle::new(Some(Rate {
            per_second: 1,
            burst_seconds: 2,
        }));
        let mut count = |can_be_told| {
            let (mut passed, mut refused) = (0, 0);
            loop {
                match throttle.judge(can_be_told) {
                    Verdict::Pass => passed += 1,
                    Verdict::Refuse(_) => refused += 1,
                    Verdict::Wait(wait) => {
                        assert!(wait <= Duration::from_secs(1));
                        return (passed, refused);
                    }
                }
            }
        };
        assert_eq!(count(false), (2, 0), "a ping is never answered");
        assert_eq!(count(true), (0, TOLD));
        assert_eq!(count(true), (0, 0));
    }
}
