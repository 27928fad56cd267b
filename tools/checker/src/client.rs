//! One client: it connects, works, breaks its own connection and reconnects until the round ends.

use crate::{
    journal::Journal,
    phase::Phase,
    record::{ChatId, Kind, Seq},
    rest::Rest,
    socket::{Disconnected, Socket},
    violation::ViolationKind,
};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};
use tokio::{sync::watch, time};

/// Time limit of an answer. The server's own limit is 5 s, but several freezes may follow each other.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(45);
/// Time limit for an open socket to get a chat's last message after the last fault.
const LAST_LIMIT: Duration = Duration::from_secs(30);
/// The maximum distance of a random `since` behind the client's position.
const BACK: Seq = 1500;

/// A client and its journal.
pub struct Client {
    /// The addresses of all servers. A client may use any.
    pub addresses: Vec<SocketAddr>,
    pub rest: Rest,
    pub chats: Vec<ChatId>,
    pub rng: fastrand::Rng,
    pub phase: watch::Receiver<Phase>,
    pub journal: Journal,
}

impl Client {
    /// Works until the round ends and the last messages have arrived. The final resume is not part of it.
    pub async fn run(mut self) -> Self {
        while self.is_working() {
            let Ok(mut socket) = self.connect().await else {
                time::sleep(Duration::from_millis(self.rng.u64(10..200))).await;
                continue;
            };
            let worked = self.use_socket(&mut socket).await;
            if worked.is_ok() && !self.is_working() {
                self.listen_until_last(socket).await;
            } else {
                self.end(socket, worked).await;
            }
        }
        self
    }

    pub fn is_working(&self) -> bool {
        *self.phase.borrow() == Phase::Working
    }

    /// Opens a socket and connects to one chat, or in one case of six to two. One socket in three is of the original
    /// API.
    async fn connect(&mut self) -> Result<Socket, Disconnected> {
        let original = self.rng.u32(0..3) == 0;
        let mut socket = self.open(original).await?;
        let mut chats = self.chats.clone();
        self.rng.shuffle(&mut chats);
        // The first chat is busier, so that a slow reader misses changes in it.
        if self.rng.bool() {
            chats.retain(|chat| *chat != self.chats[0]);
            chats.insert(0, self.chats[0]);
        }
        chats.truncate(if self.rng.u32(0..6) == 0 { 2 } else { 1 });
        for &chat in &chats {
            let since = self.since(chat).filter(|_| !original);
            let mut asked = socket.connect(&mut self.journal, chat, since).await;
            if original && asked.is_ok() {
                // The answer to a first change shows that the socket is in the chat.
                let op = self.journal.begin(chat, Kind::Send);
                asked = self.submit_op(&mut socket, op).await;
            }
            if asked.is_err() {
                socket.abandon(&mut self.journal);
                return Err(Disconnected);
            }
        }
        // Sometimes the client gives up during the replay.
        let patience = match self.rng.u32(0..15) {
            0 => Duration::from_millis(self.rng.u64(0..20)),
            _ => ANSWER_LIMIT,
        };
        let answered = time::timeout(patience, async {
            let is_waiting = |socket: &Socket| match original {
                true => !socket.is_settled(),
                false => !socket.subscriptions.are_connected(),
            };
            while is_waiting(&socket) {
                socket.step(&mut self.journal).await?;
            }
            Ok::<(), Disconnected>(())
        });
        let answered = answered.await;
        if answered.is_err() && patience == ANSWER_LIMIT {
            let text = format!("connecting to {chats:?} was not answered within {patience:?}");
            self.journal.report(ViolationKind::Unanswered, text);
        }
        if !matches!(answered, Ok(Ok(()))) {
            socket.abandon(&mut self.journal);
            return Err(Disconnected);
        }
        self.read_truncated(&mut socket).await;
        Ok(socket)
    }

    /// Opens a socket to a random server: a client may return to any server.
    async fn open(&mut self, original: bool) -> Result<Socket, Disconnected> {
        let address = self.addresses[self.rng.usize(0..self.addresses.len())];
        Socket::open(address, &mut self.journal, original).await
    }

    /// Picks the cursor of a connect-chat: mostly the client's position, else an older one or none.
    fn since(&mut self, chat: ChatId) -> Option<Seq> {
        let seen = self.journal.views.get(&chat).map_or(0, |view| view.seen);
        match self.rng.u32(0..10) {
            0 => None,
            1 => Some(0),
            2 | 3 => Some((seen - self.rng.i64(0..BACK)).max(0)),
            _ => Some(seen),
        }
    }

    /// Reads the rest of a truncated replay by REST, as a client must. If the request fails, the next
    /// resume fetches it.
    async fn read_truncated(&mut self, socket: &mut Socket) {
        for (chat, head) in std::mem::take(&mut socket.subscriptions.truncated) {
            let seen = self.journal.views.entry(chat).or_default().seen;
            let Ok(entries) = self.rest.changes(chat, seen).await else {
                continue;
            };
            let view = self.journal.views.entry(chat).or_default();
            for entry in entries {
                view.apply(entry.thing, entry.seq, entry.state);
            }
            view.seen = view.seen.max(head);
        }
    }

    /// Ends a socket in a random way.
    async fn end(&mut self, socket: Socket, worked: Result<(), Disconnected>) {
        let journal = &mut self.journal;
        match self.rng.u32(0..3) {
            _ if worked.is_err() => drop(socket.abandon(journal)),
            0 => socket.close(journal).await,
            1 => drop(socket.abandon(journal)),
            _ => {
                let chat = self.chats[0];
                let op = journal.begin(chat, Kind::Send);
                journal.refuse(op, "cut", "");
                let content = json!({
                    "chatId": chat, "content": op.text(), "clientMessageId": op.key()
                });
                let frame = json!({ "type": "send-message", "id": 0, "content": content });
                socket.cut_in_frame(journal, &frame).await;
            }
        }
    }

    /// Listens after the last fault: an open socket must get each chat's last message.
    async fn listen_until_last(&mut self, mut socket: Socket) {
        let mut phase = self.phase.clone();
        let lasts = loop {
            if let Phase::Closing(lasts) = &*phase.borrow_and_update() {
                break lasts.clone();
            }
            tokio::select! {
                stepped = socket.step(&mut self.journal) => if stepped.is_err() {
                    socket.abandon(&mut self.journal);
                    return;
                },
                _ = phase.changed() => {}
            }
        };
        let is_behind = |socket: &Socket| {
            let mut chats = socket.subscriptions.chats().into_iter();
            chats.any(|chat| socket.subscriptions.position(chat) < lasts.get(&chat).copied())
        };
        let listening = async {
            while is_behind(&socket) {
                socket.step(&mut self.journal).await?;
            }
            Ok::<(), Disconnected>(())
        };
        if time::timeout(LAST_LIMIT, listening).await.is_err() {
            let chats: Vec<_> = (socket.subscriptions.chats().into_iter())
                .map(|chat| (chat, socket.subscriptions.position(chat), lasts.get(&chat)))
                .collect();
            let text = format!("an open socket is deaf: (chat, got, last) {chats:?}");
            self.journal.report(ViolationKind::Undelivered, text);
        }
        socket.close(&mut self.journal).await;
    }

    /// Resumes every chat from the client's position, and waits until each is live.
    pub async fn resume_all(&mut self) {
        for chat in self.chats.clone() {
            let known = self.journal.violations.len();
            let resuming = time::timeout(ANSWER_LIMIT, async {
                // A wrong answer is recorded as a violation and not retried.
                while !self.resume(chat).await && self.journal.violations.len() == known {
                    time::sleep(Duration::from_millis(100)).await;
                }
            });
            if resuming.await.is_err() {
                let text = format!("the final resume of chat {chat} was not answered");
                self.journal.report(ViolationKind::Unanswered, text);
            }
        }
    }

    async fn resume(&mut self, chat: ChatId) -> bool {
        let Ok(mut socket) = self.open(false).await else {
            return false;
        };
        let since = self.journal.views.entry(chat).or_default().seen;
        let mut going = socket.connect(&mut self.journal, chat, Some(since)).await;
        while going.is_ok() && !socket.subscriptions.are_connected() {
            going = socket.step(&mut self.journal).await;
        }
        if going.is_ok() {
            self.read_truncated(&mut socket).await;
            if let Some(seq) = socket.subscriptions.position(chat) {
                self.journal.finals.insert(chat, seq);
            }
        }
        socket.close(&mut self.journal).await;
        going.is_ok()
    }
}
