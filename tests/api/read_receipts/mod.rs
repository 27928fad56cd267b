//! Read positions of members, and the counts of unread messages.

mod frames;
mod persistence;
mod rest;
mod unread;

use frames::{mark, read, reads, standing};
