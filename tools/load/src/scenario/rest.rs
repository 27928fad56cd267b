//! The scenario that measures small REST requests.

use super::{
    super::{database::Store, http::Http, report::figure},
    TestBed, Turn,
};
use futures_util::future::try_join_all;
use std::time::{Duration, Instant};

const LASTS: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 32;
/// The number of users to request.
const USERS: usize = 1000;

/// GET /user/{id} on connections that stay open.
pub async fn rest(store: Store) -> Turn {
    let bed = TestBed::new(store, 1, USERS).await?;
    let (port, cpu, begin) = (bed.server.port, bed.server.cpu(), Instant::now());
    let asking = (0..CONNECTIONS).map(|first| ask(port, first, begin + LASTS));
    let answered: usize = try_join_all(asking).await?.iter().sum();
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), bed.server.cpu() - cpu);
    bed.tear_down(0).await?;
    Ok(vec![
        figure("requests/s", answered as f64 / seconds),
        figure("requests per server CPU-second", answered as f64 / cpu),
    ])
}

/// Requests one user after another, starting with `first`. Returns the number of answers.
async fn ask(port: u16, first: usize, end: Instant) -> Result<usize, String> {
    let failed = |e: std::io::Error| format!("a request failed: {e}");
    let mut http = Http::open(port).await.map_err(failed)?;
    let mut answered = 0;
    while Instant::now() < end {
        let user = (first * USERS / CONNECTIONS + answered) % USERS + 1;
        let body = http.get(&format!("/user/{user}")).await.map_err(failed)?;
        if !body.starts_with(format!(r#"{{"customerId":{user},"#).as_bytes()) {
            let body = String::from_utf8_lossy(body);
            return Err(format!("user {user} was asked for, this came: {body}"));
        }
        answered += 1;
    }
    Ok(answered)
}
