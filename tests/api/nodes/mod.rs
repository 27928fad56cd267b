//! Several servers on one Postgres, linked by NATS, are as one; and where the link fails, the
//! database makes up for it.

mod clocks;
mod cluster;
mod controls;
mod delivery;
mod healing;
mod locks;
mod presence;
mod processes;
mod proxied;
mod roles;
mod slow;
mod start;

use cluster::Cluster;
pub use cluster::until_link;

/// Makes a test of each function. They are about Postgres alone: SQLite has one server.
macro_rules! on_postgres {
    ($($test:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test().await;
            })*
        }
    };
}
pub(crate) use on_postgres;
