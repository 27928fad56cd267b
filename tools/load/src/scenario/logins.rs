//! The scenario that measures logins, first on an idle server and then beside 10,000 silent sockets.

use super::{
    super::{database::Store, http::Http, report::figure},
    TestBed, Turn,
    memory::{IDLE, SILENT},
};
use futures_util::future::try_join_all;
use std::time::{Duration, Instant};

const LASTS: Duration = Duration::from_secs(10);
/// The number of connections: more than the passwords hashed at once, so that the server is never idle.
const CONNECTIONS: usize = 8;

/// The credentials of a connection. Each has its own account, because concurrent logins of one account
/// wait for each other.
fn credentials(connection: usize) -> String {
    format!(r#"{{"username":"dora {connection}","password":"correct horse battery"}}"#)
}

/// POST /login on connections that stay open.
pub async fn logins(store: Store) -> Turn {
    let mut bed = TestBed::new(store, IDLE.chats, IDLE.clients).await?;
    let port = bed.server.port;
    let mut http = Http::open(port).await.map_err(failed)?;
    for n in 1..=CONNECTIONS {
        let put = http
            .send("PUT", &format!("/user/{n}"), &credentials(n))
            .await;
        put.map_err(failed)?;
    }
    let (alone, alone_p99) = measure(port).await?;
    let clients = bed.connect(IDLE, SILENT).await?;
    let (beside, beside_p99) = measure(port).await?;
    drop(clients);
    bed.tear_down(0).await?;
    Ok(vec![
        figure("logins/s alone", alone),
        figure("p99 ms alone", alone_p99),
        figure("logins/s beside 10,000 idle sockets", beside),
        figure("p99 ms beside them", beside_p99),
    ])
}

fn failed(error: std::io::Error) -> String {
    format!("a request failed: {error}")
}

/// Returns the logins per second, and their 99th percentile in milliseconds.
async fn measure(port: u16) -> Result<(f64, f64), String> {
    let begin = Instant::now();
    let signing = (1..=CONNECTIONS).map(|n| sign_in(port, credentials(n), begin + LASTS));
    let mut times = try_join_all(signing).await?.concat();
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100);
    let p99 = p99.ok_or("no login succeeded")?;
    Ok((times.len() as f64 / seconds, p99.as_secs_f64() * 1000.0))
}

/// Logs in repeatedly until `end`. Returns the duration of each login.
async fn sign_in(port: u16, credentials: String, end: Instant) -> Result<Vec<Duration>, String> {
    let mut http = Http::open(port).await.map_err(failed)?;
    let mut times = Vec::new();
    while Instant::now() < end {
        let begin = Instant::now();
        http.send("POST", "/login", &credentials)
            .await
            .map_err(failed)?;
        times.push(begin.elapsed());
    }
    Ok(times)
}
