//! Checks that a database permits a start of the server: encoding, rights, free space, writability.
//! No check leaves a change behind. The command `check` runs all checks, a start runs some of them.

use super::{Target, inspect::Tables, migrations, postgres, sqlite};
use crate::error::sentence;
use sqlx::{
    ConnectOptions, Connection, PgConnection, SqliteConnection, query, query_as, query_scalar,
    sqlite::SqliteConnectOptions,
};
use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::Path,
    process,
};

/// The minimum free space beside an SQLite file, in bytes (16 MiB). A new database and its log take
/// less, but a server that starts with less space would soon fill the disk.
const MIN_FREE_BYTES: u64 = 16 << 20;

/// A write that changes nothing, on Postgres and on SQLite.
const TOUCH: &str = "UPDATE _sqlx_migrations SET success = success";

/// Tries the writes of a start and rolls them back. `tables` is the state of the tables before the start.
///
/// # Errors
/// A sentence: a right or free space is missing, the encoding is wrong, or another table has the name of
/// one of this program.
pub async fn try_start(target: &Target, tables: Tables) -> Result<(), String> {
    match target {
        Target::Postgres(options) => {
            let place = postgres::place(options);
            let failed = |e: String| format!("a start would fail: {e} (at {place})");
            let mut db = postgres::connect(options).await?;
            of_postgres(&mut db).await.map_err(failed)?;
            if tables == Tables::Missing {
                try_migrations(&mut db).await.map_err(failed)?;
            }
            db.close().await.map_err(|e| failed(sentence(&e)))
        }
        Target::Sqlite(path) => try_file(path).await,
    }
}

/// Checks that a Postgres database permits a start: its encoding is UTF-8, it takes writes, and the user
/// has the necessary rights.
pub(super) async fn of_postgres(db: &mut PgConnection) -> Result<(), String> {
    const DATABASE: &str = "SELECT pg_encoding_to_char(encoding)::text, pg_is_in_recovery(), \
            current_setting('transaction_read_only') = 'on', \
            coalesce(has_schema_privilege(current_schema(), 'CREATE'), FALSE), current_user::text \
        FROM pg_database WHERE datname = current_database()";
    let row = query_as(DATABASE).fetch_one(&mut *db).await;
    let (encoding, standby, read_only, creates, user): (String, bool, bool, bool, String) =
        row.map_err(|e| sentence(&e))?;
    if encoding != "UTF8" {
        return Err(format!(
            "the database has the encoding {encoding}, which cannot store every text; create it \
             with ENCODING 'UTF8'"
        ));
    }
    if standby || read_only {
        let why = match standby {
            true => "it is a standby; name the primary",
            false => "it is read-only (default_transaction_read_only)",
        };
        return Err(format!("the database takes no writes: {why}"));
    }
    if !postgres::is_ours(db).await.map_err(|e| sentence(&e))? {
        return match creates {
            true => Ok(()),
            false => Err(format!(
                "{user} may not create tables in the schema of this database; GRANT CREATE ON \
                 SCHEMA public TO {user}, or make {user} its owner"
            )),
        };
    }
    check_rights(db, &user).await
}

/// Checks that the user has the rights to read and write each table. The error names the first missing right.
async fn check_rights(db: &mut PgConnection, user: &str) -> Result<(), String> {
    const LACKING: &str = "SELECT t.name, p.name FROM \
            unnest(ARRAY['_sqlx_migrations', 'customer', 'chat', 'customer_chat', 'message', \
                'membership_change', 'session']) AS t (name) CROSS JOIN \
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p (name) \
        WHERE to_regclass(t.name) IS NOT NULL \
            AND NOT has_table_privilege(to_regclass(t.name), p.name) LIMIT 1";
    let lacking: Option<(String, String)> = query_as(LACKING)
        .fetch_optional(&mut *db)
        .await
        .map_err(|e| sentence(&e))?;
    match lacking {
        None => Ok(()),
        Some((table, right)) => Err(format!(
            "{user} has no right to {right} on the table {table}; make {user} its owner"
        )),
    }
}

/// Creates the tables in a transaction and rolls it back. This finds obstacles such as tables of another
/// program with one of their names.
async fn try_migrations(db: &mut PgConnection) -> Result<(), String> {
    let failed = |e: sqlx::Error| sentence(&e);
    let mut tx = db.begin().await.map_err(failed)?;
    let made = migrations::POSTGRES.run(&mut *tx).await;
    tx.rollback().await.map_err(failed)?;
    made.map_err(|e| format!("cannot create the tables: {}", sentence(&e)))
}

async fn try_file(path: &Path) -> Result<(), String> {
    refuse_foreign(path).await?;
    // A start creates missing folders, so the nearest existing folder above the file counts.
    let folder = path
        .ancestors()
        .skip(1)
        .map(|folder| match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        });
    let folder = folder.into_iter().find(|folder| folder.exists());
    let folder = folder.unwrap_or(Path::new("/"));
    try_folder(folder)?;
    if path.exists() {
        let failed = |e: sqlx::Error| cannot_write(path, &e);
        let options = sqlite::options(path);
        let mut db = options.connect().await.map_err(failed)?;
        write(path, &mut db).await?;
        db.close().await.map_err(failed)?;
    }
    Ok(())
}

/// Checks that files can be created in a folder and that its disk has `MIN_FREE_BYTES` bytes free.
fn try_folder(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    let trial = folder.join(format!(".messaging-api-{}", process::id()));
    File::create_new(&trial)
        .and_then(|_| fs::remove_file(&trial))
        .map_err(|e| {
            format!("a start would fail: cannot create files in the folder {shown}: {e}")
        })?;
    let room = rustix::fs::statvfs(folder)
        .map_err(|e| format!("cannot read the free space of the folder {shown}: {e}"))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    if free < MIN_FREE_BYTES {
        return Err(format!(
            "the disk of {shown} has only {} KiB of free space; a server needs at least {} MiB",
            free >> 10,
            MIN_FREE_BYTES >> 20
        ));
    }
    Ok(())
}

/// Writes to an SQLite file in a transaction and rolls it back.
///
/// # Errors
/// A sentence: the file cannot be written.
pub(super) async fn write(path: &Path, db: &mut SqliteConnection) -> Result<(), String> {
    let failed = |e: sqlx::Error| cannot_write(path, &e);
    let ours = sqlite::is_ours(db).await.map_err(failed)?;
    let mut tx = db.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    if ours {
        query(TOUCH).execute(&mut *tx).await.map_err(failed)?;
    }
    tx.rollback().await.map_err(failed)
}

fn cannot_write(path: &Path, error: &sqlx::Error) -> String {
    format!(
        "cannot write to the database {}: {error}; the file and its folder must belong to the user \
         that the server runs as",
        path.display()
    )
}

/// Refuses a path that cannot be a database: a name that is too long with SQLite's suffixes, a link to a
/// missing file, a file that is not regular, and a file with hard links. The file is not opened, because
/// opening a pipe would block.
pub(super) fn refuse_place(path: &Path) -> Result<(), String> {
    let refused = |why: &str| {
        Err(format!(
            "cannot open the database {}: {why}",
            path.display()
        ))
    };
    let longest = fs::metadata(sqlite::beside(path, "-journal"));
    let found = match (fs::metadata(path), longest) {
        (Err(e), _) | (_, Err(e)) if e.kind() != ErrorKind::NotFound => {
            return refused(&e.to_string());
        }
        (Ok(found), _) => found,
        (Err(_), _) if path.is_symlink() => {
            return refused("it is a link to a file that does not exist; name the file itself");
        }
        (Err(_), _) => return Ok(()),
    };
    if !found.is_file() {
        return refused("it is not a regular file");
    }
    match found.nlink() {
        0 | 1 => Ok(()),
        links => refused(&format!(
            "the file has {links} names (hard links), and servers that use different names would \
             not see each other's lock; remove the other names, or copy the file"
        )),
    }
}

/// Refuses an SQLite file in which another program has tables or indexes with the names of ours.
pub(super) async fn refuse_foreign(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let failed = |e: sqlx::Error| format!("cannot open the database {shown}: {e}");
    if !path.exists() {
        return Ok(());
    }
    sqlite::recover(path).await.map_err(failed)?;
    let mut db = sqlite::reading(path).connect().await.map_err(failed)?;
    let mut foreign = Vec::new();
    if !sqlite::is_ours(&mut db).await.map_err(failed)? {
        foreign = names(&mut db).await.map_err(failed)?;
    }
    db.close().await.map_err(failed)?;
    if foreign.is_empty() {
        return Ok(());
    }
    let mut empty = SqliteConnectOptions::new()
        .in_memory(true)
        .connect()
        .await
        .map_err(failed)?;
    let made = migrations::SQLITE.run(&mut empty).await;
    made.map_err(|e| format!("cannot list the tables: {e}"))?;
    let ours = names(&mut empty).await.map_err(failed)?;
    foreign.retain(|name| ours.contains(name));
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "the database {shown} holds tables or indexes of another program under names that \
             messaging-api needs: {}; name another file",
            foreign.join(", ")
        )),
    }
}

/// Returns the names of all tables, indexes, views and triggers in a file, without SQLite's own.
async fn names(db: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    const SQL: &str = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name";
    query_scalar(SQL).fetch_all(db).await
}
