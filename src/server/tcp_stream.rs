//! The TCP stream of a connection: fails if the client does not read, and closes in such a way that
//! the client receives the last answer.

pub(crate) use super::connection::Connection;
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink},
    net::TcpStream,
    runtime::Handle,
    select,
    time::{Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Time for which a closing connection still reads. If the kernel closes a connection with unread
/// bytes, it resets the connection and the last answer is lost: a client that sends twenty
/// megabytes at once would never receive the error about the size.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes that a closing connection still reads.
const LINGER_BYTES: u64 = 32 * 1024 * 1024;

/// A TCP stream with a time limit for writes, which lingers when it closes.
pub(super) struct DeadlineStream {
    /// The stream. `None` once the stream lingers.
    tcp: Option<TcpStream>,
    /// Holds the permits of the connection until the stream is gone.
    connection: Connection,
    /// Time that the client has to accept the bytes that are written.
    write_limit: Duration,
    /// Runs while the client accepts nothing. `None` while writes succeed.
    stalled: Option<Pin<Box<Sleep>>>,
    /// True if the client has closed its sending side, or the connection is broken. Nothing more
    /// can arrive.
    ended: bool,
    connections: TaskTracker,
    stopping: CancellationToken,
}

impl DeadlineStream {
    pub(super) fn new(
        tcp: TcpStream,
        connection: Connection,
        write_limit: Duration,
        connections: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            tcp: Some(tcp),
            connection,
            write_limit,
            stalled: None,
            ended: false,
            connections,
            stopping,
        }
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let tcp = self.tcp.as_mut().map(Pin::new);
        tcp.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Passes on the result of a write. Fails if the write has been pending for longer than the
    /// limit.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.write_limit;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(cx));
        // Lingering is useless for a client that does not read.
        self.ended = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for DeadlineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let result = ready!(self.tcp()?.poll_read(cx, buf));
        let over = room > 0 && buf.filled().len() == before;
        self.ended |= result.is_err() || over;
        if result.is_ok() && over && self.connection.input().end() {
            // `end` notifies the task of the socket, which closes the connection.
            return Poll::Pending;
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for DeadlineStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.tcp()?.poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.tcp()?.poll_write_vectored(cx, parts);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp()?.poll_shutdown(cx)
    }
}

impl Drop for DeadlineStream {
    fn drop(&mut self) {
        // Lingers only if the client may still send, and a runtime is there to wait in.
        let (false, Some(tcp), Ok(runtime)) = (self.ended, self.tcp.take(), Handle::try_current())
        else {
            return;
        };
        let lingering = linger(tcp, self.connection.clone(), self.stopping.clone());
        self.connections.spawn_on(lingering, &runtime);
    }
}

/// Closes the sending side, then discards the bytes that still arrive, up to `LINGER` and
/// `LINGER_BYTES`.
async fn linger(mut tcp: TcpStream, _room: Connection, stopping: CancellationToken) {
    let taking = async {
        tcp.shutdown().await?;
        copy(&mut tcp.take(LINGER_BYTES), &mut sink()).await
    };
    select! {
        _ = timeout(LINGER, taking) => {}
        () = stopping.cancelled() => {}
    }
}
