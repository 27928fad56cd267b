//! Points in time in columns. A database may hold what the API cannot say: Postgres `infinity` and the
//! year 294,276, an adopted database NULL, an SQLite file any text. Each reads as a time, so that one
//! such row hides no other: a time out of range as the first or the last one, anything else as 1970.
//! The row keeps its value.

use crate::model::Timestamp;
use chrono::{DateTime, Utc};
use sqlx::{
    Database, Decode, Encode, Postgres, Sqlite, Type, ValueRef,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef},
    sqlite::{SqliteTypeInfo, SqliteValueRef},
};

/// Microseconds from 1970 to 2000, from which Postgres counts.
const TO_2000: i64 = 946_684_800_000_000;

type Chrono = DateTime<Utc>;

impl Type<Postgres> for Timestamp {
    fn type_info() -> PgTypeInfo {
        <Chrono as Type<Postgres>>::type_info()
    }

    fn compatible(column: &PgTypeInfo) -> bool {
        <Chrono as Type<Postgres>>::compatible(column)
    }
}

impl PgHasArrayType for Timestamp {
    fn array_type_info() -> PgTypeInfo {
        <Chrono as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Timestamp {
    fn encode_by_ref(
        &self,
        buffer: &mut <Postgres as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.get(), buffer)
    }
}

impl<'r> Decode<'r, Postgres> for Timestamp {
    /// Not by way of chrono: the driver adds Postgres' number to the year 2000, and panics where the
    /// sum is out of range.
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.is_null() {
            return Ok(Self::UNKNOWN);
        }
        match value.format() {
            PgValueFormat::Binary => {
                let since_2000 = <i64 as Decode<Postgres>>::decode(value)?;
                Ok(Self::from_micros(since_2000.saturating_add(TO_2000)))
            }
            PgValueFormat::Text => {
                let time = <Chrono as Decode<Postgres>>::decode(value);
                Ok(time.map_or(Self::UNKNOWN, Self::of))
            }
        }
    }
}

impl Type<Sqlite> for Timestamp {
    fn type_info() -> SqliteTypeInfo {
        <Chrono as Type<Sqlite>>::type_info()
    }

    /// A column of SQLite holds values of any type.
    fn compatible(_column: &SqliteTypeInfo) -> bool {
        true
    }
}

impl Encode<'_, Sqlite> for Timestamp {
    fn encode_by_ref(
        &self,
        buffer: &mut <Sqlite as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.get(), buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for Timestamp {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
        let time = <Chrono as Decode<Sqlite>>::decode(value);
        Ok(time.map_or(Self::UNKNOWN, Self::of))
    }
}
