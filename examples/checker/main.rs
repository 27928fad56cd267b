//! Proves the server's promise by trying to break it. Clients send, edit, delete, resume and lose
//! their connections; the server and its database are killed, stopped and frozen meanwhile; at the
//! end everything that anybody was told or saw is held against what is stored.
//!
//! ```text
//! cargo build --release
//! cargo run --release --example checker -- --seconds 60
//! scripts/with-postgres cargo run --release --example checker -- --store postgres
//! scripts/with-postgres cargo run --release --example checker -- --store postgres --nodes 3
//! ```

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    missing_docs
)]

mod check;
mod client;
mod journal;
mod nats;
mod nemesis;
mod network;
mod options;
mod phase;
mod places;
mod postgres;
mod presence;
// The tests break links with the same one.
#[path = "../../tests/api/harness/proxy.rs"]
mod proxy;
mod record;
mod report;
mod rest;
mod server;
mod socket;
mod wire;
mod work;

use clap::Parser;
use client::Client;
use journal::Journal;
use nemesis::{Faults, Nemesis};
use network::Network;
use options::{Options, StoreKind};
use phase::Phase;
use postgres::Postgres;
use record::{ChatId, Kind, Outcome, Violation};
use report::Report;
use rest::{Rest, Row};
use serde_json::json;
use server::Server;
use std::{
    collections::BTreeMap, net::SocketAddr, path::Path, process::ExitCode, sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet, time};

/// How often the final resumes are repeated because the store moved on meanwhile.
const ROUNDS: u32 = 5;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options
        .seed
        .unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    eprintln!("checker: --seed {seed}");
    let report = match run(&options, seed).await {
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
    if let Some(why) = report.too_little(options.calm) {
        eprintln!("checker: the run proves nothing: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(u8::from(report.violations > 0))
}

async fn run(options: &Options, seed: u64) -> Result<Report, String> {
    let mut folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    if options.keep {
        folder.disable_cleanup(true);
        eprintln!("checker: keeping {}", folder.path().display());
    }
    let (mut servers, network) = prepare(options, folder.path()).await?;
    for server in &mut servers {
        server.start().await?;
    }
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let rest = Rest::new(&addresses)?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let (phases, phase) = watch::channel(Phase::Working);
    let chats = make_chats(&rest, options.chats).await?;
    let mut clients = JoinSet::new();
    for index in 0..options.clients {
        let client = Client {
            addresses: addresses.clone(),
            rest: rest.clone(),
            chats: chats.clone(),
            rng: rng.fork(),
            phase: phase.clone(),
            journal: Journal::new(index, make_user(&rest, index).await?),
        };
        clients.spawn(client.run());
    }
    let mut closer = Journal::new(options.clients, make_user(&rest, options.clients).await?);
    let nemesis = Nemesis {
        servers,
        network,
        postgres: (options.store == StoreKind::Postgres)
            .then(Postgres::from_environment)
            .flatten(),
        rng: rng.fork(),
        faults: Faults::default(),
        mends: Vec::new(),
        clocks: options.faketime.is_some(),
        violations: Vec::new(),
    };
    let nemesis = tokio::spawn(nemesis.run(phase, options.calm));
    time::sleep(Duration::from_secs(options.seconds)).await;
    phases.send_replace(Phase::Draining);
    let mut nemesis = nemesis.await.map_err(|e| e.to_string())??;

    let lasts = say_last(&rest, &mut closer, &chats).await?;
    phases.send_replace(Phase::Closing(Arc::new(lasts)));
    let mut clients = clients.join_all().await;
    let rows = settle(&rest, &mut clients, &chats).await?;

    let users: Vec<i64> = clients.iter().map(|client| client.journal.user).collect();
    let present = presence::check(&addresses, &chats, &users, closer.user).await;

    let mut journals: Vec<Journal> = clients.into_iter().map(|client| client.journal).collect();
    nemesis.violations.extend(present);
    journals.push(closer);
    journals.sort_by_key(|journal| journal.client);
    Ok(judge(
        options,
        seed,
        nemesis.all_faults(),
        nemesis.violations,
        journals,
        &rows,
    ))
}

/// The servers, not started, and what links them, which is.
async fn prepare(
    options: &Options,
    folder: &Path,
) -> Result<(Vec<Server>, Option<Network>), String> {
    let url = match options.store {
        StoreKind::Sqlite if options.nodes > 1 => {
            return Err("several servers need --store postgres".to_owned());
        }
        StoreKind::Sqlite => format!("sqlite://{}/messaging.db", folder.display()),
        StoreKind::Postgres => postgres::new_database().await?,
    };
    let server = || Server::new(options.server()?, folder, &url);
    if options.nodes == 1 {
        return Ok((vec![server()?], None));
    }
    let network = Network::new(options.nodes, folder).await?;
    let servers = (0..options.nodes as usize)
        .map(|n| Ok(server()?.linked(n, network.url(n), options.faketime.clone())));
    let servers = servers.collect::<Result<Vec<Server>, String>>()?;
    Ok((servers, Some(network)))
}

async fn make_chats(rest: &Rest, count: u32) -> Result<Vec<ChatId>, String> {
    let mut chats = Vec::new();
    for n in 0..count {
        let body = json!({ "chatName": format!("chat {n}") });
        chats.push(rest.make("/chat", body, "chatId").await?);
    }
    Ok(chats)
}

async fn make_user(rest: &Rest, n: u32) -> Result<i64, String> {
    let body = json!({ "username": format!("user {n}"), "password": "a long password" });
    rest.make("/user", body, "customerId").await
}

/// Sends each chat's last message; gives their numbers. Whatever was accepted before is committed
/// before, or never.
async fn say_last(
    rest: &Rest,
    closer: &mut Journal,
    chats: &[ChatId],
) -> Result<BTreeMap<ChatId, i64>, String> {
    let mut lasts = BTreeMap::new();
    for &chat in chats {
        let op = closer.begin(chat, Kind::Send);
        for _ in 0..60 {
            rest.send(closer, op).await;
            if closer.op(op).outcome() == Outcome::Acked {
                break;
            }
            time::sleep(Duration::from_millis(500)).await;
        }
        let ack = closer.op(op).acks.first().and_then(|ack| ack.seq);
        lasts.insert(
            chat,
            ack.ok_or("the server does not recover: a send stays unanswered")?,
        );
    }
    Ok(lasts)
}

/// Lets every client resume for the last time, then reads the store. What a broken connection had
/// left in the server's buffers may still come meanwhile: then once more.
async fn settle(
    rest: &Rest,
    clients: &mut Vec<Client>,
    chats: &[ChatId],
) -> Result<BTreeMap<ChatId, Vec<Row>>, String> {
    let mut rows = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut resuming = JoinSet::new();
        for mut client in clients.drain(..) {
            resuming.spawn(async move {
                client.resume_all().await;
                client
            });
        }
        *clients = resuming.join_all().await;
        for &chat in chats {
            rows.insert(chat, rest.log(chat, 0).await?);
        }
        let head = |chat: &ChatId| rows[chat].last().map(|row| row.seq);
        let mut finals = clients.iter().flat_map(|client| &client.journal.finals);
        if finals.all(|(chat, seq)| head(chat) == Some(*seq)) {
            break;
        }
    }
    Ok(rows)
}

fn judge(
    options: &Options,
    seed: u64,
    faults: Faults,
    mut others: Vec<Violation>,
    mut journals: Vec<Journal>,
    rows: &BTreeMap<ChatId, Vec<Row>>,
) -> Report {
    let mut report = Report::new(options, seed, faults);
    report.stored_messages = rows.values().map(Vec::len).sum();
    for journal in &mut journals {
        report.count(journal);
        others.append(&mut journal.violations);
    }
    report.judge(check::check(&journals, rows), others);
    report
}
