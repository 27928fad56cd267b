//! The scenario that measures a small chat alone, beside a large chat, and beside many small chats with as many
//! deliveries.

use super::{
    super::{
        caller::Caller,
        clients::{Clients, Pace, Plan},
        database::Store,
        probe::{Measured, Member, Probe},
        report::{Figure, figure},
        thread,
    },
    TestBed, Turn,
};
use std::time::Duration;
use testkit::sql;
use tokio::{sync::oneshot, time::sleep};

/// One chat of a thousand, with one sender.
const LARGE: Plan = Plan {
    chats: 1,
    clients: 1000,
    senders: 1,
    stalled: false,
    at_once: 100,
};
/// The same members in chats of ten, with one sender in each.
const SPREAD: Plan = Plan {
    chats: 100,
    clients: 10,
    ..LARGE
};
/// The deliveries per second beside the small chat.
const DELIVERIES: u32 = 50_000;
/// The messages per second in the small chat.
const RATE: u32 = 20;
const LASTS: Duration = Duration::from_secs(8);
/// The time from the start of the load beside the small chat to the measurement, and from the end of the
/// measurement to the end of that load.
const MARGIN: Duration = Duration::from_secs(1);
/// The small chat and its members, which no plan uses.
const CHAT: i64 = 1000;
const USERS: [i64; 2] = [2001, 2002];

/// Measures the small chat alone and beside both loads.
pub async fn neighbour(store: Store) -> Turn {
    let alone = measure(store, None).await?;
    let beside_large = measure(store, Some(LARGE)).await?;
    let beside_many = measure(store, Some(SPREAD)).await?;
    let names = [
        "alone: ack p50 ms",
        "alone: ack p99 ms",
        "alone: delivery p50 ms",
        "alone: delivery p99 ms",
        "beside 1 chat of 1,000: ack p50 ms",
        "beside 1 chat of 1,000: ack p99 ms",
        "beside 1 chat of 1,000: delivery p50 ms",
        "beside 1 chat of 1,000: delivery p99 ms",
        "beside 100 chats of 10: ack p50 ms",
        "beside 100 chats of 10: ack p99 ms",
        "beside 100 chats of 10: delivery p50 ms",
        "beside 100 chats of 10: delivery p99 ms",
    ];
    let values =
        [alone, beside_large, beside_many]
            .into_iter()
            .flat_map(|Measured { acks, deliveries }| {
                [&acks, &deliveries]
                    .map(|one| [one.ms(500), one.ms(990)])
                    .concat()
            });
    let figures = names.into_iter().zip(values);
    Ok(figures
        .map(|(name, value)| figure(name, value))
        .collect::<Vec<Figure>>())
}

/// Measures the small chat on a new server, beside this load if there is one.
async fn measure(store: Store, beside: Option<Plan>) -> Result<Measured, String> {
    let plan = beside.unwrap_or(LARGE);
    let bed = TestBed::new(store, plan.chats, plan.clients).await?;
    add_small_chat(&bed.database.url)
        .await
        .map_err(|e| format!("the small chat cannot be added: {e}"))?;
    let port = bed.server.port;
    let members = USERS.map(|user| Member {
        user,
        caller: Caller::LOCAL,
    });
    let probe = Probe::connect(port, CHAT, &members).await?;
    let (measured, beside) = match beside {
        None => (probe.run(RATE, LASTS).await?, 0),
        Some(plan) => measure_beside(&probe, port, plan).await?,
    };
    drop(probe);
    let sent = u64::from(RATE) * LASTS.as_secs();
    bed.tear_down(sent + beside).await?;
    Ok(measured)
}

/// Measures the small chat beside a load. Also returns the number of messages of that load.
async fn measure_beside(probe: &Probe, port: u16, plan: Plan) -> Result<(Measured, u64), String> {
    let pace = Pace::Rate(DELIVERIES / plan.clients as u32);
    let (told, connected) = oneshot::channel();
    let load = thread::apart(move || async move {
        let clients = Clients::connect(&[port], plan, pace, true).await?;
        // Without a receiver the measurement has failed, and says why.
        let _ = told.send(());
        let outcome = clients.run(pace, LASTS + 2 * MARGIN, &[]).await?;
        Ok(outcome.sent)
    });
    if connected.await.is_err() {
        thread::result(load).await?;
        return Err("the load beside the small chat did not begin".to_owned());
    }
    sleep(MARGIN).await;
    let measured = probe.run(RATE, LASTS).await;
    let sent = thread::result(load).await?;
    Ok((measured?, sent))
}

async fn add_small_chat(url: &str) -> sqlx::Result<()> {
    let since = "'2026-01-01T00:00:00.000+00:00'";
    let mut statements = format!(
        "INSERT INTO chat (chat_id, chat_name, created_at) VALUES ({CHAT}, 'small', {since});"
    );
    for user in USERS {
        statements.push_str(&format!(
            "INSERT INTO customer (customer_id, username, password, created_at) \
                VALUES ({user}, 'small {user}', 'none', {since}); \
             INSERT INTO customer_chat (customer_id, chat_id, role, joined_at) \
                VALUES ({user}, {CHAT}, 'participant', {since});"
        ));
    }
    sql::execute(url, &statements).await.map(drop)
}
