//! Rate and size limits of one caller, and the proxies that are trusted to name a caller's address.
//!
//! Each limit is far above the needs of people and far below a load that harms the server. A person types
//! about one message per second; a client that reconnects sends a dozen requests at once.

use super::{Switch, parse};
use clap::Args;
use ipnet::IpNet;

/// Limits that apply to one caller.
#[derive(Clone, Args)]
pub struct CallerLimits {
    /// Limits on the request rate of one caller and on its number of connections, sockets, chats and
    /// memberships: on or off. Default: off in open mode on a loopback address, else on
    #[arg(long, env = "RATE_LIMIT", value_enum, ignore_case = true)]
    pub rate_limit: Option<Switch>,

    /// Sustained rate of requests from one address, per second; a whole office may share one address
    #[arg(long, env = "REQUESTS_PER_SECOND", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub requests_per_second: u32,

    /// Sustained rate of passwords that one address sets or tries, per second; each password occupies a
    /// core for about 20 ms
    #[arg(long, env = "PASSWORDS_PER_SECOND", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub passwords_per_second: u32,

    /// Sustained rate of messages that one user sends, edits or deletes, per second, in total over REST
    /// and all sockets. The rate also applies, counted separately, to connect-chat frames and to frames
    /// of other kinds
    #[arg(long, env = "MESSAGES_PER_SECOND", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub messages_per_second: u32,

    /// Sustained rate of frames from one socket, per second
    #[arg(long, env = "FRAMES_PER_SECOND", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub frames_per_second: u32,

    /// Size of a burst after a pause, in seconds: a caller may send the requests, passwords, messages or
    /// frames of that many seconds at once
    #[arg(long, env = "BURST_SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub burst_seconds: u32,

    /// Maximum number of open connections from one IPv4 address or one IPv6 /64 network, if RATE_LIMIT is
    /// on
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,

    /// Maximum number of open sockets of one user, if RATE_LIMIT is on; a user has a few devices with a
    /// few tabs each
    #[arg(long, env = "MAX_SOCKETS_PER_USER", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sockets_per_user: u32,

    /// Maximum number of existing chats that one user created, if RATE_LIMIT is on
    #[arg(long, env = "MAX_CHATS_PER_USER", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_chats_per_user: u32,

    /// Maximum number of memberships of one user, if RATE_LIMIT is on; creating a chat is not subject to
    /// this limit
    #[arg(long, env = "MAX_MEMBERSHIPS_PER_USER", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub max_memberships_per_user: u32,

    /// Maximum size of a request head, which is the request line and the headers, in bytes, from 8192 to
    /// 1048576
    #[arg(long, env = "MAX_HEAD_BYTES", default_value_t = 32 * 1024,
          value_parser = clap::value_parser!(u32).range(8 * 1024..=1024 * 1024))]
    pub max_head_bytes: u32,

    /// Maximum number of headers of a request, from 16 to 10000
    #[arg(long, env = "MAX_HEADERS", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(16..=10_000))]
    pub max_headers: u32,

    /// Maximum length of the path and query of a request, in bytes, from 1024 to 61440; the default fits
    /// a search for the longest message
    #[arg(long, env = "MAX_URL_BYTES", default_value_t = 24 * 1024,
          value_parser = clap::value_parser!(u32).range(1024..=60 * 1024))]
    pub max_url_bytes: u32,

    /// Addresses and networks (10.0.0.0/8) of proxies from which X-Forwarded-* headers are trusted,
    /// separated by commas. Default: none
    #[arg(long, env = "TRUSTED_PROXIES", value_delimiter = ',', value_parser = parse::network)]
    pub trusted_proxies: Vec<IpNet>,
}
