//! Tests the server's promise by injecting faults. Clients send, edit, delete, resume and lose their
//! connections. Admins sign users up and run chats. Meanwhile the server, its database and its disk are
//! killed, stopped, frozen, filled, failed and restored. At the end every answer and every frame is
//! compared with the stored data.
//!
//! ```text
//! cargo build --release -p messaging-api -p checker
//! cargo run --release -p checker -- --seconds 60
//! scripts/with-postgres cargo run --release -p checker -- --store postgres
//! scripts/with-postgres cargo run --release -p checker -- --store postgres --nodes 3
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs
)]

mod acts;
mod backup;
mod check;
mod client;
mod directory;
mod disk;
mod era;
mod journal;
mod nats;
mod nemesis;
mod network;
mod old_epoch;
mod options;
mod phase;
mod postgres;
mod presence;
mod probe;
mod record;
mod report;
mod rest;
mod run;
mod server;
mod socket;
mod subscriptions;
mod violation;
mod volume;
mod wire;
mod work;

use clap::Parser;
use options::Options;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    volume::use_own_mounts();
    let seed = options
        .seed
        .unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    eprintln!("checker: --seed {seed}");
    let report = match run::run(&options, seed).await {
        Ok(report) => report,
        Err(trouble) => {
            eprintln!("checker: cannot go on: {trouble}");
            return ExitCode::from(2);
        }
    };
    if options.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&report).unwrap_or_default()
        );
    } else {
        print!("{report}");
    }
    if let Some(why) = report.inconclusive(&options) {
        eprintln!("checker: the run proves nothing: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::from(report.violations > 0))
}
