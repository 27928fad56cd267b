//! The migration of a Postgres database at a start. The first start creates the tables, or takes over
//! the tables of the original program. It checks them before any change and uses one transaction, so a
//! failed takeover leaves the database as the original program left it.

use super::invariants::flaws_of_takeover;
use sqlx::{
    Connection, PgConnection,
    migrate::{Migrate, Migrator},
    query, query_scalar, raw_sql,
};

/// The settings of the transaction of the first start. A table that is locked for 10 s is in use by
/// another program, most likely the original. Deferred constraints are checked at each statement.
const TRANSACTION_SETTINGS: &str = "SET LOCAL lock_timeout = '10s'; SET CONSTRAINTS ALL IMMEDIATE";
/// Postgres' code for a lock that was not acquired before `lock_timeout` (`lock_not_available`).
const LOCKED: &str = "55P03";
/// The version of the migration after which the tables belong to this program (`0002_log.sql`).
const FIRST_OWN_VERSION: i64 = 2;
/// The tables that the original program created.
const TABLES: [&str; 4] = ["customer", "chat", "customer_chat", "message"];

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Migrates the tables. The advisory lock of the migrator is held during the migration, so that servers
/// that start at once migrate one after another. Earlier versions of this program take this lock too.
pub(super) async fn migrate(db: &mut PgConnection, migrator: &Migrator) -> Result<(), BoxError> {
    db.lock().await?;
    if is_ours(db).await? {
        migrator.run(&mut *db).await?;
    } else {
        first_start(db, migrator).await.map_err(in_use)?;
    }
    db.unlock().await?;
    Ok(())
}

/// Returns true if this program has created the tables or taken them over.
async fn is_ours(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    const MADE: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    const OURS: &str =
        "SELECT EXISTS (SELECT FROM _sqlx_migrations WHERE version >= $1 AND success)";
    let made: bool = query_scalar(MADE).fetch_one(&mut *db).await?;
    match made {
        true => {
            query_scalar(OURS)
                .bind(FIRST_OWN_VERSION)
                .fetch_one(db)
                .await
        }
        false => Ok(false),
    }
}

/// Returns true if the database has any table of the original program, or with its name, that is not
/// taken over yet.
pub(super) async fn is_original(db: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let missing = missing_of(db).await?;
    let some = missing.is_none_or(|missing| missing.len() < TABLES.len());
    Ok(some && !is_ours(db).await?)
}

/// Returns the names of the original program's tables that are missing. `None` if all exist.
async fn missing_of(db: &mut PgConnection) -> Result<Option<Vec<String>>, sqlx::Error> {
    const SQL: &str =
        "SELECT name FROM unnest($1::text[]) AS t (name) WHERE to_regclass(name) IS NULL";
    let missing: Vec<String> = query_scalar(SQL).bind(&TABLES[..]).fetch_all(db).await?;
    Ok(Some(missing).filter(|missing| !missing.is_empty()))
}

async fn first_start(db: &mut PgConnection, migrator: &Migrator) -> Result<(), BoxError> {
    const LOCK: &str = "LOCK TABLE customer, chat, customer_chat, message IN ACCESS EXCLUSIVE MODE";
    const PREPARE: &str = include_str!("prepare.sql");
    // In the original program's tables, a message without text is a deleted message.
    const MARK_DELETED: &str =
        "UPDATE message SET deleted_at = sent_at WHERE content IS NULL AND deleted_at IS NULL";
    let original = is_original(db).await?;
    let mut tx = db.begin().await?;
    raw_sql(TRANSACTION_SETTINGS).execute(&mut *tx).await?;
    if original {
        refuse(shape(&mut tx).await?)?;
        query(LOCK).execute(&mut *tx).await?;
        refuse(obstacles(&mut tx).await?)?;
        raw_sql(PREPARE).execute(&mut *tx).await?;
    }
    migrator.run(&mut *tx).await?;
    if original {
        query(MARK_DELETED).execute(&mut *tx).await?;
        refuse(flaws_of_takeover(&mut tx, true).await?)?;
    }
    tx.commit().await?;
    if original {
        tracing::info!("took over the tables of the original program");
    }
    Ok(())
}

/// Returns the obstacles to a takeover, one sentence per obstacle. Changes nothing.
pub(super) async fn obstacles(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut found = shape(db).await?;
    if found.is_empty() {
        found = query_scalar(include_str!("obstacles.sql"))
            .fetch_all(&mut *db)
            .await?;
    }
    // The queries for flaws of rows would fail if columns are missing or of another type.
    match found.is_empty() {
        true => flaws_of_takeover(db, false).await,
        false => Ok(found),
    }
}

/// Checks that all of the original program's tables exist and are ordinary tables, not views. Returns one
/// sentence per flaw.
async fn shape(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    const OTHER: &str = "SELECT format('%s is no table', name) FROM unnest($1::text[]) AS t (name) \
        JOIN pg_class ON oid = to_regclass(name) WHERE relkind <> 'r'";
    if let Some(missing) = missing_of(db).await? {
        let missing = missing.join(" or ");
        return Ok(vec![format!(
            "it has tables with names of the original program, but no {missing}: name another \
             database"
        )]);
    }
    query_scalar(OTHER).bind(&TABLES[..]).fetch_all(db).await
}

fn refuse(found: Vec<String>) -> Result<(), BoxError> {
    match found.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "the tables of the original program cannot be taken over: {}",
            found.join("; ")
        )
        .into()),
    }
}

/// Replaces the error of a lock timeout with advice: another program uses the tables.
fn in_use(failure: BoxError) -> BoxError {
    let cause = failure.downcast_ref::<sqlx::Error>();
    let code = cause.and_then(|cause| cause.as_database_error()?.code());
    match code.is_some_and(|code| code == LOCKED) {
        true => "its tables are in use: stop the original program first".into(),
        false => failure,
    }
}
