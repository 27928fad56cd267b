//! Lists as parameters of a statement: arrays (`unnest`) on Postgres, JSON (`json_each`) on SQLite.

use serde::Serialize;

/// Returns one column of `rows` as an array parameter for Postgres.
pub(crate) fn column<'a, T, U>(rows: &'a [T], value: impl Fn(&'a T) -> U) -> Vec<U> {
    rows.iter().map(value).collect()
}

/// Returns `rows` as a JSON array, the list parameter for SQLite.
pub(crate) fn json<'a, T, U: Serialize>(rows: &'a [T], value: impl Fn(&'a T) -> U) -> String {
    let rows: Vec<U> = rows.iter().map(value).collect();
    // Rows hold only numbers, texts and nulls, so serialization cannot fail.
    serde_json::to_string(&rows).unwrap_or_default()
}
