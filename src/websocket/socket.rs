//! The WebSocket below a session: buffers frames to the client, so that many share one system call,
//! and reads texts from the client within a rate.

use crate::{
    error::{Code, Error},
    middleware::{Connection, Input, log_rate_limited},
    model::UserId,
    protocol::{CloseCode, EncodedFrames, Frame},
    rate_limit::{Rate, RateLimiter, RefusalLog, rate_limit_key},
    send_queue::SendQueue,
    state::AppState,
};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, future::BoxFuture};
use std::{
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    select,
    time::{self, Instant},
};
use tungstenite::error::{CapacityError, Error as WsError};

/// A ping: an unmasked WebSocket frame without a payload.
const PING_FRAME: [u8; 2] = [0x89, 0];
/// Bytes that a socket buffers before it writes without an explicit flush.
const WRITE_BUFFER: usize = 16 * 1024;
/// Time that the client has to answer a close frame, or to make room for one.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// An open WebSocket with its rate limiter and its counters for the log.
pub(super) struct Socket {
    /// Boxed, because a task reserves memory for every place that a value was moved through.
    socket: Box<WebSocket>,
    /// The outgoing bytes, those of `socket` among them.
    send_queue: Arc<SendQueue>,
    /// Time that the client has to accept the bytes that are written.
    write_limit: Duration,
    /// The request id of the upgrade, for the log.
    id: Box<str>,
    /// The address of the client.
    from: IpAddr,
    opened: Instant,
    /// Bytes of text received.
    received: u64,
    /// True if a ping came, the pong of which may not be in the send queue yet.
    pong_due: bool,
    throttle: Throttle,
    /// Thins out the log lines about refused frames, per client address.
    refusals: RefusalLog,
    /// Signals the end of the client's input.
    input: Arc<Input>,
    /// A message over the rate, and the time at which it may be handled. Nothing is read until
    /// then.
    held: Option<(Instant, Incoming)>,
    /// The time until which nothing is read, because the user keeps exceeding another rate limit.
    /// `None` if reading is not paused.
    paused_until: Option<Instant>,
}

/// A message from the client.
pub(super) enum Incoming {
    /// A text frame within the rate.
    Text(Utf8Bytes),
    /// A text frame over the rate, and the time to wait before the next one.
    TooFast(Utf8Bytes, Duration),
    /// A pong, which shows that the client is alive.
    Pong,
    /// A message that needs no answer from the session, for example a ping.
    Other,
}

impl Socket {
    pub(super) fn new(
        socket: WebSocket,
        id: &str,
        from: IpAddr,
        connection: &Connection,
        state: &AppState,
    ) -> Self {
        let (socket, limits) = (Box::new(socket), &state.limits);
        Self {
            socket,
            send_queue: Arc::clone(connection.send_queue()),
            write_limit: limits.write,
            // Copied, because the header value would keep the whole head of the request in memory.
            id: id.into(),
            from,
            opened: Instant::now(),
            received: 0,
            pong_due: false,
            throttle: Throttle::new(limits.frames),
            refusals: state.refusals.clone(),
            input: connection.become_socket(),
            held: None,
            paused_until: None,
        }
    }

    /// Returns the address of the client.
    pub(super) fn from(&self) -> IpAddr {
        self.from
    }

    /// Returns the signal for the end of the client's input.
    pub(super) fn input(&self) -> Arc<Input> {
        self.input.clone()
    }

    /// Logs a refusal with its user. Refusals by rate get at most one line a second per client
    /// address. The span exists only during this call, because ten thousand open spans would take
    /// memory.
    pub(super) fn log(&self, user: Option<UserId>, error: &Error) {
        let user = user.map(|user| user.0);
        let span = || tracing::info_span!("socket", id = self.id, from = %self.from, user);
        if error.code() != Code::RateLimited {
            span().in_scope(|| error.log());
        } else if let Some(left_out) = self.refusals.note(rate_limit_key(self.from)) {
            span().in_scope(|| log_rate_limited(error.message(), left_out));
        }
    }

    /// Reads the next message, at most at the rate of the socket. Cancel-safe: a dropped call loses
    /// no message.
    pub(super) async fn receive(&mut self) -> Result<Incoming, CloseCode> {
        loop {
            let held = self.held.as_ref().map(|(until, _)| *until);
            if let Some(until) = held.max(self.paused_until) {
                Box::pin(time::sleep_until(until)).await;
                self.paused_until = None;
            }
            let incoming = match self.held.take() {
                Some((_, incoming)) => incoming,
                None => self.read().await?,
            };
            let is_text = matches!(incoming, Incoming::Text(_));
            match (self.throttle.check(is_text), incoming) {
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

    /// Counts a refusal by another rate limiter. Once too many refusals were answered, reading
    /// pauses for the refusal's retry-after.
    pub(super) fn slow_down(&mut self, refusal: &Error) {
        if let Some(wait) = refusal.retry_after()
            && self.throttle.count_refusal()
        {
            self.paused_until = Some(Instant::now() + wait);
        }
    }

    async fn read(&mut self) -> Result<Incoming, CloseCode> {
        match self.socket.recv().await {
            Some(Ok(Message::Text(text))) => {
                self.received += text.len() as u64;
                Ok(Incoming::Text(text))
            }
            Some(Ok(Message::Pong(_))) => Ok(Incoming::Pong),
            Some(Ok(Message::Ping(_))) => {
                self.pong_due = true;
                Ok(Incoming::Other)
            }
            Some(Ok(Message::Binary(_))) => Err(CloseCode::Binary),
            Some(Ok(Message::Close(_))) | None => Err(CloseCode::Normal),
            Some(Err(error)) => Err(close_code(error)),
        }
    }

    /// Returns the send queue of the socket.
    pub(super) fn send_queue(&self) -> &Arc<SendQueue> {
        &self.send_queue
    }

    /// Buffers a frame, to be written with the frames that follow.
    pub(super) async fn buffer(&mut self, frame: Frame) -> Result<(), CloseCode> {
        let text = frame.text().len();
        let waiting = self.send_queue.push_frames(frame.encoded().clone(), text);
        self.flush_above(waiting).await
    }

    /// Buffers frames, to be written with the frames that follow.
    pub(super) async fn buffer_frames(&mut self, frames: EncodedFrames) -> Result<(), CloseCode> {
        let waiting = self.send_queue.push_frames(frames.bytes, frames.text);
        self.flush_above(waiting).await
    }

    /// Buffers a ping.
    pub(super) fn ping(&self) {
        self.send_queue.push(Bytes::from_static(&PING_FRAME));
    }

    async fn flush_above(&mut self, waiting: usize) -> Result<(), CloseCode> {
        match waiting >= WRITE_BUFFER {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Writes all frames that are buffered at the time of the call. The client has `write_limit` for each
    /// `WRITE_BUFFER` bytes, so that a client that reads slowly and steadily stays connected.
    pub(super) async fn flush(&mut self) -> Result<(), CloseCode> {
        if self.pong_due {
            self.pong_due = false;
            // Moves the pong into the send queue, which never waits. The rest is written below.
            let _ = self.socket.flush().now_or_never();
        }
        let send_queue = &self.send_queue;
        let goal = send_queue.accepted();
        while let written = send_queue.written()
            && written < goal
        {
            let step = goal.min(written + WRITE_BUFFER as u64);
            let writing = poll_fn(|cx| send_queue.poll_write_out(cx, step));
            within(self.write_limit, writing).await?;
        }
        // A publisher may have added bytes meanwhile. They are written in a turn of their own, so that the
        // client's frames are read in between.
        if send_queue.is_waiting() {
            send_queue.call_attention();
        }
        Ok(())
    }

    /// Writes one frame, after all buffered frames.
    pub(super) async fn send(&mut self, frame: Frame) -> Result<(), CloseCode> {
        self.buffer(frame).await?;
        self.flush().await
    }

    /// Sends a close frame, waits up to `CLOSE_LIMIT` for the client's close frame, and logs the
    /// totals of the socket.
    pub(super) async fn close(mut self, close: CloseCode, user: Option<UserId>) {
        let (code, reason) = close.frame();
        let frame = CloseFrame {
            code,
            reason: reason.into_owned().into(),
        };
        let closing = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_ok() {
                select! {
                    () = async { while let Some(Ok(_)) = self.socket.recv().await {} } => {}
                    // The client's input has ended, so no close frame will come.
                    () = self.input.ended() => {}
                }
            }
        };
        let _ = time::timeout(CLOSE_LIMIT, closing).await;
        tracing::info!(
            id = self.id,
            from = %self.from,
            user = user.map(|user| user.0),
            code,
            received = self.received,
            sent = self.send_queue.text(),
            micros = self.opened.elapsed().as_micros() as u64,
            "socket closed"
        );
    }
}

/// Waits until the client accepts the written bytes, at most `limit`. Most writes finish at once. A
/// timer is created only for a write that does not.
async fn within<F>(limit: Duration, mut writing: F) -> Result<(), CloseCode>
where
    F: Future<Output = io::Result<()>> + Unpin + Send,
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

/// Returns the close code for a failed read.
fn close_code(error: axum::Error) -> CloseCode {
    match error.into_inner().downcast::<WsError>().map(|error| *error) {
        Ok(WsError::Capacity(CapacityError::MessageTooLong { .. })) => CloseCode::TooLarge,
        Ok(WsError::Utf8(_)) => CloseCode::NotText,
        Ok(WsError::Protocol(_)) => CloseCode::Protocol,
        _ => CloseCode::Normal,
    }
}

/// Frames over the rate that are answered with an error, in the life of one socket. A client that
/// goes on is not worth an answer for each frame. From then on the socket is read only at its rate,
/// and frames wait.
const MAX_REFUSALS: u32 = 100;

/// The rate limiter of one socket.
struct Throttle {
    limiter: RateLimiter,
    refusals: u32,
}

/// The decision about one message.
enum Verdict {
    /// The message is handled.
    Pass,
    /// The frame is refused. The next one passes after this time.
    Refuse(Duration),
    /// The message waits for this time, and nothing else is read until then.
    Wait(Duration),
}

impl Throttle {
    fn new(rate: Option<Rate>) -> Self {
        Self {
            limiter: RateLimiter::new(rate),
            refusals: 0,
        }
    }

    /// Counts a refusal by another rate limiter. Returns true once `MAX_REFUSALS` is reached, so
    /// that the socket must wait.
    fn count_refusal(&mut self) -> bool {
        self.refusals = self.refusals.saturating_add(1).min(MAX_REFUSALS);
        self.refusals == MAX_REFUSALS
    }

    /// Decides about a message. `answerable` is true if the message can be answered with an error;
    /// a ping cannot.
    fn check(&mut self, answerable: bool) -> Verdict {
        match self.limiter.take() {
            Ok(()) => Verdict::Pass,
            Err(wait) if answerable && self.refusals < MAX_REFUSALS => {
                self.refusals += 1;
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
    fn frames_wait_after_too_many_refusals() {
        let mut throttle = Throttle::new(Some(Rate {
            per_second: 1,
            burst_seconds: 2,
        }));
        let mut count = |answerable| {
            let (mut passed, mut refused) = (0, 0);
            loop {
                match throttle.check(answerable) {
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
        assert_eq!(count(true), (0, MAX_REFUSALS));
        assert_eq!(count(true), (0, 0));
    }
}
