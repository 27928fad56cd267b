//! The first start on a Postgres: in an empty database, or in one that the original filled. It is looked
//! at before anything is changed, and all steps are one transaction: after any failure it is as it ran.

use super::invariants::flaws_of_takeover;
use sqlx::{
    Connection, PgConnection,
    migrate::{Migrate, Migrator},
    query, query_scalar, raw_sql,
};

/// How long a step waits for another program with the tables: most likely the original still runs.
const IN_ONE: &str = "SET LOCAL lock_timeout = '10s'; SET CONSTRAINTS ALL IMMEDIATE";
/// Postgres' code where a lock was not to be had in time.
const LOCKED: &str = "55P03";
/// The step from which on the tables are ours.
const LOG: i64 = 2;
/// Those that the original made.
const TABLES: [&str; 4] = ["customer", "chat", "customer_chat", "message"];

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Brings the tables up to date. The migrator's own lock is held meanwhile, so that servers which start
/// together, of earlier versions too, do so one after the other.
pub(super) async fn migrate(db: &mut PgConnection, migrator: &Migrator) -> Result<(), Failure> {
    db.lock().await?;
    if is_ours(db).await? {
        migrator.run(&mut *db).await?;
    } else {
        first_start(db, migrator).await.map_err(in_use)?;
    }
    db.unlock().await?;
    Ok(())
}

/// Whether the tables have been made, or taken over, before.
async fn is_ours(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const MADE: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    const OURS: &str =
        "SELECT EXISTS (SELECT FROM _sqlx_migrations WHERE version >= $1 AND success)";
    let made: bool = query_scalar(MADE).fetch_one(&mut *db).await?;
    match made {
        true => query_scalar(OURS).bind(LOG).fetch_one(db).await,
        false => Ok(false),
    }
}

/// Whether there are tables of the original's, or of its names, that have not been taken over.
pub(super) async fn is_original(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let missing = missing_of(db).await?;
    let some = missing.is_none_or(|missing| missing.len() < TABLES.len());
    Ok(some && !is_ours(db).await?)
}

/// Those of the original's tables that are not there, by name.
async fn missing_of(db: &mut PgConnection) -> Result<Option<Vec<String>>, sqlx::Error> {
    const SQL: &str =
        "SELECT name FROM unnest($1::text[]) AS t (name) WHERE to_regclass(name) IS NULL";
    let missing: Vec<String> = query_scalar(SQL).bind(&TABLES[..]).fetch_all(db).await?;
    Ok(Some(missing).filter(|missing| !missing.is_empty()))
}

async fn first_start(db: &mut PgConnection, migrator: &Migrator) -> Result<(), Failure> {
    const LOCK: &str = "LOCK TABLE customer, chat, customer_chat, message IN ACCESS EXCLUSIVE MODE";
    const PREPARE: &str = include_str!("prepare.sql");
    // What has no text is a message that was deleted.
    const SETTLE: &str =
        "UPDATE message SET deleted_at = sent_at WHERE content IS NULL AND deleted_at IS NULL";
    let original = is_original(db).await?;
    let mut tx = db.begin().await?;
    raw_sql(IN_ONE).execute(&mut *tx).await?;
    if original {
        refuse(shape(&mut tx).await?)?;
        query(LOCK).execute(&mut *tx).await?;
        refuse(obstacles(&mut tx).await?)?;
        raw_sql(PREPARE).execute(&mut *tx).await?;
    }
    migrator.run(&mut *tx).await?;
    if original {
        query(SETTLE).execute(&mut *tx).await?;
        refuse(flaws_of_takeover(&mut tx, true).await?)?;
    }
    tx.commit().await?;
    if original {
        tracing::info!("took the original's tables over");
    }
    Ok(())
}

/// What stands in the way of a takeover, a sentence each. Changes nothing.
pub(super) async fn obstacles(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut found = shape(db).await?;
    if found.is_empty() {
        found = query_scalar(include_str!("obstacles.sql"))
            .fetch_all(&mut *db)
            .await?;
    }
    // With other columns there is no asking for rows.
    match found.is_empty() {
        true => flaws_of_takeover(db, false).await,
        false => Ok(found),
    }
}

/// Whether all of the original's tables are there, and are tables.
async fn shape(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    const OTHER: &str = "SELECT format('%s is no table', name) FROM unnest($1::text[]) AS t (name) \
        JOIN pg_class ON oid = to_regclass(name) WHERE relkind <> 'r'";
    if let Some(missing) = missing_of(db).await? {
        let missing = missing.join(" or ");
        return Ok(vec![format!(
            "it has tables of the original's names, but no {missing}: name another database"
        )]);
    }
    query_scalar(OTHER).bind(&TABLES[..]).fetch_all(db).await
}

fn refuse(found: Vec<String>) -> Result<(), Failure> {
    match found.is_empty() {
        true => Ok(()),
        false => Err(format!("it cannot be taken over: {}", found.join("; ")).into()),
    }
}

/// Says what to do where another program has the tables.
fn in_use(failure: Failure) -> Failure {
    let cause = failure.downcast_ref::<sqlx::Error>();
    let code = cause.and_then(|cause| cause.as_database_error()?.code());
    match code.is_some_and(|code| code == LOCKED) {
        true => "its tables are in use: stop the original first".into(),
        false => failure,
    }
}
