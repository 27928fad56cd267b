//! The benchmarks: the server's binary under load, beside yardsticks that are measured in the
//! same minutes. The README of this crate explains each figure.

#![allow(clippy::print_stdout, clippy::print_stderr, unreachable_pub)]

mod attack;
mod batch;
mod caller;
mod client;
mod clients;
mod counters;
mod database;
mod dialog;
mod growth;
mod http;
mod large;
mod latencies;
mod marker;
mod probe;
mod process;
mod procfs;
mod reference;
mod report;
mod scenario;
mod thread;
mod websocket;

use clap::{Parser, ValueEnum};
use database::Store;
use std::process::ExitCode;
use tokio::{runtime, task::LocalSet};

/// Puts the server under load and prints figures; fails where a message was lost, doubled or
/// reordered.
#[derive(Parser)]
#[command(name = "load")]
struct Args {
    /// What to measure
    #[arg(value_enum, required_unless_present = "reference")]
    scenario: Option<Scenario>,

    /// Where the server keeps its data; postgres needs scripts/with-postgres before the command
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Store,

    /// How often to measure; medians are printed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    repeats: u16,

    /// Messages a second in the scenario rooms
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,

    /// Messages in the scenarios of a large database
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(i64).range(20_000..))]
    messages: i64,

    /// Chats in the scenarios of a large database
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(i64).range(1000..))]
    chats: i64,

    /// Messages of the largest chat in the scenarios of a large database; at most half of all messages
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(i64).range(1000..))]
    largest: i64,

    /// Print JSON, one line for each scenario
    #[arg(long)]
    json: bool,

    /// Be the reference server on this port
    #[arg(long, hide = true)]
    reference: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, ValueEnum)]
enum Scenario {
    /// One sender, a thousand receivers
    Fanout,
    /// Ten senders flat out, every message stored
    Durable,
    /// A hundred chats at a fixed rate
    Rooms,
    /// A small community
    Modest,
    /// Ten thousand connections that do nothing
    Idle,
    /// A thousand clients come and go at once, ten times
    Joins,
    /// One member stops reading
    Stalled,
    /// GET /user/{id}
    Rest,
    /// Logins while ten thousand connections do nothing
    Logins,
    /// A small chat beside a chat of a thousand
    Neighbour,
    /// One server and several that are linked, on Postgres
    Nodes,
    /// From one linked server to another, on Postgres
    Hop,
    /// The cost of chats without a client on a linked server, on Postgres
    Bystander,
    /// What every statement reads in a large database; fails where it is too much
    Growth,
    /// Reads in a chat of 2 million messages and in one of 200; fails where the large chat is slower
    Reads,
    /// A few users while one account attacks; fails where the server takes too much memory
    Attacks,
    /// All of these but those of several servers and of a large database
    All,
}

impl Scenario {
    async fn turn(self, args: &Args) -> scenario::Turn {
        match self {
            Self::Fanout => scenario::fanout(args.store).await,
            Self::Durable => scenario::durable(args.store).await,
            Self::Rooms => scenario::rooms(args.store, args.rate).await,
            Self::Modest => scenario::modest(args.store).await,
            Self::Idle => scenario::idle(args.store).await,
            Self::Joins => scenario::joins(args.store).await,
            Self::Stalled => scenario::stalled(args.store).await,
            Self::Rest => scenario::rest(args.store).await,
            Self::Logins => scenario::logins(args.store).await,
            Self::Neighbour => scenario::neighbour(args.store).await,
            Self::Nodes => scenario::nodes().await,
            Self::Hop => scenario::hop().await,
            Self::Bystander => scenario::bystander().await,
            Self::Growth | Self::Reads | Self::Attacks | Self::All => Ok(Vec::new()),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Each of 10,000 connections takes one file descriptor.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        eprintln!("load: the limit of open files stays as it is: {error}");
    }
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("load: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match LocalSet::new().block_on(&runtime, run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("load: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), String> {
    if let Some(port) = args.reference {
        return reference::serve(port).await.map_err(|e| e.to_string());
    }
    let sizes = growth::Sizes {
        messages: args.messages,
        chats: args.chats,
        largest: args.largest,
    };
    match args.scenario {
        Some(Scenario::Growth) => return Box::pin(growth::run(args.store, sizes)).await,
        Some(Scenario::Reads) => return Box::pin(scenario::reads(args.store, sizes)).await,
        Some(Scenario::Attacks) => return Box::pin(scenario::attacks(args.store, sizes)).await,
        _ => {}
    }
    let chosen: Vec<Scenario> = match args.scenario {
        Some(Scenario::All) | None => Scenario::value_variants()
            .iter()
            .filter(|scenario| **scenario < Scenario::Nodes)
            .copied()
            .collect(),
        Some(one) => vec![one],
    };
    let mut wrong = Vec::new();
    for scenario in chosen {
        wrong.extend(measure(scenario, args).await.err());
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\nload: ")),
    }
}

async fn measure(scenario: Scenario, args: &Args) -> Result<(), String> {
    let name = scenario.to_possible_value();
    let name = name.as_ref().map_or("", |value| value.get_name());
    let mut turns = Vec::new();
    for _ in 0..args.repeats {
        let turn = Box::pin(scenario.turn(args)).await;
        turns.push(turn.map_err(|wrong| format!("{name}: {wrong}"))?);
    }
    let figures = report::medians(&turns);
    match args.json {
        true => println!("{}", report::json(name, args.store, turns.len(), &figures)),
        false => println!("{}", report::line(name, args.store, turns.len(), &figures)),
    }
    Ok(())
}
