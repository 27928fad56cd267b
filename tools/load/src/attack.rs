//! Attacks of one account at one address, within the time of a measurement.

use super::{caller::Caller, http::Http};
use futures_util::future::{join_all, try_join_all};
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

/// The receive buffer of a connection that does not read, in bytes. It is small, so that the server holds the rest.
const UNREAD_BUFFER: u32 = 8 * 1024;
/// The bytes of an answer up to its status.
const STATUS: std::ops::Range<usize> = 9..12;
/// The longest wait for a status that has come already.
const STATUS_LIMIT: Duration = Duration::from_millis(5);
/// The wait after a refusal. An attacker without it is a load for the generator too.
const PAUSE: Duration = Duration::from_millis(100);

/// An attack.
#[derive(Clone)]
pub struct Attack {
    /// Its name in the output.
    pub name: &'static str,
    /// The path that is requested.
    pub path: String,
    /// The number of connections.
    pub connections: usize,
    /// True if each connection sends another request after an answer. Otherwise it sends one request and reads
    /// nothing.
    pub reads: bool,
}

/// The answers to an attack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers {
    /// Answers with the status 20x.
    pub answered: u64,
    /// Refusals with the status 429.
    pub too_fast: u64,
    /// Refusals with the status 503.
    pub unavailable: u64,
    /// Requests without an answer.
    pub unanswered: u64,
}

impl Answers {
    /// Counts an answer. Returns true if it is a refusal.
    fn count(&mut self, status: u16) -> io::Result<bool> {
        let counter = match status {
            200..210 => &mut self.answered,
            429 => &mut self.too_fast,
            503 => &mut self.unavailable,
            _ => {
                return Err(io::Error::other(format!(
                    "an attack got the status {status}"
                )));
            }
        };
        *counter += 1;
        Ok(status >= 400)
    }

    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.too_fast += other.too_fast;
        self.unavailable += other.unavailable;
        self.unanswered += other.unanswered;
    }
}

impl Attack {
    /// Attacks the server for this time.
    pub async fn run(&self, port: u16, caller: &Caller, lasts: Duration) -> io::Result<Answers> {
        let end = Instant::now() + lasts;
        let answers = match self.reads {
            true => {
                let asking = (0..self.connections).map(|_| self.ask(port, caller, end));
                try_join_all(asking).await?
            }
            false => self.ask_and_ignore(port, caller, end).await?,
        };
        let mut sum = Answers::default();
        answers.into_iter().for_each(|one| sum.add(one));
        Ok(sum)
    }

    /// Sends one request after the other over one connection, and over another one if that ends.
    async fn ask(&self, port: u16, caller: &Caller, end: Instant) -> io::Result<Answers> {
        let (mut answers, mut connection) = (Answers::default(), None);
        while Instant::now() < end {
            let mut http = match connection.take() {
                Some(http) => http,
                None => Http::open_as(port, caller).await?,
            };
            let answer = timeout_at(end, http.ask(&self.path)).await;
            let status = match answer {
                Ok(answer) => answer.map(|answer| answer.status),
                Err(_) => break,
            };
            let is_refused = match status {
                Ok(status) => {
                    connection = Some(http);
                    answers.count(status)?
                }
                Err(_) => {
                    answers.unanswered += 1;
                    true
                }
            };
            if is_refused {
                sleep(PAUSE).await;
            }
        }
        Ok(answers)
    }

    /// Sends one request over each connection, and reads only the statuses, at the end.
    async fn ask_and_ignore(
        &self,
        port: u16,
        caller: &Caller,
        end: Instant,
    ) -> io::Result<Vec<Answers>> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            self.path,
            caller.authorization()
        );
        let mut streams = Vec::new();
        for _ in 0..self.connections {
            let mut stream = caller.connect(port, Some(UNREAD_BUFFER)).await?;
            stream.write_all(request.as_bytes()).await?;
            streams.push(stream);
        }
        sleep_until(end).await;
        let statuses = join_all(streams.into_iter().map(status)).await;
        let counted = statuses.into_iter().map(|status| {
            let mut answers = Answers::default();
            match status {
                Some(status) => answers.count(status).map(drop)?,
                None => answers.unanswered += 1,
            }
            Ok(answers)
        });
        counted.collect()
    }
}

/// The status of the answer that has come. `None` if none has.
async fn status(mut stream: TcpStream) -> Option<u16> {
    let mut begin = [0; STATUS.end];
    let read = timeout(STATUS_LIMIT, stream.read_exact(&mut begin)).await;
    read.ok()?.ok()?;
    std::str::from_utf8(&begin[STATUS]).ok()?.parse().ok()
}
