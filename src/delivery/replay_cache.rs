//! A single-flight cache of replay pages. The sockets of a chat often fall behind at one change, so the page
//! after that change is read and encoded once for all of them. A page is kept only while a socket uses it.

use super::replay::PAGE;
use crate::{
    error::Error,
    model::{ChatId, LogEntry, Seq},
    protocol::Frame,
    repository::TextPage,
};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use tokio::sync::OnceCell;

/// A page of the things of a chat that changed after a given change.
#[derive(Debug)]
pub(super) struct ReplayPage {
    /// The change after which the page begins.
    after: Seq,
    /// The things, by `seq`, as read from the database.
    stored: TextPage<LogEntry>,
    /// The frame of each thing, for a socket that has every change up to `after`.
    frames: Vec<Frame>,
    /// The memory of the things and the frames, in bytes.
    bytes: usize,
}

impl ReplayPage {
    fn new(after: Seq, stored: TextPage<LogEntry>) -> Self {
        let frames = stored.rows.iter();
        let frames = frames.map(|entry| Frame::replayed(entry, after));
        let frames: Vec<Frame> = frames.collect();
        let encoded = frames.iter().map(|frame| frame.encoded().len());
        let entries = stored.rows.iter().map(LogEntry::memory);
        Self {
            after,
            bytes: encoded.chain(entries).sum(),
            frames,
            stored,
        }
    }

    /// Whether nothing was stored after the page when it was read.
    pub(super) fn is_last(&self) -> bool {
        !self.stored.is_truncated && (self.stored.rows.len() as i64) < PAGE.rows
    }

    /// True if the page includes `head`, or is full, so that a following page will.
    fn reaches(&self, head: Seq) -> bool {
        let last = self.stored.rows.last().map_or(self.after, LogEntry::seq);
        !self.is_last() || last >= head
    }

    /// The things, by `seq`, each with its frame for a socket that has every change before the page.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&LogEntry, &Frame)> {
        self.stored.rows.iter().zip(&self.frames)
    }

    /// The frame of a thing for a socket with a replay that began after `since`. The page's frame is reused
    /// unless a message is new for one of the two positions and an edit for the other.
    pub(super) fn frame(&self, entry: &LogEntry, frame: &Frame, since: Seq) -> Frame {
        match entry.is_new_since(since) == entry.is_new_since(self.after) {
            true => frame.clone(),
            false => Frame::replayed(entry, since),
        }
    }
}

/// The chat, and the change after which the page begins.
type Key = (ChatId, Seq);
type Map = Mutex<HashMap<Key, Weak<InFlight>>>;

/// A read under way, or its page while a socket uses it.
struct InFlight {
    key: Key,
    /// Unset while the read is under way; null if the read failed.
    page: OnceCell<Option<ReplayPage>>,
    /// The cache's map, from which a dropped read removes itself.
    map: Arc<Map>,
}

/// A page that several sockets may share.
pub(super) struct SharedPage(Arc<InFlight>);

impl SharedPage {
    /// The page; null if its read failed.
    pub(super) fn page(&self) -> Option<&ReplayPage> {
        self.0.page.get().and_then(Option::as_ref)
    }

    /// The memory of the page, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.page().map_or(0, |page| page.bytes)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut map = lock(&self.map);
        // Another read may be stored under the key by now.
        if map.get(&self.key).is_some_and(|w| w.strong_count() == 0) {
            map.remove(&self.key);
        }
    }
}

/// The cache of pages that are read or in use. Clones share one map.
#[derive(Clone, Default)]
pub(super) struct ReplayCache(Arc<Map>);

impl ReplayCache {
    /// The page of a key. Shares a page that another socket reads or uses, if that page reaches `head`; calls
    /// `read` otherwise.
    ///
    /// # Errors
    /// `unavailable` if the page could not be read.
    pub(super) async fn after<T>(
        &self,
        key: Key,
        head: Seq,
        read: impl Fn() -> T,
    ) -> Result<SharedPage, Error>
    where
        T: Future<Output = Result<TextPage<LogEntry>, Error>>,
    {
        let (reading, own) = self.join(key);
        let page = reading.read(&read).await?;
        // A read that another socket began earlier may have ended before `head` was stored.
        if own || page.reaches(head) {
            return Ok(SharedPage(reading));
        }
        let reading = self.replace(key, &reading);
        reading.read(&read).await?;
        Ok(SharedPage(reading))
    }

    /// The existing read of the key, or a new one. The flag is true for a new one.
    fn join(&self, key: Key) -> (Arc<InFlight>, bool) {
        let mut map = lock(&self.0);
        if let Some(reading) = map.get(&key).and_then(Weak::upgrade) {
            return (reading, false);
        }
        (self.begin(&mut map, key), true)
    }

    /// Replaces a read with a page that does not reach the head. Shares the replacement that another socket has
    /// begun, if it is still under way.
    fn replace(&self, key: Key, old: &Arc<InFlight>) -> Arc<InFlight> {
        // Declared before the guard, so that it is dropped after the guard: dropping a read takes the lock.
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

    /// Stores a new read under the key.
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
    /// Reads the page, or waits for the socket that reads it.
    ///
    /// # Errors
    /// `unavailable` if the read failed; the cause is logged once.
    async fn read<T>(&self, read: &impl Fn() -> T) -> Result<&ReplayPage, Error>
    where
        T: Future<Output = Result<TextPage<LogEntry>, Error>>,
    {
        let reading = || async {
            match read().await {
                Ok(stored) => Some(ReplayPage::new(self.key.1, stored)),
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
    use crate::model::{Message, MessageId, Timestamp};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const KEY: Key = (ChatId(1), Seq(5));

    fn message(seq: i64) -> LogEntry {
        LogEntry::Message(Box::new(Message {
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
        }))
    }

    fn page_of<const N: usize>(seqs: [i64; N]) -> TextPage<LogEntry> {
        let rows = seqs.into_iter().map(message).collect();
        TextPage {
            rows,
            is_truncated: false,
        }
    }

    #[tokio::test]
    async fn concurrent_readers_share_one_read() {
        let (pages, reads) = (ReplayCache::default(), AtomicUsize::new(0));
        let read = || async {
            reads.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Ok(page_of([6, 7]))
        };
        let readers = (0..100).map(|_| pages.after(KEY, Seq(7), read));
        let shared = futures_util::future::join_all(readers).await;
        assert_eq!(reads.load(Relaxed), 1);
        assert!(shared.iter().flatten().filter_map(SharedPage::page).count() == 100);
        drop(shared);
        assert!(lock(&pages.0).is_empty());
    }

    #[tokio::test]
    async fn a_page_read_too_early_is_read_again_once_for_all() {
        let (pages, reads) = (ReplayCache::default(), AtomicUsize::new(0));
        let early = pages.after(KEY, Seq(6), || async { Ok(page_of([6])) });
        let early = early.await;
        let read = || async {
            reads.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Ok(page_of([6, 7]))
        };
        let readers = (0..100).map(|_| pages.after(KEY, Seq(7), read));
        for shared in futures_util::future::join_all(readers).await {
            let shared = shared.ok();
            let page = shared.as_ref().and_then(SharedPage::page);
            assert_eq!(page.map(|page| page.entries().count()), Some(2));
        }
        assert_eq!(reads.load(Relaxed), 1);
        drop(early);
        assert!(lock(&pages.0).is_empty());
    }

    #[tokio::test]
    async fn a_failed_read_is_not_cached() {
        let pages = ReplayCache::default();
        let failed = pages.after(KEY, Seq(7), || async { Err(Error::unavailable()) });
        assert!(failed.await.is_err());
        let read = pages.after(KEY, Seq(7), || async { Ok(page_of([7])) });
        assert!(read.await.is_ok());
    }
}
