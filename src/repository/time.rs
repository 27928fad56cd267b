//! Encodes and decodes `Timestamp` columns. A column may hold values that the API cannot represent:
//! `infinity` or the year 294,276 on Postgres, NULL in an adopted database, any text on SQLite. Decoding
//! never fails for such a value, so that one bad row does not make its page unreadable. A time out of range
//! decodes as the first or last moment of the years 1 to 9999; NULL and invalid values decode as 1970. The
//! stored value does not change.

use crate::model::Timestamp;
use chrono::{DateTime, Utc};
use sqlx::{
    Database, Decode, Encode, Postgres, Sqlite, Type, ValueRef,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef},
    sqlite::{SqliteTypeInfo, SqliteValueRef},
};

/// Microseconds from 1970 to 2000. Postgres counts from 2000, `Timestamp` counts from 1970.
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
    /// Decodes the binary form without chrono, because the driver's decoder panics if the time is out of
    /// chrono's range.
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

    /// Accepts any column type, because an SQLite column can hold values of any type.
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
