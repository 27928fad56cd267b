//! The hub drops rooms and users that have left.

use messaging_api::HubStats;
use testkit::{RawSocket, Room, Server, Socket, Store, apply, both_stores, patiently, rstest};
use tokio::task::{JoinSet, yield_now};

const SOCKETS: usize = 10_000;
/// Sockets that are open at once.
const WAVE: usize = 250;
const CHATS: usize = 5;

/// Waits until the hub holds this much.
async fn until_census(server: &Server, chats: usize, users: usize) {
    let expected = HubStats { chats, users };
    let waiting = async {
        while server.hub_stats() != expected {
            yield_now().await;
        }
    };
    patiently(&format!("{expected:?}"), waiting).await;
}

#[apply(both_stores)]
async fn the_census_counts_chats_and_users_that_are_present(store: Store) {
    let room = Room::open(store).await;
    until_census(&room.server, 0, 0).await;
    let other = room.client.new_chat("random").await;
    let mut carl = room.enter(room.carl).await;
    carl.enter(room.carl, other).await;
    let again = room.enter(room.carl).await;
    let sigmund = room.enter(room.sigmund).await;
    until_census(&room.server, 2, 2).await;
    carl.close().await;
    until_census(&room.server, 1, 2).await;
    drop((again, sigmund));
    until_census(&room.server, 0, 0).await;
    room.close().await;
}

/// How a socket comes, and how it goes again.
enum Guest {
    Polite(Box<Socket>),
    Abrupt(RawSocket),
}

impl Guest {
    async fn come(address: std::net::SocketAddr, n: usize, user: i64, chat: i64) -> Self {
        if n.is_multiple_of(2) {
            let mut socket = Socket::open(address).await;
            socket.connect(user, chat).await;
            return Self::Polite(Box::new(socket));
        }
        let mut wire = RawSocket::open(address).await;
        wire.connect(user, chat).await;
        Self::Abrupt(wire)
    }

    async fn go(self) {
        match self {
            Self::Polite(socket) => socket.close().await,
            Self::Abrupt(wire) => drop(wire),
        }
    }
}

#[apply(both_stores)]
async fn after_10_000_connects_and_disconnects_nothing_is_left(store: Store) {
    let room = Room::of_members(store).await;
    let address = room.server.address;
    let mut chats = vec![room.chat];
    while chats.len() < CHATS {
        chats.push(room.client.new_chat("random").await);
    }
    let users = [room.carl, room.sigmund];
    for _ in 0..SOCKETS / WAVE {
        let mut coming = JoinSet::new();
        for n in 0..WAVE {
            let (user, chat) = (users[n / 2 % users.len()], chats[n % CHATS]);
            coming.spawn(Guest::come(address, n, user, chat));
        }
        let guests = coming.join_all().await;
        assert_eq!(
            room.server.hub_stats(),
            HubStats {
                chats: CHATS,
                users: users.len()
            }
        );
        let mut going = JoinSet::new();
        for guest in guests {
            going.spawn(guest.go());
        }
        going.join_all().await;
    }
    until_census(&room.server, 0, 0).await;
    let mut carl = room.enter(room.carl).await;
    assert_eq!(carl.say(room.chat, "alone").await["seq"], 1);
    room.close().await;
}
