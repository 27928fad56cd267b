//! How much one caller may have and how fast it may be, and whose word about callers is believed.
//!
//! Each limit is far over what people need and far under what hurts: a person types one message
//! in a second, a client that comes back asks some dozen questions at once.

use super::{Switch, parse};
use clap::Args;
use ipnet::IpNet;

/// Limits that hold for one caller.
#[derive(Clone, Args)]
pub struct CallerLimits {
    /// Limit how fast one caller may be, and how many connections and sockets it may have. By
    /// default: off in open mode on a loopback address, else on
    #[arg(long, env = "RATE_LIMIT", value_enum, ignore_case = true)]
    pub rate_limit: Option<Switch>,

    /// Requests one address may send in a second, in the long run: an office of people shares one
    #[arg(long, env = "REQUESTS_PER_SECOND", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub requests_per_second: u32,

    /// Passwords one address may choose or try in a second, in the long run: each keeps a core busy
    /// for some 20 ms, and all others wait for it
    #[arg(long, env = "PASSWORDS_PER_SECOND", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub passwords_per_second: u32,

    /// Messages one user may send, edit and delete in a second, in the long run, over REST and
    /// all sockets together; as many connect-chat frames, and as many others that are no messages
    #[arg(long, env = "MESSAGES_PER_SECOND", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub messages_per_second: u32,

    /// Frames one socket may send in a second, in the long run
    #[arg(long, env = "FRAMES_PER_SECOND", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub frames_per_second: u32,

    /// How many seconds' worth of requests, passwords, messages or frames may come at once after a
    /// pause
    #[arg(long, env = "BURST_SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub burst_seconds: u32,

    /// Most connections of one address (of an IPv6 network of 64 bits) at once, where rates are
    /// limited
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,

    /// Most sockets of one user at once, where rates are limited: some devices with some tabs each
    #[arg(long, env = "MAX_SOCKETS_PER_USER", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sockets_per_user: u32,

    /// Most chats that one user makes and that are not deleted, where rates are limited
    #[arg(long, env = "MAX_CHATS_PER_USER", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_chats_per_user: u32,

    /// Most chats that one user is added to, where rates are limited; those they make do not count
    /// against it when they make them
    #[arg(long, env = "MAX_MEMBERSHIPS_PER_USER", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_memberships_per_user: u32,

    /// Largest head of a request, its line and headers, in bytes
    #[arg(long, env = "MAX_HEAD_BYTES", default_value_t = 32 * 1024,
          value_parser = clap::value_parser!(u32).range(8 * 1024..=1024 * 1024))]
    pub max_head_bytes: u32,

    /// Most headers of a request
    #[arg(long, env = "MAX_HEADERS", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(16..=10_000))]
    pub max_headers: u32,

    /// Longest path and query of a request, in bytes: the default holds a search for the longest
    /// message
    #[arg(long, env = "MAX_URL_BYTES", default_value_t = 24 * 1024,
          value_parser = clap::value_parser!(u32).range(1024..=60 * 1024))]
    pub max_url_bytes: u32,

    /// Proxies whose X-Forwarded-For and Forwarded headers are believed: addresses and networks
    /// (10.0.0.0/8), separated by commas
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse::network)]
    pub trusted_proxies: Vec<IpNet>,
}
