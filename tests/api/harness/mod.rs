//! What the tests share: a server with a database of its own, clients, and the two stores.

mod client;
mod command;
mod database;
mod document;
mod look;
mod nats;
mod nginx;
mod openapi;
mod person;
mod postgres;
mod process;
mod proxy;
mod room;
mod server;
mod socket;
mod wire;

pub use client::{Client, Reply};
pub use database::{Database, Store};
pub use document::Document;
pub use look::{assert_keys, assert_now, field};
pub use nats::Nats;
pub use nginx::Nginx;
pub use openapi::{Operation, operations, paths};
pub use person::{PASSWORD, Person};
pub use postgres::Postgres;
pub use process::Process;
pub use proxy::{Proxy, Way};
pub use room::{Room, change, history, number};
pub use server::Server;
pub use socket::Socket;
pub use wire::{Wire, masked};

pub use rstest::rstest;
pub use rstest_reuse::apply;

use std::{future::Future, time::Duration};

/// How long a test waits for what must happen. Far over what anything takes, on a machine that
/// builds something else meanwhile too, so that only a fault meets it.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for what must happen; fails the test where it does not.
pub async fn patiently<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// Runs a test on SQLite and on Postgres.
#[rstest_reuse::template]
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_stores(#[case] store: Store) {}
