//! Pages of the log that many sockets read at once: a chat's sockets fall behind together, at the
//! same change, and what comes after it is read and put into frames once for all of them.

use super::feed::PAGE;
use crate::{
    error::Error,
    model::{ChatId, Message, Seq},
    protocol::Frame,
    repository::MessagePage,
};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::OnceCell;

/// What came after a change of a chat.
#[derive(Debug)]
pub(super) struct Page {
    after: Seq,
    portion: MessagePage,
    frames: Vec<Frame>,
}

impl Page {
    fn new(after: Seq, portion: MessagePage) -> Self {
        let frames = portion.rows.iter();
        let frames = frames.map(|message| Frame::replayed(message, after));
        Self {
            after,
            frames: frames.collect(),
            portion,
        }
    }

    /// Whether nothing came after it when it was read.
    pub(super) fn is_last(&self) -> bool {
        !self.portion.cut && (self.portion.rows.len() as i64) < PAGE.rows
    }

    /// Whether it holds, or leads to, everything up to this change.
    fn reaches(&self, head: Seq) -> bool {
        let last = self.portion.rows.last().map_or(self.after, |last| last.seq);
        !self.is_last() || last >= head
    }

    /// The messages, by change, each with its frame for whoever has seen all before the page.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&Message, &Frame)> {
        self.portion.rows.iter().zip(&self.frames)
    }

    /// The frame of a message for somebody who saw it last before `since`.
    pub(super) fn frame(&self, message: &Message, frame: &Frame, since: Seq) -> Frame {
        let new = |since: Seq| message.sent_seq > since;
        match new(since) == new(self.after) {
            true => frame.clone(),
            false => Frame::replayed(message, since),
        }
    }
}

type Key = (ChatId, Seq);
type Map = Mutex<HashMap<Key, Weak<InFlight>>>;

/// A read under way, or done while somebody still uses it; without a page where it failed.
struct InFlight {
    key: Key,
    page: OnceCell<Option<Page>>,
    map: Arc<Map>,
}

/// A page, shared with whoever else reads it.
pub(super) struct SharedPage(Arc<InFlight>);

impl SharedPage {
    pub(super) fn page(&self) -> Option<&Page> {
        self.0.page.get().and_then(Option::as_ref)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut map = lock(&self.map);
        // Another may have taken its place.
        if map.get(&self.key).is_some_and(|w| w.strong_count() == 0) {
            map.remove(&self.key);
        }
    }
}

/// The reads under way. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct ReplayCache(Arc<Map>);

impl ReplayCache {
    /// The page after a change of a chat that holds everything up to `head`: one that another
    /// socket reads already, where it does, else from `read`.
    ///
    /// # Errors
    /// `unavailable` where it could not be read.
    pub(super) async fn after<T>(
        &self,
        key: Key,
        head: Seq,
        read: impl Fn() -> T,
    ) -> Result<SharedPage, Error>
    where
        T: Future<Output = Result<MessagePage, Error>>,
    {
        let (reading, own) = self.join(key);
        let page = reading.read(&read).await?;
        // What another began to read earlier may end before what this socket was told of.
        if own || page.reaches(head) {
            return Ok(SharedPage(reading));
        }
        let reading = self.replace(key, &reading);
        reading.read(&read).await?;
        Ok(SharedPage(reading))
    }

    /// The read under way, or a new one; and which of the two.
    fn join(&self, key: Key) -> (Arc<InFlight>, bool) {
        let mut map = lock(&self.0);
        if let Some(reading) = map.get(&key).and_then(Weak::upgrade) {
            return (reading, false);
        }
        (self.begin(&mut map, key), true)
    }

    /// The read that another has put in the place of this one, or a new one.
    fn replace(&self, key: Key, old: &Arc<InFlight>) -> Arc<InFlight> {
        // Given up after the lock, which its end takes.
        let newer;
        let mut map = lock(&self.0);
        newer = map.get(&key).and_then(Weak::upgrade);
        match &newer {
            Some(newer) if !Arc::ptr_eq(newer, old) && newer.page.get().is_none() => {
                Arc::clone(newer)
            }
            _ => self.begin(&mut map, key),
        }
    }

    fn begin(&self, map: &mut HashMap<Key, Weak<InFlight>>, key: Key) -> Arc<InFlight> {
        let reading = Arc::new(InFlight {
            key,
            page: OnceCell::new(),
            map: Arc::clone(&self.0),
        });
        map.insert(key, Arc::downgrade(&reading));
        reading
    }
}

impl InFlight {
    /// Reads, or waits for whoever reads.
    async fn read<T>(&self, read: &impl Fn() -> T) -> Result<&Page, Error>
    where
        T: Future<Output = Result<MessagePage, Error>>,
    {
        let reading = || async {
            match read().await {
                Ok(portion) => Some(Page::new(self.key.1, portion)),
                Err(error) => {
                    error.log();
                    None
                }
            }
        };
        let page = self.page.get_or_init(reading).await;
        page.as_ref().ok_or_else(Error::unavailable)
    }
}

fn lock(map: &Map) -> MutexGuard<'_, HashMap<Key, Weak<InFlight>>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MessageId, Timestamp};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const KEY: Key = (ChatId(1), Seq(5));

    fn message(seq: i64) -> Message {
        Message {
            message_id: MessageId(seq),
            chat_id: KEY.0,
            customer_id: None,
            username: None,
            content: Some(format!("message {seq}")),
            seq: Seq(seq),
            sent_at: Timestamp::now(),
            edited_at: None,
            deleted_at: None,
            reply_to: None,
            client_message_id: None,
            sent_seq: Seq(seq),
            deleted_by: None,
        }
    }

    fn portion<const N: usize>(seqs: [i64; N]) -> MessagePage {
        let rows = seqs.into_iter().map(message).collect();
        MessagePage { rows, cut: false }
    }

    #[tokio::test]
    async fn many_read_once() {
        let (pages, reads) = (ReplayCache::default(), AtomicUsize::new(0));
        let read = || async {
            reads.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Ok(portion([6, 7]))
        };
        let readers = (0..100).map(|_| pages.after(KEY, Seq(7), read));
        let shared = futures_util::future::join_all(readers).await;
        assert_eq!(reads.load(Relaxed), 1);
        assert!(shared.iter().flatten().filter_map(SharedPage::page).count() == 100);
        drop(shared);
        assert!(lock(&pages.0).is_empty());
    }

    #[tokio::test]
    async fn what_was_read_too_early_is_read_again_and_shared_too() {
        let (pages, reads) = (ReplayCache::default(), AtomicUsize::new(0));
        let early = pages.after(KEY, Seq(6), || async { Ok(portion([6])) });
        let early = early.await;
        let read = || async {
            reads.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Ok(portion([6, 7]))
        };
        let readers = (0..100).map(|_| pages.after(KEY, Seq(7), read));
        for shared in futures_util::future::join_all(readers).await {
            let shared = shared.ok();
            let page = shared.as_ref().and_then(SharedPage::page);
            assert_eq!(page.map(|page| page.messages().count()), Some(2));
        }
        assert_eq!(reads.load(Relaxed), 1);
        drop(early);
        assert!(lock(&pages.0).is_empty());
    }

    #[tokio::test]
    async fn a_read_that_fails_fails_for_all_and_is_tried_again_by_the_next() {
        let pages = ReplayCache::default();
        let failed = pages.after(KEY, Seq(7), || async { Err(Error::unavailable()) });
        assert!(failed.await.is_err());
        let read = pages.after(KEY, Seq(7), || async { Ok(portion([7])) });
        assert!(read.await.is_ok());
    }
}
