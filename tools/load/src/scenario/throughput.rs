//! Scenarios that measure throughput: to many receivers, and through the database.

use super::{
    super::{
        batch,
        clients::{Outcome, Pace, Plan},
        database::Store,
        procfs,
        report::figure,
    },
    Turn, load, reference,
};
use std::time::Duration;

const LASTS: Duration = Duration::from_secs(5);
const WINDOW: Pace = Pace::Window(16);

/// One sender, a thousand receivers.
pub async fn fanout(store: Store) -> Turn {
    let plan = Plan {
        chats: 1,
        clients: 1000,
        senders: 1,
        stalled: false,
        at_once: 100,
    };
    let (ours, _) = load(store, plan, WINDOW, LASTS).await?;
    let limit = reference(plan, WINDOW, LASTS).await?;
    let per_cpu = |outcome: &Outcome| outcome.delivered as f64 / outcome.cpu;
    let per_second = ours.delivered as f64 / ours.seconds;
    Ok(vec![
        figure("deliveries per server CPU-second", per_cpu(&ours)),
        figure("deliveries/s", per_second),
        figure("p99 ms", ours.latency(990)),
        figure("limit: deliveries per CPU-second", per_cpu(&limit)),
        figure("ratio to limit", per_cpu(&ours) / per_cpu(&limit)),
    ])
}

/// Ten clients of one chat, which all send as fast as their messages come back. On Postgres, the rate
/// of plain batches in the database is the second yardstick.
pub async fn durable(store: Store) -> Turn {
    let plan = Plan {
        chats: 1,
        clients: 10,
        senders: 10,
        stalled: false,
        at_once: 10,
    };
    let postgres = procfs::postgres_cpu();
    let (ours, _) = load(store, plan, WINDOW, LASTS).await?;
    let postgres = procfs::postgres_cpu()
        .zip(postgres)
        .map(|(after, before)| after - before);
    let limit = reference(plan, WINDOW, LASTS).await?;
    let per_second = |outcome: &Outcome| outcome.sent as f64 / outcome.seconds;
    let rate = per_second(&ours);
    let mut figures = vec![
        figure("messages/s", rate),
        figure("p50 ms", ours.latency(500)),
        figure("p99 ms", ours.latency(990)),
        figure("server CPU s", ours.cpu),
        figure("limit: messages/s", per_second(&limit)),
        figure("ratio to limit", rate / per_second(&limit)),
    ];
    if store == Store::Postgres {
        let rows = batch::rows_per_second(LASTS).await?;
        figures.extend(postgres.map(|seconds| figure("Postgres CPU s", seconds)));
        figures.push(figure("batch insert: rows/s", rows));
        figures.push(figure("ratio to batch insert", rate / rows));
    }
    Ok(figures)
}
