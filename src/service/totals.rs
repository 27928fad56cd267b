//! How much is stored, for the metrics: read by a scrape, at most every 10 s.

use crate::{
    error::Error,
    repository::{Totals, TotalsRepository},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{self, Instant};

/// How long a reading is good for.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a reading may take: the scrape waits for it.
const LIMIT: Duration = Duration::from_secs(1);

/// The latest reading. Cloning shares it.
#[derive(Clone)]
pub struct TotalsService(Arc<Inner>);

struct Inner {
    repository: TotalsRepository,
    latest: Mutex<Option<Totals>>,
    /// When it was last asked for; held while it is.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

impl TotalsService {
    /// On this store.
    #[must_use]
    pub fn new(repository: TotalsRepository) -> Self {
        Self(Arc::new(Inner {
            repository,
            latest: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        }))
    }

    /// Reads where the latest reading is too old. Where the store does not answer, the latest one
    /// stays.
    pub async fn refresh(&self) {
        let mut asked = self.0.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        *asked = Some(Instant::now());
        let reading = time::timeout(LIMIT, self.0.repository.read()).await;
        match reading.unwrap_or_else(|_| Err(Error::unavailable())) {
            Ok(totals) => *self.lock() = Some(totals),
            Err(error) => error.log(),
        }
    }

    /// The latest reading; none before the store has answered once.
    #[must_use]
    pub fn latest(&self) -> Option<Totals> {
        *self.lock()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Totals>> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
