//! The changes of one socket that are not answered yet, in the order of their submission. The writer puts the acks
//! into the send queue of the socket itself, so that an ack wakes no task. Refusals, and acks that the send queue does
//! not take, are left to the socket's task.

use super::Outcome;
use crate::{
    error::Error,
    protocol::{Frame, RequestId},
    send_queue::SendQueue,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};
use tokio_util::sync::CancellationToken;

/// Maximum number of unanswered changes of one socket. At the limit the socket is not read until one is answered
/// (backpressure).
const IN_FLIGHT: usize = 64;

/// Builds the ack of a change.
pub type AckBuilder = fn(&RequestId, Outcome) -> Result<Frame, Error>;

/// The unanswered changes of one socket. Dropping it drops their answers.
pub struct AnswerQueue {
    send_queue: Arc<SendQueue>,
    ended: CancellationToken,
    /// Unset until the socket submits its first change: most sockets only read.
    shared: OnceLock<Arc<Shared>>,
}

struct Shared {
    send_queue: Arc<SendQueue>,
    /// Cancelled when the user or the session ends. No ack is written afterwards.
    ended: CancellationToken,
    /// A std lock, never held across an await or a system call.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The changes, oldest first.
    changes: VecDeque<AwaitedChange>,
    /// The number of changes that were removed from `changes`, in the life of the socket.
    removed: u64,
    /// True while all answers are left to the socket's task.
    held: bool,
}

struct AwaitedChange {
    /// Null if the client wants no ack. The broadcast answers it.
    id: Option<RequestId>,
    ack: AckBuilder,
    /// Null until the change is answered.
    answer: Option<Answer>,
}

/// The frame of an ack; null for a change without an id.
type Answer = Result<Option<Frame>, Error>;

/// An answer that the socket's task must send.
pub struct TakenAnswer {
    /// The id of the client's frame.
    pub id: Option<RequestId>,
    /// The ack, or the refusal. Null if nothing is to be sent.
    pub answer: Result<Option<Frame>, Error>,
}

/// The place of an answer to one change. Dropping it without an answer answers that the change is in doubt.
pub(super) struct AnswerPlace {
    shared: Weak<Shared>,
    number: u64,
    answered: bool,
}

impl AnswerQueue {
    /// Creates the queue of a socket. `ended` is cancelled when the user or the session ends.
    #[must_use]
    pub fn new(send_queue: Arc<SendQueue>, ended: CancellationToken) -> Self {
        Self {
            send_queue,
            ended,
            shared: OnceLock::new(),
        }
    }

    /// The state, if a change was submitted.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        self.shared.get().map(|shared| shared.state())
    }

    /// True if no more changes may be submitted. The send queue calls the attention of the socket's task when one is
    /// answered.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state()
            .is_some_and(|state| state.changes.len() >= IN_FLIGHT)
    }

    /// True if every change was answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state().is_none_or(|state| state.changes.is_empty())
    }

    /// Leaves all answers to the socket's task, until `release`. No change is submitted in between.
    pub fn hold(&self) {
        if let Some(mut state) = self.state() {
            state.held = true;
        }
    }

    /// Ends `hold`. The answers that came meanwhile are still left to the socket's task.
    pub fn release(&self) {
        if let Some(mut state) = self.state() {
            state.held = false;
        }
    }

    /// Takes the oldest answer, if the oldest change is answered.
    pub fn take(&self) -> Option<TakenAnswer> {
        let mut state = self.state()?;
        state.changes.front()?.answer.as_ref()?;
        let AwaitedChange { id, answer, .. } = state.remove_first()?;
        Some(TakenAnswer {
            id,
            answer: answer?,
        })
    }

    /// Adds a change that was submitted after all others.
    pub(super) fn add(&self, id: Option<RequestId>, ack: AckBuilder) -> AnswerPlace {
        let shared = self.shared.get_or_init(|| {
            Arc::new(Shared {
                send_queue: Arc::clone(&self.send_queue),
                ended: self.ended.clone(),
                state: Mutex::default(),
            })
        });
        let mut state = shared.state();
        let number = state.removed + state.changes.len() as u64;
        state.changes.push_back(AwaitedChange {
            id,
            ack,
            answer: None,
        });
        AnswerPlace {
            shared: Arc::downgrade(shared),
            number,
            answered: false,
        }
    }
}

impl AnswerPlace {
    /// Answers the change. Returns the send queue if it got frames, which the caller must write out.
    pub(super) fn answer(mut self, outcome: Result<Outcome, Error>) -> Option<Arc<SendQueue>> {
        self.answered = true;
        let shared = self.shared.upgrade()?;
        let queued = shared.answer(self.number, outcome);
        queued.then(|| Arc::clone(&shared.send_queue))
    }
}

impl Drop for AnswerPlace {
    fn drop(&mut self) {
        if !self.answered
            && let Some(shared) = self.shared.upgrade()
            && shared.answer(self.number, Err(Error::in_doubt()))
        {
            shared.send_queue.call_attention();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores an answer, and queues the acks that are due. Returns true if frames were queued.
    fn answer(&self, number: u64, outcome: Result<Outcome, Error>) -> bool {
        let mut state = self.state();
        let was_full = state.changes.len() >= IN_FLIGHT;
        let place = usize::try_from(number.wrapping_sub(state.removed));
        let Some(change) = place.ok().and_then(|place| state.changes.get_mut(place)) else {
            return false;
        };
        change.answer = Some(match (outcome, &change.id) {
            (Ok(outcome), Some(id)) => (change.ack)(id, outcome).map(Some),
            (Ok(_), None) => Ok(None),
            (Err(error), _) => Err(error),
        });
        let queued = self.queue_acks(&mut state);
        let is_left = state.changes.front().is_some_and(|c| c.answer.is_some());
        drop(state);
        if is_left || was_full {
            self.send_queue.call_attention();
        }
        queued
    }

    /// Queues the acks of the oldest changes, up to the first that has no ack yet, or that is left to the socket's
    /// task. Returns true if frames were queued.
    fn queue_acks(&self, state: &mut State) -> bool {
        let mut queued = false;
        while !state.held && !self.ended.is_cancelled() {
            match state
                .changes
                .front()
                .and_then(|change| change.answer.as_ref())
            {
                Some(Ok(Some(ack)))
                    if self.send_queue.try_push(ack.encoded(), ack.text().len()) =>
                {
                    queued = true;
                }
                Some(Ok(None)) => {}
                _ => break,
            }
            state.remove_first();
        }
        queued
    }
}

impl State {
    fn remove_first(&mut self) -> Option<AwaitedChange> {
        let first = self.changes.pop_front()?;
        self.removed += 1;
        if self.changes.is_empty() {
            // Most sockets submit a change now and then: an idle one keeps no capacity.
            self.changes = VecDeque::new();
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Code, model::ChatId};
    use std::{io, time::Duration};
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    /// A queue, the send queue and the token of its socket, and the client's side of the connection.
    struct Fixture {
        answers: AnswerQueue,
        send_queue: Arc<SendQueue>,
        ended: CancellationToken,
        client: TcpStream,
    }

    async fn fixture() -> io::Result<Fixture> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?);
        let (accepted, client) = tokio::join!(listener.accept(), client);
        let (_, writing) = accepted?.0.into_split();
        let send_queue = Arc::new(SendQueue::new(writing));
        let ended = CancellationToken::new();
        let answers = AnswerQueue::new(Arc::clone(&send_queue), ended.clone());
        Ok(Fixture {
            answers,
            send_queue,
            ended,
            client: client?,
        })
    }

    impl Fixture {
        fn add(&self, id: u8) -> io::Result<AnswerPlace> {
            Ok(self.answers.add(Some(request_id(id)?), ack))
        }

        /// Reads as many bytes as the acks of these changes have, and compares them.
        async fn expect_acks(&mut self, ids: &[u8]) -> io::Result<()> {
            let mut expected = Vec::new();
            for id in ids {
                expected.extend_from_slice(frame(&request_id(*id)?).encoded());
            }
            let mut read = vec![0; expected.len()];
            self.client.read_exact(&mut read).await?;
            assert_eq!(read, expected);
            Ok(())
        }

        async fn expect_attention(&self) -> io::Result<()> {
            let attention = timeout(Duration::from_secs(5), self.send_queue.attention());
            attention.await.map_err(io::Error::other)
        }
    }

    fn request_id(id: u8) -> io::Result<RequestId> {
        Ok(serde_json::value::to_raw_value(&id)?)
    }

    fn frame(id: &RequestId) -> Frame {
        Frame::left(id, ChatId(1))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the type of a builder of acks")]
    fn ack(id: &RequestId, _: Outcome) -> Result<Frame, Error> {
        Ok(frame(id))
    }

    fn write_out(send_queue: Option<Arc<SendQueue>>) -> bool {
        send_queue.is_some_and(|send_queue| {
            send_queue.write_out();
            true
        })
    }

    #[tokio::test]
    async fn acks_are_written_in_the_order_of_the_changes() -> io::Result<()> {
        let mut fixture = fixture().await?;
        let (first, second) = (fixture.add(1)?, fixture.add(2)?);
        let silent = fixture.answers.add(None, ack);
        assert!(!write_out(second.answer(Ok(Outcome::Deleted))));
        assert!(write_out(first.answer(Ok(Outcome::Deleted))));
        assert!(!write_out(silent.answer(Ok(Outcome::Deleted))));
        fixture.expect_acks(&[1, 2]).await?;
        assert!(fixture.answers.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_refusal_and_what_follows_it_are_left_to_the_task() -> io::Result<()> {
        let fixture = fixture().await?;
        let (first, second, dropped) = (fixture.add(1)?, fixture.add(2)?, fixture.add(3)?);
        assert!(!write_out(first.answer(Err(Error::unavailable()))));
        fixture.expect_attention().await?;
        assert!(!write_out(second.answer(Ok(Outcome::Deleted))));
        drop(dropped);
        let taken: Vec<_> = std::iter::from_fn(|| fixture.answers.take()).collect();
        let codes = taken.iter().map(|taken| match &taken.answer {
            Ok(ack) => ack.is_none().then_some(Code::Internal),
            Err(error) => Some(error.code()),
        });
        let expected = [Some(Code::Unavailable), None, Some(Code::Unavailable)];
        assert!(codes.eq(expected));
        Ok(())
    }

    #[tokio::test]
    async fn no_ack_is_written_while_held_or_after_the_end() -> io::Result<()> {
        let mut fixture = fixture().await?;
        let (first, second, third) = (fixture.add(1)?, fixture.add(2)?, fixture.add(3)?);
        fixture.answers.hold();
        assert!(!write_out(first.answer(Ok(Outcome::Deleted))));
        fixture.expect_attention().await?;
        fixture.answers.release();
        assert!(write_out(second.answer(Ok(Outcome::Deleted))));
        fixture.expect_acks(&[1, 2]).await?;
        fixture.ended.cancel();
        assert!(!write_out(third.answer(Ok(Outcome::Deleted))));
        assert!(fixture.answers.take().is_some());
        Ok(())
    }

    #[tokio::test]
    async fn the_first_answer_of_a_full_queue_calls_the_task() -> io::Result<()> {
        let fixture = fixture().await?;
        let first = fixture.add(1)?;
        let mut others = Vec::new();
        while !fixture.answers.is_full() {
            others.push(fixture.add(2)?);
        }
        assert_eq!(others.len() + 1, IN_FLIGHT);
        assert!(write_out(first.answer(Ok(Outcome::Deleted))));
        fixture.expect_attention().await?;
        assert!(!fixture.answers.is_full());
        Ok(())
    }

    #[tokio::test]
    async fn an_answer_to_a_closed_socket_is_dropped() -> io::Result<()> {
        let fixture = fixture().await?;
        let place = fixture.add(1)?;
        drop(fixture.answers);
        assert!(!write_out(place.answer(Ok(Outcome::Deleted))));
        Ok(())
    }
}
