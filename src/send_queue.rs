//! The outgoing bytes of one socket. The socket's task and the publishers of its chats share the send queue, so
//! that a publisher writes frames to the TCP stream itself and wakes no task.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::Notify,
};

/// The bytes that may wait in a send queue that a publisher adds to. A refused publisher leaves the change
/// to the socket's task, which reads it from the database once the client has read what waits.
const BACKLOG: usize = 64 * 1024;
/// The most parts that one system call writes.
const PARTS: usize = 32;
/// The capacity of a queue that is kept once it is empty. Most sockets never queue more than a few frames.
const KEPT_PARTS: usize = 8;

/// The outgoing bytes of a TCP connection, in order.
#[derive(Debug)]
pub struct SendQueue {
    tcp: OwnedWriteHalf,
    /// A std lock, held for one system call at most.
    queue: Mutex<Queue>,
    /// Notified when the socket's task must act: bytes were left over by a publisher, or a publisher was
    /// refused.
    attention: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    parts: VecDeque<Bytes>,
    /// The bytes in `parts`.
    waiting: usize,
    /// The bytes that were ever accepted, on this connection.
    accepted: u64,
    /// The bytes of text in the frames that were accepted, for the log.
    text: u64,
    /// True once a write failed: the connection is broken.
    broken: bool,
}

impl Queue {
    fn push(&mut self, bytes: Bytes) {
        // A part without a byte could never be written.
        if bytes.is_empty() {
            return;
        }
        self.waiting += bytes.len();
        self.accepted += bytes.len() as u64;
        self.parts.push_back(bytes);
    }

    /// Removes the first `written` bytes.
    fn advance(&mut self, mut written: usize) {
        self.waiting -= written;
        while let Some(first) = self.parts.front_mut() {
            if first.len() > written {
                let _ = first.split_to(written);
                return;
            }
            written -= first.len();
            self.parts.pop_front();
        }
        if self.parts.capacity() > KEPT_PARTS {
            self.parts = VecDeque::new();
        }
    }

    /// True if a publisher may add frames. Frames of any size are accepted by an empty queue: most of them are
    /// written at once.
    fn accepts(&self, frames: &Bytes) -> bool {
        !self.broken && (self.parts.is_empty() || self.waiting + frames.len() <= BACKLOG)
    }

    /// The bytes that were accepted and written.
    fn written(&self) -> u64 {
        self.accepted - self.waiting as u64
    }
}

impl SendQueue {
    /// The send queue of a connection. `tcp` is not written to by other means once frames are pushed.
    #[must_use]
    pub fn new(tcp: OwnedWriteHalf) -> Self {
        Self {
            tcp,
            queue: Mutex::default(),
            attention: Notify::new(),
        }
    }

    /// The connection. Its reading half reads.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        self.tcp.as_ref()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues bytes of the socket's task, to be written by `poll_write_out`. Returns the bytes that wait.
    pub fn push(&self, bytes: Bytes) -> usize {
        let mut queue = self.queue();
        queue.push(bytes);
        queue.waiting
    }

    /// Queues encoded frames of the socket's task that contain `text` bytes of text. Returns the bytes that
    /// wait.
    pub fn push_frames(&self, frames: Bytes, text: usize) -> usize {
        let mut queue = self.queue();
        queue.text += text as u64;
        queue.push(frames);
        queue.waiting
    }

    /// Queues encoded frames, to be written by `write_out`. Returns false if the frames were not accepted, because
    /// too many bytes wait or the connection is broken. For publishers: never waits, and calls no system.
    pub fn try_push(&self, frames: &Bytes, text: usize) -> bool {
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::refuses_this_batch() {
            return false;
        }
        let mut queue = self.queue();
        let accepted = queue.accepts(frames);
        if accepted {
            queue.text += text as u64;
            queue.push(frames.clone());
        }
        accepted
    }

    /// Writes what waits, as far as the connection takes it at once, and wakes the socket's task for the rest. For
    /// publishers: never waits.
    pub fn write_out(&self) {
        let mut queue = self.queue();
        while !queue.parts.is_empty() && !queue.broken {
            match self.write_first(&queue.parts) {
                Ok(written) => queue.advance(written),
                Err(error) => {
                    queue.broken = error.kind() != io::ErrorKind::WouldBlock;
                    return self.attention.notify_one();
                }
            }
        }
    }

    /// Queues encoded frames that need not go out at once, and wakes the socket's task, which writes all that
    /// wait with one system call. Frames are dropped if too many bytes wait. For publishers: never waits.
    pub fn try_queue(&self, frames: &Bytes, text: usize) {
        let mut queue = self.queue();
        if !queue.accepts(frames) {
            return;
        }
        if queue.parts.is_empty() {
            self.attention.notify_one();
        }
        queue.text += text as u64;
        queue.push(frames.clone());
    }

    /// Tells the socket's task to look after the send queue and the chats of the socket.
    pub fn call_attention(&self) {
        self.attention.notify_one();
    }

    /// Waits until the socket's task must act. Cancel-safe.
    pub async fn attention(&self) {
        self.attention.notified().await;
    }

    /// The bytes that were accepted so far: the goal of a flush.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.queue().accepted
    }

    /// The bytes that were written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.queue().written()
    }

    /// The bytes of text that were accepted so far.
    #[must_use]
    pub fn text(&self) -> u64 {
        self.queue().text
    }

    /// True if bytes wait.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.queue().parts.is_empty()
    }

    /// Writes what waits, until the first `goal` bytes ever accepted are written. Publishers may add bytes
    /// meanwhile, so that waiting for an empty queue might never end.
    pub fn poll_write_out(&self, cx: &mut Context<'_>, goal: u64) -> Poll<io::Result<()>> {
        loop {
            {
                let mut queue = self.queue();
                if queue.written() >= goal {
                    return Poll::Ready(Ok(()));
                }
                if queue.broken {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                match self.write_first(&queue.parts) {
                    Ok(written) => {
                        queue.advance(written);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        queue.broken = true;
                        return Poll::Ready(Err(error));
                    }
                }
            }
            ready!(self.tcp().poll_write_ready(cx))?;
        }
    }

    /// Writes as many bytes of the first parts as the connection takes, with one system call.
    fn write_first(&self, waiting: &VecDeque<Bytes>) -> io::Result<usize> {
        #[cfg(feature = "planted-faults")]
        if crate::failpoints::blocks_this_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut parts = [IoSlice::new(&[]); PARTS];
        let mut count = 0;
        for (part, bytes) in parts.iter_mut().zip(waiting) {
            *part = IoSlice::new(bytes);
            count += 1;
        }
        let written = match &parts[..count] {
            [part] => self.tcp().try_write(part),
            parts => self.tcp().try_write_vectored(parts),
        }?;
        match written {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    async fn pair() -> io::Result<(SendQueue, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?);
        let (accepted, client) = tokio::join!(listener.accept(), client);
        let (_, writing) = accepted?.0.into_split();
        Ok((SendQueue::new(writing), client?))
    }

    /// Publishes like the room of a chat. Returns false if the send queue refuses the frames.
    fn publish(send_queue: &SendQueue, frames: &Bytes) -> bool {
        let accepted = send_queue.try_push(frames, frames.len());
        send_queue.write_out();
        accepted
    }

    #[tokio::test]
    async fn a_publisher_writes_at_once_and_in_order() -> io::Result<()> {
        let (send_queue, mut client) = pair().await?;
        send_queue.push(Bytes::from_static(b"one "));
        send_queue.push(Bytes::new());
        assert!(send_queue.try_push(&Bytes::from_static(b"two "), 4));
        assert!(publish(&send_queue, &Bytes::from_static(b"three")));
        assert!(!send_queue.is_waiting());
        let mut read = [0; 13];
        client.read_exact(&mut read).await?;
        assert_eq!(&read, b"one two three");
        assert_eq!((send_queue.accepted(), send_queue.text()), (13, 9));
        Ok(())
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_a_bounded_backlog() -> io::Result<()> {
        let (send_queue, mut client) = pair().await?;
        let chunk = Bytes::from(vec![b'x'; 60_000]);
        let mut accepted = 0_usize;
        while publish(&send_queue, &chunk) {
            accepted += chunk.len();
            assert!(accepted < 64 << 20, "a publisher is never refused");
        }
        assert!(send_queue.queue().waiting <= BACKLOG);
        timeout(Duration::from_secs(5), send_queue.attention())
            .await
            .map_err(io::Error::other)?;
        let reading = async {
            let mut read = vec![0; accepted];
            client.read_exact(&mut read).await
        };
        let goal = send_queue.accepted();
        let writing = poll_fn(|cx| send_queue.poll_write_out(cx, goal));
        let (written, read) = tokio::join!(writing, reading);
        written?;
        assert_eq!(read?, accepted);
        assert!(!send_queue.is_waiting());
        Ok(())
    }

    #[tokio::test]
    async fn a_broken_connection_accepts_nothing() -> io::Result<()> {
        let (send_queue, client) = pair().await?;
        drop(client);
        let chunk = Bytes::from(vec![b'x'; 60_000]);
        let refused = async {
            while publish(&send_queue, &chunk) {
                send_queue.tcp().writable().await?;
                let goal = send_queue.accepted();
                if poll_fn(|cx| send_queue.poll_write_out(cx, goal))
                    .await
                    .is_err()
                {
                    break;
                }
            }
            io::Result::Ok(())
        };
        timeout(Duration::from_secs(5), refused)
            .await
            .map_err(io::Error::other)??;
        assert!(!publish(&send_queue, &chunk));
        Ok(())
    }
}
