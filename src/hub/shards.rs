//! Chats hashed into shards. A node subscribes to the subject of each shard that it occupies. A subject for
//! every chat would cost a node some kilobytes of memory for each chat, and a round trip for each newly
//! occupied chat.

use crate::model::{ChatId, UserId};

/// The number of shards. All nodes must use an equal number, or they do not hear each other.
pub(crate) const SHARDS: u16 = 1024;

/// The shard of a chat, from 0 to 1,023.
pub(crate) fn shard_of(chat: ChatId) -> u16 {
    (mix(chat.0.unsigned_abs()) % u64::from(SHARDS)) as u16
}

/// The value that a user in a chat toggles in a digest, on join and on leave.
pub(crate) fn presence_hash(chat: ChatId, user: UserId) -> u64 {
    mix(mix(chat.0.unsigned_abs()) ^ user.0.unsigned_abs())
}

/// Spreads numbers evenly (splitmix64). The result is equal on every node and in every version, because
/// shards and digests are compared between nodes.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The chats and presence digest of this node, by shard.
pub(crate) struct Shards(Vec<Shard>);

#[derive(Clone, Copy, Default)]
struct Shard {
    /// The number of occupied chats.
    chats: u32,
    /// The exclusive or of the presence hashes of the joined users. Two nodes with equal digests agree on
    /// the presence in the shard, except for hash collisions.
    digest: u64,
}

impl Default for Shards {
    fn default() -> Self {
        Self(vec![Shard::default(); usize::from(SHARDS)])
    }
}

impl Shards {
    /// Records that a chat is occupied. Returns true if its shard was empty before.
    pub(crate) fn open(&mut self, chat: ChatId) -> bool {
        let shard = self.shard(chat);
        shard.chats += 1;
        shard.chats == 1
    }

    /// Records that a chat is no longer occupied.
    pub(crate) fn close(&mut self, chat: ChatId) {
        let shard = self.shard(chat);
        shard.chats = shard.chats.saturating_sub(1);
    }

    /// Records that a user joined or left a chat.
    pub(crate) fn toggle(&mut self, chat: ChatId, user: UserId) {
        self.shard(chat).digest ^= presence_hash(chat, user);
    }

    /// The occupied shards.
    pub(crate) fn occupied(&self) -> Vec<u16> {
        let all = (0..SHARDS).zip(&self.0);
        all.filter(|(_, shard)| shard.chats > 0)
            .map(|(n, _)| n)
            .collect()
    }

    /// The shard digests other than zero, by shard. A zero digest means an empty shard, and is not sent.
    pub(crate) fn digests(&self) -> Vec<(u16, u64)> {
        let all = (0..SHARDS).zip(&self.0);
        all.filter(|(_, shard)| shard.digest != 0)
            .map(|(n, shard)| (n, shard.digest))
            .collect()
    }

    fn shard(&mut self, chat: ChatId) -> &mut Shard {
        &mut self.0[usize::from(shard_of(chat))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chats_spread_over_all_shards() {
        let mut shards = Shards::default();
        for chat in 1..=20_000 {
            shards.open(ChatId(chat));
        }
        assert_eq!(shards.occupied().len(), usize::from(SHARDS));
        let most = shards.0.iter().map(|shard| shard.chats).max();
        assert!(
            most.is_some_and(|most| most < 60),
            "{most:?} in one of them"
        );
    }

    #[test]
    fn a_digest_without_departed_users_is_restored() {
        let mut shards = Shards::default();
        let (chat, carl, dora) = (ChatId(7), UserId(1), UserId(2));
        shards.toggle(chat, carl);
        let with_carl = shards.digests();
        assert_eq!(with_carl.len(), 1);
        shards.toggle(chat, dora);
        assert_ne!(shards.digests(), with_carl);
        shards.toggle(chat, dora);
        assert_eq!(shards.digests(), with_carl);
        shards.toggle(chat, carl);
        assert_eq!(shards.digests(), []);
    }
}
