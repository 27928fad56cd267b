//! FAIL POINTS: deliberate faults, compiled only with the feature `planted-faults`, never for production.
//! Each fault breaks the delivery guarantee in a known way, to prove that the checker detects it. The
//! environment variable `PLANTED_FAULT` selects one fault; if it is unset, no fault is active.

use std::{
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The value of `PLANTED_FAULT`; null if unset. The first access logs a warning at error level.
static SELECTED: LazyLock<Option<String>> = LazyLock::new(|| {
    let selected = env::var("PLANTED_FAULT").ok();
    tracing::error!(
        ?selected,
        "built with planted-faults: this server may lose, double and reorder messages"
    );
    selected
});

/// Logs at startup, at error level, that this build contains fail points.
pub fn announce() {
    LazyLock::force(&SELECTED);
}

fn is_selected(fault: &str) -> bool {
    SELECTED.as_deref() == Some(fault)
}

/// Returns true if changes are broadcast before the commit (`broadcast_before_commit`).
#[must_use]
pub fn broadcasts_before_commit() -> bool {
    is_selected("broadcast_before_commit")
}

/// Returns true for every 20th commit. The writer calls this function after it broadcast the changes and
/// before the commit, and then fails the commit.
#[must_use]
pub fn fails_this_commit() -> bool {
    static COMMITS: AtomicU64 = AtomicU64::new(1);
    COMMITS.fetch_add(1, Ordering::Relaxed).is_multiple_of(20)
}

/// Returns true for every 16th sign-up (`lost_sign_up`): the server acknowledges the sign-up and deletes the
/// user. The first 15 sign-ups are kept, so that the checker keeps its own first users.
#[must_use]
pub fn forgets_this_sign_up() -> bool {
    static SIGN_UPS: AtomicU64 = AtomicU64::new(1);
    is_selected("lost_sign_up") && SIGN_UPS.fetch_add(1, Ordering::Relaxed).is_multiple_of(16)
}

/// Returns true for every 10th membership (`lost_member`): the server acknowledges the membership and
/// removes it.
#[must_use]
pub fn forgets_this_member() -> bool {
    static MEMBERS: AtomicU64 = AtomicU64::new(1);
    is_selected("lost_member") && MEMBERS.fetch_add(1, Ordering::Relaxed).is_multiple_of(10)
}

/// Returns true for every 10th numbered change of a membership (`unstored_change`): the chat's head moves and
/// the change is told, but the log has no row of it.
#[must_use]
pub fn forgets_this_change() -> bool {
    static CHANGES: AtomicU64 = AtomicU64::new(1);
    is_selected("unstored_change") && CHANGES.fetch_add(1, Ordering::Relaxed).is_multiple_of(10)
}

/// Returns true for every 2nd removal of a member (`untold_removal`): the member's sockets are not told, and are
/// sent the chat's changes further on.
#[must_use]
pub fn tells_no_removal() -> bool {
    static REMOVALS: AtomicU64 = AtomicU64::new(1);
    is_selected("untold_removal") && REMOVALS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
}

/// Returns true if every log gets one constant epoch, even after a restore (`same_epoch`). Clients then
/// cannot detect that the log was replaced.
#[must_use]
pub fn keeps_epoch() -> bool {
    is_selected("same_epoch")
}

/// Returns true if a failed commit is reported as a success (`failed_commit`).
#[must_use]
pub fn believes_failed_commits() -> bool {
    is_selected("failed_commit")
}

/// Panics for about one change in 53 (`panic_in_batch`). The size of the change in bytes decides, so that a
/// retry of the change in a batch panics again.
///
/// # Panics
/// If `panic_in_batch` is selected and `bytes` leaves remainder 52 when divided by 53.
pub fn panic_at(bytes: usize) {
    assert!(
        !(is_selected("panic_in_batch") && bytes % 53 == 52),
        "a planted panic"
    );
}

/// Returns true if a lagging socket skips the events it missed and continues with the newest one
/// (`skip_lagged`).
#[must_use]
pub fn skips_lagged() -> bool {
    is_selected("skip_lagged")
}

/// Returns true if a user who disconnects stays in the presence of the chat (`keep_ghosts`).
#[must_use]
pub fn keeps_ghosts() -> bool {
    is_selected("keep_ghosts")
}

/// Returns true if a send that repeats an idempotency key is stored again (`lost_dedupe`).
#[must_use]
pub fn loses_dedupe() -> bool {
    is_selected("lost_dedupe")
}

/// Returns true for every 3rd write to a socket (`blocked_writes`), as if the client had not read. Nothing is
/// lost by it: the frames wait in the send queue for the socket's task, which is seldom needed on a fast
/// network.
#[must_use]
pub fn blocks_this_write() -> bool {
    static WRITES: AtomicU64 = AtomicU64::new(1);
    is_selected("blocked_writes") && WRITES.fetch_add(1, Ordering::Relaxed).is_multiple_of(3)
}

/// Returns true for every 16th batch that a publisher hands to a socket (`blocked_writes`, `skip_lagged`), as
/// if too many bytes waited. The socket then lags, and reads the batch from the database.
#[must_use]
pub fn refuses_this_batch() -> bool {
    static BATCHES: AtomicU64 = AtomicU64::new(1);
    (is_selected("blocked_writes") || is_selected("skip_lagged"))
        && BATCHES.fetch_add(1, Ordering::Relaxed).is_multiple_of(16)
}
