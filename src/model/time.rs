//! Points in time, as the database keeps them and as JSON shows them.

use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta, Utc};
use serde::{Serialize, Serializer};
use std::time::Duration;
use utoipa::ToSchema;

/// A point in time: microseconds in the database (what Postgres keeps), RFC 3339 in UTC with
/// milliseconds in JSON (`2026-01-31T09:00:00.000Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, ToSchema)]
#[sqlx(transparent)]
#[schema(
    value_type = String,
    format = DateTime,
    description = "RFC 3339, in UTC, with milliseconds: `2026-01-31T09:00:00.000Z`."
)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The present, cut to microseconds so that both stores give back what was written.
    #[must_use]
    pub fn now() -> Self {
        Self(Utc::now()).truncated()
    }

    fn truncated(self) -> Self {
        let whole = self.0.duration_trunc(TimeDelta::microseconds(1));
        Self(whole.unwrap_or(self.0))
    }

    /// This long after; at the end of time where there is no later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        Self(
            self.0
                .checked_add_signed(time)
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        )
        .truncated()
    }

    /// This long before; at the beginning of time where there is no earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        Self(
            self.0
                .checked_sub_signed(time)
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        )
        .truncated()
    }

    /// As SQLite keeps it: the same text that its driver writes for a bound time.
    #[must_use]
    pub fn to_column_text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::AutoSi, false)
    }

    /// The time itself, to bind to a query.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_milliseconds_and_z() {
        let noon = DateTime::from_timestamp_micros(1_767_225_600_123_456).map(Timestamp);
        let json = serde_json::to_string(&noon).unwrap_or_default();
        assert_eq!(json, "\"2026-01-01T00:00:00.123Z\"");
    }
}
