//! Several servers on one Postgres, linked by NATS.

mod link_loss;
mod nginx;
mod online;
mod ordering;
mod processes;
mod revocation;
mod roles;
mod row_locks;
mod slow_node;
mod start;
mod wrong_clock;
