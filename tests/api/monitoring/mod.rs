//! Metrics, the request log and request ids.

pub(crate) mod metrics;
mod request_ids;
mod request_log;
