//! A connection's stream: lets nobody hang on it by not reading, and says goodbye in a way that can
//! be heard.

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

/// How long a connection lingers, and how much it still takes, after its last word. A kernel that
/// closes over unread bytes resets the connection, and the last word is lost with it: whoever sends
/// twenty megabytes in one go would never hear that they are too many.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 32 * 1024 * 1024;

/// A TCP stream that ends well.
pub(super) struct DeadlineStream {
    /// None once it lingers.
    tcp: Option<TcpStream>,
    /// Its room, taken until the stream is gone.
    connection: Connection,
    /// How long the other side may take to accept what it is sent.
    write_limit: Duration,
    /// Runs while the other side accepts nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether the other side has ended, or broken: nothing can come any more.
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

    /// What writing gives; where it waits for too long, an error.
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
        // Lingering for somebody who does not read is in vain.
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
            // Its reader is told, and closes.
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
        let (false, Some(tcp), Ok(runtime)) = (self.ended, self.tcp.take(), Handle::try_current())
        else {
            return;
        };
        let lingering = linger(tcp, self.connection.clone(), self.stopping.clone());
        self.connections.spawn_on(lingering, &runtime);
    }
}

/// Says that nothing more will come, and takes what is still on its way, within bounds.
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
