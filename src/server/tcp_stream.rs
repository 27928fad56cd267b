//! The TCP stream of a connection: fails if the client does not read, and closes in such a way that
//! the client receives the last answer.

pub(crate) use super::connection::Connection;
use bytes::Bytes;
use socket2::SockRef;
use std::{
    future::Future,
    io,
    net::Shutdown,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
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

/// A TCP stream with a time limit for writes, which lingers when it closes. Once the connection became a
/// socket, everything is written through its send queue, which the task of the socket empties within a limit of
/// its own.
pub(super) struct DeadlineStream {
    /// The half that reads. Unlike an attempt on the whole stream, its read knows from a part-filled buffer that
    /// nothing more has arrived, which saves a system call for each request and each frame.
    reading: OwnedReadHalf,
    /// Holds the other half, and the permits of the connection until the stream is gone.
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
        reading: OwnedReadHalf,
        connection: Connection,
        write_limit: Duration,
        connections: TaskTracker,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            reading,
            connection,
            write_limit,
            stalled: None,
            ended: false,
            connections,
            stopping,
        }
    }

    /// Writes to the stream. Fails if the client has accepted nothing for longer than the limit.
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let tcp = self.connection.send_queue().tcp();
        let written = loop {
            match tcp.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
            match write(tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => break Poll::Ready(written),
            }
        };
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

    /// Writes what waits in the send queue of a socket. Before the upgrade nothing does.
    fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.is_socket() {
            return Poll::Ready(Ok(()));
        }
        let send_queue = self.connection.send_queue();
        send_queue.poll_write_out(cx, send_queue.accepted())
    }
}

impl AsyncRead for DeadlineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        let result = ready!(Pin::new(&mut self.reading).poll_read(cx, buf));
        let over = room > 0 && buf.remaining() == room && result.is_ok();
        self.ended |= result.is_err() || over;
        if over && self.connection.input().end() {
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
        if self.connection.is_socket() {
            let send_queue = self.connection.send_queue();
            send_queue.push(Bytes::copy_from_slice(bytes));
            // The task of the socket writes the bytes within its limit.
            send_queue.call_attention();
            return Poll::Ready(Ok(bytes.len()));
        }
        self.poll_write_with(cx, |tcp| tcp.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.connection.is_socket() {
            let first = parts.iter().find(|part| !part.is_empty());
            return self.poll_write(cx, first.map_or(&[], |part| part));
        }
        self.poll_write_with(cx, |tcp| tcp.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Poll::Ready(shut_down(self.connection.send_queue().tcp()))
    }
}

/// Closes the sending side. A connection that the client has closed already is no error.
fn shut_down(tcp: &TcpStream) -> io::Result<()> {
    match SockRef::from(tcp).shutdown(Shutdown::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

impl Drop for DeadlineStream {
    fn drop(&mut self) {
        // Lingers only if the client may still send, and a runtime is there to wait in.
        let (false, Ok(runtime)) = (self.ended, Handle::try_current()) else {
            return;
        };
        let lingering = linger(self.connection.clone(), self.stopping.clone());
        self.connections.spawn_on(lingering, &runtime);
    }
}

/// Closes the sending side, then discards the bytes that still arrive, up to `LINGER` and
/// `LINGER_BYTES`.
async fn linger(connection: Connection, stopping: CancellationToken) {
    let taking = async {
        let tcp = connection.send_queue().tcp();
        shut_down(tcp)?;
        let (mut taken, mut buffer) = (0, [0; 4096]);
        while taken < LINGER_BYTES {
            tcp.readable().await?;
            match tcp.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => taken += read as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    select! {
        _ = timeout(LINGER, taking) => {}
        () = stopping.cancelled() => {}
    }
}
