//! The search index follows the log. One background task on each server indexes the chats that this server has
//! changed, half a second later. At the start and now and then it compares all chats with their positions, for chats
//! that another server has changed before it stopped, and for chats of a version without an index.

use crate::{
    database::Database,
    error::{Error, within},
    hub::Hub,
    metrics::SearchMetrics,
    model::ChatId,
    repository::{ComparedPositions, IndexStep, MAX_INDEXED_CHATS},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    select,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;

/// The wait after a change, so that the changes of this time share a transaction.
const GATHER: Duration = Duration::from_millis(500);
/// The time between the end of one comparison of all chats and the start of the next.
const PERIOD: Duration = Duration::from_secs(15 * 60);
/// The time to the next comparison after a failure.
const AGAIN: Duration = Duration::from_secs(60);
/// The rest after a piece of work while chats change, as a multiple of the time of the work.
const BUSY_REST: u32 = 30;
/// The longest time for one step.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// The most changed chats that wait here. More wait in the hub.
const MAX_FRESH: usize = 10_000;

/// The task that fills the search index.
pub struct SearchIndexer {
    database: Database,
    hub: Hub,
    metrics: SearchMetrics,
    /// Changed chats, which come first.
    fresh: BTreeSet<ChatId>,
    /// The changed chat that is next, or the first one after it: each has its turn, however often others change.
    turn: ChatId,
    /// Chats that take several steps, and chats that a comparison found.
    backlog: BTreeSet<ChatId>,
    comparison: Comparison,
}

/// The state of the comparison of all chats.
#[derive(Clone, Copy, Debug)]
enum Comparison {
    /// The next one begins at this time.
    Due(Instant),
    /// The chats above this one are compared with their positions.
    Chats(ChatId),
    /// The positions of chats above this one are compared with the chats.
    Positions(ChatId),
}

impl SearchIndexer {
    /// Returns the task. It learns of changes from the hub.
    #[must_use]
    pub fn new(database: Database, hub: Hub, metrics: SearchMetrics) -> Self {
        Self {
            database,
            hub,
            metrics,
            fresh: BTreeSet::new(),
            turn: ChatId(0),
            backlog: BTreeSet::new(),
            comparison: Comparison::Chats(ChatId(0)),
        }
    }

    /// Runs until `stop`. Another server, or the next one to start, does the rest.
    pub async fn run(mut self, stop: CancellationToken) {
        let rounds = async {
            loop {
                let begun = Instant::now();
                match self.work().await {
                    Ok(true) => self.rest(begun.elapsed()).await,
                    Ok(false) => self.wait().await,
                    Err(error) => {
                        error.log();
                        // The chats of the failed step are found again by the comparison.
                        self.comparison = Comparison::Due(Instant::now() + AGAIN);
                        time::sleep(GATHER).await;
                    }
                }
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Takes the changed chats from the hub.
    fn take_changed(&mut self) {
        if self.fresh.len() < MAX_FRESH {
            let mut noted = self.hub.take_changed();
            self.fresh.append(&mut noted.chats);
            if noted.is_incomplete {
                self.comparison = Comparison::Chats(ChatId(0));
            }
        }
        self.note_waiting();
    }

    /// Sets the number of waiting chats in the metrics.
    fn note_waiting(&self) {
        let waiting = self.fresh.len() + self.backlog.len() + self.hub.changed_chats();
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.metrics.waiting.set(waiting);
    }

    /// Does one piece of work. Returns false if there is none at this time.
    async fn work(&mut self) -> Result<bool, Error> {
        // Beside a backlog or a comparison, changes are indexed as they come.
        if !self.backlog.is_empty() || !matches!(self.comparison, Comparison::Due(_)) {
            self.take_changed();
        }
        let chats = in_turn(&self.fresh, self.turn).chain(&self.backlog);
        let chats: Vec<ChatId> = chats.take(MAX_INDEXED_CHATS).copied().collect();
        if !chats.is_empty() {
            return self.index(&chats).await;
        }
        match self.comparison {
            Comparison::Due(at) if at > Instant::now() => Ok(false),
            Comparison::Due(_) => {
                self.comparison = Comparison::Chats(ChatId(0));
                Ok(true)
            }
            Comparison::Chats(after) => self.compare_chats(after).await,
            Comparison::Positions(after) => self.compare_positions(after).await,
        }
    }

    /// Indexes the next messages of these chats.
    async fn index(&mut self, chats: &[ChatId]) -> Result<bool, Error> {
        let was_fresh: BTreeSet<ChatId> = chats
            .iter()
            .filter(|chat| self.fresh.remove(*chat))
            .copied()
            .collect();
        for chat in chats {
            self.backlog.remove(chat);
        }
        let busy = !was_fresh.is_empty();
        let step = self.database.search_index().step(chats, busy);
        let IndexStep {
            messages,
            behind,
            left,
        } = within(STEP_LIMIT, step).await?;
        self.metrics.indexed.inc_by(messages as u64);
        self.backlog.extend(behind);
        let last = chats.last().map_or(ChatId(0), |last| ChatId(last.0 + 1));
        self.turn = left.first().copied().unwrap_or(last);
        for chat in left {
            match was_fresh.contains(&chat) {
                true => self.fresh.insert(chat),
                false => self.backlog.insert(chat),
            };
        }
        self.note_waiting();
        Ok(true)
    }

    /// Compares the next chats with their positions.
    async fn compare_chats(&mut self, after: ChatId) -> Result<bool, Error> {
        let compared = within(STEP_LIMIT, self.database.search_index().compare(after)).await?;
        self.comparison = match compared {
            Some(ComparedPositions { last, stale }) => {
                self.backlog.extend(stale);
                Comparison::Chats(last)
            }
            None => Comparison::Positions(ChatId(0)),
        };
        Ok(true)
    }

    /// Compares the next positions with the chats, and removes the rest of chats that are gone.
    async fn compare_positions(&mut self, after: ChatId) -> Result<bool, Error> {
        let compared = within(STEP_LIMIT, self.database.search_index().orphans(after)).await?;
        let Some(ComparedPositions { last, stale }) = compared else {
            self.comparison = Comparison::Due(Instant::now() + PERIOD);
            return Ok(true);
        };
        for chat in stale {
            loop {
                let begun = Instant::now();
                let purge = self.database.search_purge().step(chat);
                if !within(STEP_LIMIT, purge).await? {
                    break;
                }
                self.rest(begun.elapsed()).await;
            }
        }
        self.comparison = Comparison::Positions(last);
        Ok(true)
    }

    /// Rests after a piece of work, so that other work goes on. While chats change, the index takes a thirtieth of the
    /// time: it may fall behind as long as a server is busy, and no send waits for it. On SQLite, messages are stored
    /// over the connection that the work used, and three quarters of its time are left to others in any case.
    async fn rest(&self, worked: Duration) {
        let factor = match (&self.database, self.hub.changed_chats()) {
            (Database::Postgres(_), 0) => 1,
            (Database::Sqlite(_), 0) => 3,
            _ => BUSY_REST,
        };
        time::sleep(worked * factor).await;
    }

    /// Waits for a change or for the next comparison, and takes the changes.
    async fn wait(&mut self) {
        if let Comparison::Due(at) = self.comparison {
            select! {
                () = self.hub.chat_changed() => {
                    self.note_waiting();
                    time::sleep(GATHER).await;
                }
                () = time::sleep_until(at) => {}
            }
        }
        self.take_changed();
    }
}

/// Returns the chats in order of id, from `turn` on, and then those before it.
fn in_turn(chats: &BTreeSet<ChatId>, turn: ChatId) -> impl Iterator<Item = &ChatId> {
    chats.range(turn..).chain(chats.range(..turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chat_has_its_turn() {
        let chats: BTreeSet<ChatId> = [1, 2, 5, 9].map(ChatId).into();
        for (turn, expected) in [
            (0, [1, 2, 5, 9]),
            (2, [2, 5, 9, 1]),
            (3, [5, 9, 1, 2]),
            (10, [1, 2, 5, 9]),
        ] {
            let chats: Vec<i64> = in_turn(&chats, ChatId(turn)).map(|chat| chat.0).collect();
            assert_eq!(chats, expected, "from {turn}");
        }
    }
}
