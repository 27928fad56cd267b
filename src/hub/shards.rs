//! Chats are hashed into shards, and a node listens to those shards in which somebody is. A subject
//! for every chat would cost a node some kilobytes each and a round trip whenever somebody comes.

use crate::model::{ChatId, UserId};

/// How many shards. The same on every node, or they do not hear each other.
pub(crate) const SHARDS: u16 = 1024;

/// Which shard a chat is in.
pub(crate) fn shard_of(chat: ChatId) -> u16 {
    (mix(chat.0.unsigned_abs()) % u64::from(SHARDS)) as u16
}

/// What a user in a chat adds to a digest, and takes away again.
pub(crate) fn presence_hash(chat: ChatId, user: UserId) -> u64 {
    mix(mix(chat.0.unsigned_abs()) ^ user.0.unsigned_abs())
}

/// Spreads numbers evenly (splitmix64), the same on every node and in every version.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// What this node has in each shard.
pub(crate) struct Shards(Vec<Shard>);

#[derive(Clone, Copy, Default)]
struct Shard {
    /// Chats that somebody is in.
    chats: u32,
    /// Who is announced in them: the exclusive or of their traces. Two nodes that agree on it agree
    /// on who is there.
    digest: u64,
}

impl Default for Shards {
    fn default() -> Self {
        Self(vec![Shard::default(); usize::from(SHARDS)])
    }
}

impl Shards {
    /// Somebody is in the chat; tells whether nobody was in its shard before.
    pub(crate) fn open(&mut self, chat: ChatId) -> bool {
        let shard = self.shard(chat);
        shard.chats += 1;
        shard.chats == 1
    }

    /// Nobody is in the chat any more.
    pub(crate) fn close(&mut self, chat: ChatId) {
        let shard = self.shard(chat);
        shard.chats = shard.chats.saturating_sub(1);
    }

    /// A user was announced in the chat, or is no more.
    pub(crate) fn toggle(&mut self, chat: ChatId, user: UserId) {
        self.shard(chat).digest ^= presence_hash(chat, user);
    }

    /// The shards in which somebody is.
    pub(crate) fn occupied(&self) -> Vec<u16> {
        let all = (0..SHARDS).zip(&self.0);
        all.filter(|(_, shard)| shard.chats > 0)
            .map(|(n, _)| n)
            .collect()
    }

    /// The digests that are not of nobody.
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
    fn a_digest_forgets_who_is_gone() {
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
