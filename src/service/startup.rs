//! Preparation of the data of a database with the current schema, before the server serves.

use crate::{database::Database, error::Error, model::UserId};

/// Fills an empty database with the sample data of the original application.
///
/// # Errors
/// `unavailable` if the database does not answer.
pub async fn fill_sample(database: &Database) -> Result<(), Error> {
    if database.demo_data().fill().await? {
        tracing::info!("stored the sample data: carl, sigmund and gustav, general and random");
    }
    Ok(())
}

/// Stores the skeletons of the first names without them: all names in a small database. The backfill task
/// does the rest while the server runs.
///
/// # Errors
/// `unavailable` if the database does not answer.
pub async fn fill_first_skeletons(database: &Database) -> Result<(), Error> {
    database.skeletons().step(UserId(0)).await.map(drop)
}
