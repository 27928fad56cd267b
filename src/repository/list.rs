//! Lists as parameters of a statement: arrays (`unnest`, `ANY`) on Postgres, JSON (`json_each`) on SQLite.

use serde::Serialize;
use sqlx::{
    Arguments, Encode, IntoArguments, Postgres, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo},
    sqlite::{SqliteArguments, SqliteArgumentsBuffer, SqliteTypeInfo},
};

/// A list of values as one parameter: an array on Postgres, a JSON array on SQLite.
pub(crate) struct List<'a, T>(pub(crate) &'a [T]);

impl<T: PgHasArrayType> Type<Postgres> for List<'_, T> {
    fn type_info() -> PgTypeInfo {
        T::array_type_info()
    }
}

impl<'q, T: Encode<'q, Postgres> + Type<Postgres>> Encode<'q, Postgres> for List<'_, T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&self.0, buffer)
    }
}

impl<T> Type<Sqlite> for List<'_, T> {
    fn type_info() -> SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl<T: Serialize> Encode<'_, Sqlite> for List<'_, T> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(serde_json::to_string(self.0)?, buffer)
    }
}

/// Rows of numbers as all parameters of a statement: one array for each column on Postgres, one JSON array of
/// rows on SQLite. `query_with` binds them, because the number of parameters differs.
pub(crate) struct Rows<const COLUMNS: usize>(Vec<[i64; COLUMNS]>);

/// Returns the parameters for `rows`, with the columns that `row` gives.
pub(crate) fn rows<'a, T, const COLUMNS: usize>(
    rows: &'a [T],
    row: impl Fn(&'a T) -> [i64; COLUMNS],
) -> Rows<COLUMNS> {
    Rows(rows.iter().map(row).collect())
}

impl<const COLUMNS: usize> IntoArguments<Postgres> for Rows<COLUMNS> {
    fn into_arguments(self) -> PgArguments {
        let mut arguments = PgArguments::default();
        for index in 0..COLUMNS {
            // Numbers always encode, and no caller has more rows than an array can hold.
            let _ = arguments.add(column(&self.0, |row| row[index]));
        }
        arguments
    }
}

impl<const COLUMNS: usize> IntoArguments<Sqlite> for Rows<COLUMNS> {
    fn into_arguments(self) -> SqliteArguments {
        let mut arguments = SqliteArguments::default();
        // A text always encodes.
        let _ = arguments.add(json(&self.0, |row| &row[..]));
        arguments
    }
}

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
