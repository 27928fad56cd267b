//! Several servers on one Postgres, linked by NATS, are as one; and where the link fails, the
//! database makes up for it.

mod clocks;
mod controls;
mod delivery;
mod healing;
mod locks;
mod presence;
mod processes;
mod proxied;
mod roles;
mod slow;
mod start;
