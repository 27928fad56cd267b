//! Scenarios that measure latency at a fixed rate.

use super::{
    super::{
        clients::{Pace, Plan},
        database::Store,
        report::figure,
    },
    MIB, Turn, load,
};
use std::time::Duration;

/// The maximum extra memory that a member that does not read may cost, in bytes: its queue, but not all
/// messages sent meanwhile.
const STALLED_BOUND: f64 = 32.0 * MIB;

/// A hundred chats of ten, with one sender in each and `rate` messages per second in total.
pub async fn rooms(store: Store, rate: u32) -> Turn {
    let plan = Plan {
        chats: 100,
        clients: 10,
        senders: 1,
        stalled: false,
        at_once: 100,
    };
    let lasts = Duration::from_secs(5);
    let (outcome, _) = load(store, plan, Pace::Rate(rate), lasts).await?;
    Ok(vec![
        figure("messages/s", outcome.sent as f64 / outcome.seconds),
        figure("p50 ms", outcome.latency(500)),
        figure("p99 ms", outcome.latency(990)),
        figure("server CPU s", outcome.cpu),
    ])
}

/// A small community: 20 chats of ten, 200 messages a second.
pub async fn modest(store: Store) -> Turn {
    let plan = Plan {
        chats: 20,
        clients: 10,
        senders: 1,
        stalled: false,
        at_once: 100,
    };
    let (outcome, _) = load(store, plan, Pace::Rate(200), Duration::from_secs(10)).await?;
    Ok(vec![
        figure("p50 ms", outcome.latency(500)),
        figure("p99 ms", outcome.latency(990)),
        figure("server CPU s", outcome.cpu),
    ])
}

/// A chat of 100 at 1,000 messages per second: first with all members reading, then with one that does
/// not.
pub async fn stalled(store: Store) -> Turn {
    let plan = |stalled| Plan {
        chats: 1,
        clients: 100,
        senders: 10,
        stalled,
        at_once: 100,
    };
    let (pace, lasts) = (Pace::Rate(1000), Duration::from_secs(10));
    let (all_read, memory) = load(store, plan(false), pace, lasts).await?;
    let (one_stalls, grown) = load(store, plan(true), pace, lasts).await?;
    if grown - memory > STALLED_BOUND {
        let (grown, memory) = (grown / MIB, memory / MIB);
        return Err(format!(
            "a member that does not read makes the server hold {grown:.1} MiB instead of {memory:.1}"
        ));
    }
    Ok(vec![
        figure("all read: p99 ms", all_read.latency(990)),
        figure("one stalls: p99 ms", one_stalls.latency(990)),
        figure("all read: resident MiB", memory / MIB),
        figure("one stalls: resident MiB", grown / MIB),
    ])
}
