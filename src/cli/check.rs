//! Command `check`: it inspects the settings and the database before a server starts with them.

use super::tell;
use crate::{
    config::{Auth, Config},
    database::{Tables, flaws_of, inspect, try_start},
};

/// Prints one line for each check. Stops at the first error and returns its message.
pub(super) async fn run(config: &Config) -> Result<(), String> {
    config.check()?;
    let target = config.target()?;
    let (auth, rates) = (config.auth(), config.rate_limit());
    let auth = match auth {
        Auth::Open => "open: callers are trusted without signing in",
        Auth::Required => "required: callers must sign in",
    };
    let rates = if rates { "limited" } else { "not limited" };
    tell(&format!("settings: right; address: {}", config.address()))?;
    tell(&format!("signing in: {auth}; rates: {rates}"))?;
    for remark in &config.remarks {
        tell(&format!("note: {remark}"))?;
    }
    let found = inspect(&target).await?;
    tell(&format!("store: {}", found.place))?;
    for parameter in config.database.ignored() {
        tell(&format!(
            "DATABASE_URL: the unknown parameter {parameter} is ignored"
        ))?;
    }
    if found.tables == Tables::Newer {
        return Err(format!("the tables are {}", found.tables));
    }
    tell(&format!("tables: {}", found.tables))?;
    try_start(&target, found.tables).await?;
    tell("writing: works; the test write was rolled back")?;
    match flaws_of(&target, &found).await? {
        Some(flaws) if flaws.is_empty() => {}
        Some(flaws) => {
            return Err(format!(
                "the rows or tables are wrong: {}",
                flaws.join("; ")
            ));
        }
        None => tell("rows: not all checked, because there are too many to check within a minute")?,
    }
    if found.in_use {
        tell("a running server has this file open; a second server would be refused")?;
    }
    if config.nats_url.is_some() {
        tell("link: not checked; a server starts without it, and /health/ready shows its state")?;
    }
    Ok(())
}
