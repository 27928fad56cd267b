//! FAULTS, PLANTED ON PURPOSE: compiled only with the feature `planted-faults`, never for real use.
//! They break the server's promise in known ways, to show that the checker notices. The variable
//! PLANTED_FAULT selects one; without it the server behaves as ever.

use std::{
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

static SELECTED: LazyLock<Option<String>> = LazyLock::new(|| {
    let selected = env::var("PLANTED_FAULT").ok();
    tracing::error!(
        ?selected,
        "built with planted-faults: this server may lose, double and reorder messages"
    );
    selected
});

/// Says loudly what this server is.
pub fn announce() {
    LazyLock::force(&SELECTED);
}

fn is_selected(fault: &str) -> bool {
    SELECTED.as_deref() == Some(fault)
}

/// Whether changes are told before they are committed.
#[must_use]
pub fn broadcasts_before_commit() -> bool {
    is_selected("broadcast_before_commit")
}

/// Whether this commit, told already, fails: one in fifty does.
#[must_use]
pub fn fails_this_commit() -> bool {
    static COMMITS: AtomicU64 = AtomicU64::new(1);
    COMMITS.fetch_add(1, Ordering::Relaxed).is_multiple_of(50)
}

/// Whether this sign-up, acknowledged, is forgotten: one in sixteen is, so that the checker's own
/// first users are not.
#[must_use]
pub fn forgets_this_sign_up() -> bool {
    static SIGN_UPS: AtomicU64 = AtomicU64::new(1);
    is_selected("lost_sign_up") && SIGN_UPS.fetch_add(1, Ordering::Relaxed).is_multiple_of(16)
}

/// Whether this membership, acknowledged, is forgotten: one in ten is.
#[must_use]
pub fn forgets_this_member() -> bool {
    static MEMBERS: AtomicU64 = AtomicU64::new(1);
    is_selected("lost_member") && MEMBERS.fetch_add(1, Ordering::Relaxed).is_multiple_of(10)
}

/// Whether every log has the same identity, a restored one too.
#[must_use]
pub fn keeps_epoch() -> bool {
    is_selected("same_epoch")
}

/// Whether a commit that failed is taken for one that succeeded.
#[must_use]
pub fn believes_failed_commits() -> bool {
    is_selected("failed_commit")
}

/// Panics at one change in some fifty, and at that one each time it is tried in a batch.
///
/// # Panics
/// Where it is selected and meets such a change.
pub fn panic_at(bytes: usize) {
    assert!(
        !(is_selected("panic_in_batch") && bytes % 53 == 52),
        "a planted panic"
    );
}

/// Whether a slow socket goes on where the hub is, without what it missed.
#[must_use]
pub fn skips_lagged() -> bool {
    is_selected("skip_lagged")
}

/// Whether whoever leaves is kept among those who are online.
#[must_use]
pub fn keeps_ghosts() -> bool {
    is_selected("keep_ghosts")
}

/// Whether a repeated send is stored again.
#[must_use]
pub fn loses_dedupe() -> bool {
    is_selected("lost_dedupe")
}
