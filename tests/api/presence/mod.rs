//! Presence: typing, and the memory of users that have left.

mod empty_rooms;
mod typing;
