//! The scenario that measures ten users while one account attacks the server, within the default limits.

mod database;

use super::{
    super::{
        attack::{Answers, Attack},
        caller::Caller,
        clients::counts_from,
        database::Store,
        growth::{MEMBER_OF_ALL, Sizes},
        http::Http,
        large::{LargeDatabase, Layout},
        latencies::Latencies,
        probe::{Measured, Member, Probe},
        process::Process,
        thread,
    },
    MIB,
};
use database::Ids;
use futures_util::future::try_join_all;
use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The time of each measurement.
const LASTS: Duration = Duration::from_secs(10);
/// The time between two measurements, in which the attacker may send a thousand requests at once again.
const REST: Duration = Duration::from_secs(10);
/// The messages per second of the victims, and their requests per second, in total.
const RATE: u32 = 20;
/// Their address. The attacker is at 127.0.0.1.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The maximum peak of the server's resident memory, in bytes.
const MEMORY: f64 = 300.0 * MIB;

/// The latencies of the victims, and the server's memory.
struct Measurement {
    messages: Latencies,
    requests: Latencies,
    /// The peak of the resident memory, in bytes.
    peak: f64,
}

/// The server and its callers.
struct Scene {
    server: Process,
    probe: Probe,
    victims: Vec<Member>,
    attacker: Caller,
}

/// Builds the database, starts the server, and prints the latencies of the victims.
///
/// # Errors
/// A victim is refused, or the server takes too much memory.
pub async fn attacks(store: Store, sizes: Sizes) -> Result<(), String> {
    let ids = Ids::new(sizes);
    let layout = Layout {
        scenario: "attacks",
        sizes,
        additions: ids.additions(store),
        users: ids.victims().chain([MEMBER_OF_ALL]).collect(),
    };
    let large = LargeDatabase::build(store, layout).await?;
    let server = Process::start(&large.database, &[("AUTH", "required")]).await?;
    let victim = |user| Member {
        user,
        caller: large.caller(user, ADDRESS),
    };
    let victims: Vec<Member> = ids.victims().map(victim).collect();
    let mut scene = Scene {
        probe: Probe::connect(server.port, ids.chat, &victims).await?,
        server,
        victims,
        attacker: large.caller(MEMBER_OF_ALL, Ipv4Addr::LOCALHOST),
    };
    let measured = scene.measure(&ids).await;
    scene.server.must_answer().await?;
    drop(scene);
    large.remove().await?;
    let wrong = measured?;
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong.join("\n")),
    }
}

impl Scene {
    /// Measures the victims alone and under each attack. Returns the attacks that took too much memory.
    async fn measure(&self, ids: &Ids) -> Result<Vec<String>, String> {
        // The server compares the search index with the log at its start.
        sleep(REST).await;
        let (quiet, _) = self.measure_one(None).await?;
        println!("attacks: quiet: {}", text(&quiet));
        let mut wrong = Vec::new();
        for attack in ids.attacks() {
            let name = attack.name;
            sleep(REST).await;
            let (measurement, answers) = self
                .measure_one(Some(attack))
                .await
                .map_err(|e| format!("{name}: {e}"))?;
            let ratio = |under: &Latencies, quiet: &Latencies| under.ms(990) / quiet.ms(990);
            let Answers {
                answered,
                too_fast,
                unavailable,
                unanswered,
            } = answers;
            println!(
                "attacks: {name}: {}, ratios of p99 {:.2} and {:.2}; the attacker got {answered} answers, {too_fast} \
                 times 429, {unavailable} times 503, {unanswered} times nothing",
                text(&measurement),
                ratio(&measurement.messages, &quiet.messages),
                ratio(&measurement.requests, &quiet.requests),
            );
            if measurement.peak > MEMORY {
                wrong.push(format!(
                    "{name}: the server takes {:.0} MiB, more than {:.0}",
                    measurement.peak / MIB,
                    MEMORY / MIB
                ));
            }
        }
        Ok(wrong)
    }

    /// Measures the victims, under an attack if there is one.
    async fn measure_one(&self, attack: Option<Attack>) -> Result<(Measurement, Answers), String> {
        let port = self.server.port;
        self.server.forget_peak()?;
        let attacker = self.attacker.clone();
        let attack = attack.map(|attack| {
            thread::apart(move || async move {
                let answers = attack.run(port, &attacker, LASTS).await;
                answers.map_err(|e| format!("the attack ended: {e}"))
            })
        });
        let (measured, requests) = tokio::join!(self.probe.run(RATE, LASTS), self.request());
        let answers = match attack {
            Some(attack) => thread::result(attack).await?,
            None => Answers::default(),
        };
        let Measured { deliveries, .. } = measured?;
        let measurement = Measurement {
            messages: deliveries,
            requests: requests?,
            peak: self.server.peak(),
        };
        Ok((measurement, answers))
    }

    /// Requests the chats of the victims, each with a connection of its own. Returns the latencies.
    async fn request(&self) -> Result<Latencies, String> {
        let begin = Instant::now();
        let period = Duration::from_secs(1) * self.victims.len() as u32 / RATE;
        let asking = self.victims.iter().enumerate().map(|(n, victim)| {
            let first = begin + period * n as u32 / self.victims.len() as u32;
            ask(self.server.port, victim, first, period)
        });
        let times = try_join_all(asking).await;
        let times = times.map_err(|e| format!("a request of a victim failed: {e}"))?;
        Ok(Latencies::of(&times.concat()))
    }
}

/// Requests a user's chats once in a period, from `first` on. A late request counts from the time it was due.
async fn ask(
    port: u16,
    Member { user, caller }: &Member,
    first: Instant,
    period: Duration,
) -> std::io::Result<Vec<Duration>> {
    let path = format!("/user/{user}/chat");
    let mut http = Http::open_as(port, caller).await?;
    let mut times = Vec::new();
    let (mut due, end) = (first, first + LASTS);
    while due < end {
        sleep(due.saturating_duration_since(Instant::now())).await;
        let counts = counts_from(due);
        http.get(&path).await?;
        times.push(counts.elapsed());
        due += period;
    }
    Ok(times)
}

fn text(measurement: &Measurement) -> String {
    format!(
        "messages {}, requests {}, peak of memory {:.0} MiB",
        measurement.messages.text(),
        measurement.requests.text(),
        measurement.peak / MIB
    )
}
