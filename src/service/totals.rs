//! Row totals for the metrics. A scrape reads them from the database, at most every 10 s.

use crate::{database::Database, error::within, repository::Totals};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The validity of a reading.
const PERIOD: Duration = Duration::from_secs(10);
/// The longest time for a reading. The scrape waits for it.
const LIMIT: Duration = Duration::from_secs(1);

/// The latest totals. Clones share the reading.
#[derive(Clone)]
pub struct TotalsService(Arc<Inner>);

struct Inner {
    database: Database,
    latest: Mutex<Option<Totals>>,
    /// The time of the last reading. Locked while the database is read, so that scrapes share one reading.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl TotalsService {
    /// Returns the service.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self(Arc::new(Inner {
            database,
            latest: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        }))
    }

    /// Reads the totals if the latest reading is older than 10 s. If the database does not answer, the
    /// latest reading stays.
    pub async fn refresh(&self) {
        let mut asked = self.0.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        *asked = Some(Instant::now());
        match within(LIMIT, self.0.database.totals().read()).await {
            Ok(totals) => *self.lock() = Some(totals),
            Err(error) => error.log(),
        }
    }

    /// The latest reading; null until the database has answered once.
    #[must_use]
    pub fn latest(&self) -> Option<Totals> {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Totals>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
