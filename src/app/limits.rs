//! What callers are held to, from the settings.

use crate::{
    config::Config,
    error::Code,
    hub::Leaves,
    model::UserId,
    rate_limit::{KeyedRateLimiter, REFUSAL_PERIOD, Rate, RefusalLog},
    server::ConnectionLimits,
    state::{AppState, Limits},
};
use std::{net::IpAddr, time::Duration};
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

/// How often callers are forgotten who have not come for a while. Until then one takes some 60
/// bytes, and addresses are not had by the million.
const SWEEP_PERIOD: Duration = Duration::from_secs(10);

/// How often a chat is told at once that a user left it: so many times in a row, then once a second.
const LEAVES: Rate = Rate {
    per_second: 1,
    burst_seconds: 5,
};

/// A limit that holds only where rates are limited.
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

/// How fast addresses and users may be.
#[derive(Clone)]
pub(super) struct CallerLimiters {
    pub(super) requests: KeyedRateLimiter<IpAddr>,
    pub(super) passwords: KeyedRateLimiter<IpAddr>,
    pub(super) messages: KeyedRateLimiter<UserId>,
    pub(super) connects: KeyedRateLimiter<UserId>,
    pub(super) signals: KeyedRateLimiter<UserId>,
    pub(super) leaves: Leaves,
    /// Which of their refusals are logged.
    pub(super) refusals: RefusalLog,
}

impl CallerLimiters {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            requests: KeyedRateLimiter::new(rate(config, config.limits.requests_per_second)),
            passwords: KeyedRateLimiter::new(rate(config, config.limits.passwords_per_second)),
            messages: KeyedRateLimiter::new(rate(config, config.limits.messages_per_second)),
            connects: KeyedRateLimiter::new(rate(config, config.limits.messages_per_second)),
            signals: KeyedRateLimiter::new(rate(config, config.limits.messages_per_second)),
            leaves: KeyedRateLimiter::new(config.rate_limit().then_some(LEAVES)),
            refusals: RefusalLog::default(),
        }
    }

    /// Forgets, until `stop`, who has not come for a while.
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

    /// Logs how many refusals had no line of their own, of the addresses that had one so long ago.
    fn sum_up(&self, age: Duration) {
        for (from, left_out) in self.refusals.sweep(age) {
            let code = Code::RateLimited.as_str();
            tracing::info!(code, %from, left_out, "refused");
        }
    }
}

/// What the listener is held to.
pub(super) fn connection_limits(config: &Config, state: &AppState) -> ConnectionLimits {
    ConnectionLimits {
        permits: state.permits.clone(),
        of_address: state.connections.clone(),
        proxies: state.proxies.clone(),
        head_limit: config.handshake_limit,
        write_limit: config.write_limit,
        head: state.limits.head,
        headers: state.limits.headers,
    }
}

/// What requests and sockets are held to.
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
