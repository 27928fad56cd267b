//! The promise: an acknowledged message is never lost, never doubled, never out of order, whoever
//! is away, slow, repeats themselves, or stops.

mod endings;
mod repeats;
mod resume;
mod shutdown;
mod slow;
