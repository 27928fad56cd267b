//! Points in time, with their database and JSON forms.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use std::time::Duration;
use utoipa::ToSchema;

/// Point in time, in microseconds in the database (the resolution of Postgres) and as RFC 3339 in UTC with
/// milliseconds in JSON (`2026-01-31T09:00:00.000Z`). The range is the years 1 to 9999: RFC 3339 has years of
/// four digits, and SQLite compares the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(
    value_type = String,
    format = DateTime,
    description = "RFC 3339, in UTC, with milliseconds: `2026-01-31T09:00:00.000Z`."
)]
pub struct Timestamp(DateTime<Utc>);

/// First microsecond of the year 1 and last of the year 9999, in microseconds since 1970.
const RANGE: (i64, i64) = (-62_135_596_800_000_000, 253_402_300_799_999_999);

impl Timestamp {
    /// Placeholder for a time that cannot be read: 1970.
    pub const UNKNOWN: Self = Self(DateTime::UNIX_EPOCH);

    /// Returns the present time, cut to microseconds so that Postgres and SQLite return the written value.
    #[must_use]
    pub fn now() -> Self {
        Self::of(Utc::now())
    }

    /// Returns a time cut to microseconds and limited to the range.
    #[must_use]
    pub fn of(time: DateTime<Utc>) -> Self {
        Self::from_micros(time.timestamp_micros())
    }

    /// Returns the time that many microseconds after 1970, limited to the range.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let micros = micros.clamp(RANGE.0, RANGE.1);
        Self(DateTime::from_timestamp_micros(micros).unwrap_or_default())
    }

    /// Returns the time that is later by `time`, limited to the range.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self::from_micros(self.0.timestamp_micros().saturating_add(micros(time)))
    }

    /// Returns the time that is earlier by `time`, limited to the range.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self::from_micros(self.0.timestamp_micros().saturating_sub(micros(time)))
    }

    /// Returns the text of the time in an SQLite column. It equals the text that the driver writes for a
    /// bound time, because SQLite compares texts.
    #[must_use]
    pub fn to_column_text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::AutoSi, false)
    }

    /// Returns the time for binding to a query.
    #[must_use]
    pub fn get(self) -> DateTime<Utc> {
        self.0
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_year_has_four_digits() {
        let shown = |time: Timestamp| serde_json::to_string(&time).unwrap_or_default();
        let last = "\"9999-12-31T23:59:59.999Z\"";
        let first = "\"0001-01-01T00:00:00.000Z\"";
        assert_eq!(shown(Timestamp::from_micros(i64::MAX)), last);
        assert_eq!(shown(Timestamp::from_micros(i64::MIN)), first);
        assert_eq!(shown(Timestamp::of(DateTime::<Utc>::MAX_UTC)), last);
        assert_eq!(shown(Timestamp::of(DateTime::<Utc>::MIN_UTC)), first);
        assert_eq!(shown(Timestamp::now().after(Duration::MAX)), last);
        assert_eq!(shown(Timestamp::now().before(Duration::MAX)), first);
    }

    #[test]
    fn json_has_milliseconds_and_z() {
        let noon = DateTime::from_timestamp_micros(1_767_225_600_123_456).map(Timestamp);
        let json = serde_json::to_string(&noon).unwrap_or_default();
        assert_eq!(json, "\"2026-01-01T00:00:00.123Z\"");
    }
}
