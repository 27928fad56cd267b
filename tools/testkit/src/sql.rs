//! SQL beside the server, on either store: each call has a connection of its own.

use sqlx::{
    AssertSqlSafe, Connection, FromRow, PgConnection, SqliteConnection, postgres::PgRow,
    sqlite::SqliteRow,
};

/// Executes statements, and gives the number of rows that they changed.
///
/// # Errors
/// If the database is away or refuses a statement.
pub async fn execute(url: &str, statements: &str) -> sqlx::Result<u64> {
    let query = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    if is_sqlite(url) {
        let mut connection = SqliteConnection::connect(url).await?;
        let done = query.execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    } else {
        let mut connection = PgConnection::connect(url).await?;
        let done = query.execute(&mut connection).await?;
        connection.close().await?;
        Ok(done.rows_affected())
    }
}

/// The rows of a query, as tuples.
///
/// # Errors
/// If the database is away, refuses the query or has rows of other types.
pub async fn rows<T>(url: &str, query: &str) -> sqlx::Result<Vec<T>>
where
    T: Send + Unpin + for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow>,
{
    let query = AssertSqlSafe(query.to_owned());
    if is_sqlite(url) {
        let mut connection = SqliteConnection::connect(url).await?;
        sqlx::query_as(query).fetch_all(&mut connection).await
    } else {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::query_as(query).fetch_all(&mut connection).await
    }
}

/// The one number that a query gives.
///
/// # Errors
/// If the database is away, refuses the query or gives no number.
pub async fn number(url: &str, query: &str) -> sqlx::Result<i64> {
    let rows = rows::<(i64,)>(url, query).await?;
    rows.first()
        .map(|row| row.0)
        .ok_or(sqlx::Error::RowNotFound)
}

/// Makes a database on this Postgres, and gives its URL. The name begins with this prefix.
///
/// # Errors
/// If the server is away or refuses to make one.
pub async fn create_database(server: &str, prefix: &str) -> sqlx::Result<String> {
    let name = format!("{prefix}_{}", uuid::Uuid::new_v4().simple());
    execute(server, &format!("CREATE DATABASE {name}")).await?;
    let (base, _) = server.rsplit_once('/').unwrap_or((server, ""));
    Ok(format!("{base}/{name}"))
}

fn is_sqlite(url: &str) -> bool {
    url.starts_with("sqlite:")
}
