//! The plumbing of the tests, the fault checker and the benchmark: servers, clients, databases,
//! proxies and brokers. The README beside this crate shows a first test.

mod assertions;
mod asyncapi;
mod client;
mod cluster;
mod command;
mod database;
mod disk;
mod nats;
mod nginx;
mod openapi;
mod person;
mod postgres;
mod postgres_pair;
mod process;
mod program;
mod prose;
mod proxy;
mod raw_http;
mod raw_socket;
mod room;
mod server;
mod socket;
pub mod sql;

pub use assertions::{assert_keys, assert_now, field};
pub use asyncapi::Document;
pub use client::{Client, Reply};
pub use cluster::{Cluster, passing, until_link};
pub use command::Ended;
pub use database::{Database, Store};
pub use disk::Disk;
pub use nats::Nats;
pub use nginx::Nginx;
pub use openapi::{Operation, operations, paths};
pub use person::{PASSWORD, Person};
pub use postgres::Postgres;
pub use postgres_pair::{Loss, PostgresPair};
pub use process::{Process, built_server, server_binary};
pub use program::{free_port, nats_server, program};
pub use prose::riddles;
pub use proxy::{Proxy, Way};
pub use raw_http::{Answer, RawHttp};
pub use raw_socket::{RawSocket, masked};
pub use room::{Room, change, history, number, told};
pub use server::Server;
pub use socket::Socket;

pub use rstest::rstest;
pub use rstest_reuse::apply;

use std::{future::Future, time::Duration};

/// The tables as the script of the original API makes them.
pub const ORIGINAL_TABLES: &str = include_str!("original.sql");

/// The limit of every wait in a test. It is far above the time of any event, also on a machine that
/// builds something else meanwhile, so that only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for an event; fails the test if the event does not come.
pub async fn patiently<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Runs a test on SQLite and on Postgres: `#[apply(both_stores)] async fn name(store: Store)`.
/// Plain `cargo test` runs the case of SQLite, which needs nothing installed.
#[rstest_reuse::template]
#[export]
#[rstest]
#[case::sqlite(testkit::Store::Sqlite)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
#[case::postgres(testkit::Store::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores(#[case] store: Store) {}
