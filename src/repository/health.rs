//! Whether the store takes writes.

use crate::{
    error::Error,
    store::{Store, on},
};
use sqlx::query;

/// Writes to the store for no other reason than to see whether it can be done.
#[derive(Clone)]
pub struct HealthRepository(Store);

impl HealthRepository {
    /// On this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    /// Makes a small write that lasts, as a message does.
    pub async fn write(&self) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO write_probe (id, writes) VALUES (1, 1) \
                           ON CONFLICT (id) DO UPDATE SET writes = write_probe.writes + 1";
        match &self.0 {
            // By itself: all servers write to one row, which one that is frozen between two
            // statements would keep locked.
            Store::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                query(SQL).execute(&mut connection).await?;
                Ok(())
            }
            Store::Sqlite(_) => {
                let mut tx = self.0.begin().await?;
                on!(tx &mut tx, |db| query(SQL).execute(db).await.map(drop))?;
                tx.commit().await
            }
        }
    }
}
