//! The rate limiters and limits of callers, connections and requests, built from the settings.

use crate::{
    config::Config,
    error::Code,
    hub::Leaves,
    model::UserId,
    rate_limit::{KeyedRateLimiter, MemoryBudget, REFUSAL_PERIOD, Rate, ReadTurns, RefusalLog},
    server::ConnectionLimits,
    state::{AppState, Limits},
};
use std::{net::IpAddr, time::Duration};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// Time between two removals of idle callers from the rate limiters. An idle caller takes about 60
/// bytes until then, and few attackers have millions of addresses.
const SWEEP_PERIOD: Duration = Duration::from_secs(10);

/// Rate of immediate `leave` frames of a user in a chat: 5 in a row, then 1 a second. Further frames
/// are delayed.
const LEAVES: Rate = Rate {
    per_second: 1,
    burst_seconds: 5,
};

/// Returns the limit, or `None` if RATE_LIMIT is off.
pub(super) fn only_with(config: &Config, limit: u32) -> Option<u32> {
    config.rate_limit().then_some(limit)
}

fn rate(config: &Config, per_second: u32) -> Option<Rate> {
    let burst_seconds = config.limits.burst_seconds;
    only_with(config, per_second).map(|per_second| Rate {
        per_second,
        burst_seconds,
    })
}

/// The limiters of client addresses and users. A clone shares them.
#[derive(Clone)]
pub(super) struct CallerLimiters {
    /// Requests of a client address.
    pub(super) requests: KeyedRateLimiter<IpAddr>,
    /// Requests of a client address that set or try a password.
    pub(super) passwords: KeyedRateLimiter<IpAddr>,
    /// Changes of messages by a user.
    pub(super) messages: KeyedRateLimiter<UserId>,
    /// `connect-chat` frames of a user.
    pub(super) connects: KeyedRateLimiter<UserId>,
    /// Frames of a user that change no message: read positions, typing and malformed frames.
    pub(super) signals: KeyedRateLimiter<UserId>,
    /// Immediate `leave` frames of a user in a chat.
    pub(super) leaves: Leaves,
    /// Turns to read pages.
    pub(super) turns: ReadTurns,
    /// Memory of answers and replays.
    pub(super) memory: MemoryBudget,
    /// Thins out the log lines about refusals.
    pub(super) refusals: RefusalLog,
}

impl CallerLimiters {
    /// Creates the limiters. `readers` is the number of reading connections to the database.
    pub(super) fn new(config: &Config, readers: usize) -> Self {
        let has_shares = config.rate_limit();
        Self {
            requests: KeyedRateLimiter::new(rate(config, config.limits.requests_per_second)),
            passwords: KeyedRateLimiter::new(rate(config, config.limits.passwords_per_second)),
            messages: KeyedRateLimiter::new(rate(config, config.limits.messages_per_second)),
            connects: KeyedRateLimiter::new(rate(config, config.limits.messages_per_second)),
            signals: KeyedRateLimiter::new(rate(config, config.limits.messages_per_second)),
            leaves: KeyedRateLimiter::new(config.rate_limit().then_some(LEAVES)),
            turns: ReadTurns::new(readers, has_shares),
            memory: MemoryBudget::new(config.answer_memory_bytes as usize, has_shares),
            refusals: RefusalLog::default(),
        }
    }

    /// Removes idle callers and logs the counts of refusals without a line, until `stop`.
    pub(super) async fn sweep(self, stop: CancellationToken) {
        let mut swept = Instant::now();
        let period = || stop.run_until_cancelled(time::sleep(REFUSAL_PERIOD));
        while period().await.is_some() {
            self.sum_up(REFUSAL_PERIOD);
            if swept.elapsed() >= SWEEP_PERIOD {
                swept = Instant::now();
                self.requests.sweep();
                self.passwords.sweep();
                self.messages.sweep();
                self.connects.sweep();
                self.signals.sweep();
                self.leaves.sweep();
            }
        }
        self.sum_up(Duration::ZERO);
    }

    /// Logs the number of refusals without a line of their own, for each address with a latest line
    /// at least `age` ago.
    fn sum_up(&self, age: Duration) {
        for (from, left_out) in self.refusals.sweep(age) {
            let code = Code::RateLimited.as_str();
            tracing::info!(code, %from, left_out, "refused");
        }
    }
}

/// Returns the limits of the listener.
pub(super) fn connection_limits(config: &Config, state: &AppState) -> ConnectionLimits {
    ConnectionLimits {
        permits: state.connection_permits.clone(),
        of_address: state.connections_per_address.clone(),
        proxies: state.proxies.clone(),
        head_limit: config.handshake_limit,
        write_limit: config.write_limit,
        head: state.limits.head,
        headers: state.limits.headers,
    }
}

/// Returns the limits of requests and sockets.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        head: config.limits.max_head_bytes as usize,
        headers: config.limits.max_headers as usize,
        url: config.limits.max_url_bytes as usize,
        body: config.max_body_bytes as usize,
        frame: config.max_frame_bytes as usize,
        frames: rate(config, config.limits.frames_per_second),
        chats_per_socket: config.max_chats_per_socket as usize,
        request: config.request_limit,
        handshake: config.handshake_limit,
        ping: config.ping_interval,
        write: config.write_limit,
    }
}
