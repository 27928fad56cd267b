//! The promise: an acknowledged message is never lost, doubled or reordered, while clients and
//! servers are away, slow, repeat requests, or stop.

mod endings;
mod few_connections;
mod idempotency;
mod resume;
mod shutdown;
mod slow_sockets;
mod store_outage;
mod unconfirmed;
