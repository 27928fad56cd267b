//! A send that is repeated under one `clientMessageId` stores one message.

use serde_json::{Value, json};
use testkit::{Client, Reply, Server, Store, apply, both_stores, rstest};

/// A server with two users and two chats.
struct World {
    server: Server,
    client: Client,
    carl: i64,
    sigmund: i64,
    general: i64,
    random: i64,
}

impl World {
    async fn new(store: Store) -> Self {
        let server = Server::start(store).await;
        let client = server.client();
        Self {
            carl: client.new_user("carl").await,
            sigmund: client.new_user("sigmund").await,
            general: client.new_chat("general").await,
            random: client.new_chat("random").await,
            server,
            client,
        }
    }

    async fn messages(&self, chat: i64) -> Vec<Value> {
        self.client.list(&format!("/chat/{chat}/message")).await
    }
}

async fn send(client: &Client, user: i64, chat: i64, name: &str, text: &str) -> Reply {
    let body = json!({ "customerId": user, "content": text, "clientMessageId": name });
    client.post(&format!("/chat/{chat}/message"), body).await
}

#[apply(both_stores)]
async fn a_repeated_message_is_the_first_one(store: Store) {
    let world = World::new(store).await;
    let first = send(&world.client, world.carl, world.general, "k", "Hi.")
        .await
        .expect(201);
    for text in ["Hi.", "Something else."] {
        let repeat = send(&world.client, world.carl, world.general, "k", text).await;
        assert_eq!(repeat.expect(200), first);
    }
    assert_eq!(world.messages(world.general).await, [first]);
    // A repeat takes no number.
    assert_eq!(
        world.client.say(world.carl, world.general, "Next.").await["seq"],
        2
    );
}

#[apply(both_stores)]
async fn a_name_is_its_senders_own(store: Store) {
    let world = World::new(store).await;
    let his = send(&world.client, world.carl, world.general, "k", "Hi.")
        .await
        .expect(201);
    let other = send(&world.client, world.sigmund, world.general, "k", "Hi.")
        .await
        .expect(201);
    assert_eq!(world.messages(world.general).await, [his, other]);
}

#[apply(both_stores)]
async fn a_name_counts_in_one_chat(store: Store) {
    let world = World::new(store).await;
    let here = send(&world.client, world.carl, world.general, "k", "Hi.")
        .await
        .expect(201);
    let there = send(&world.client, world.carl, world.random, "k", "Hi.")
        .await
        .expect(201);
    assert_eq!(world.messages(world.general).await, [here]);
    assert_eq!(world.messages(world.random).await, [there]);
}

#[apply(both_stores)]
async fn messages_without_a_name_are_always_new(store: Store) {
    let world = World::new(store).await;
    let path = format!("/chat/{}/message", world.general);
    for _ in 0..2 {
        let body = json!({ "customerId": world.carl, "content": "Hi.", "clientMessageId": null });
        world.client.post(&path, body).await.expect(201);
    }
    assert_eq!(world.messages(world.general).await.len(), 2);
}

#[apply(both_stores)]
async fn a_repeat_gives_the_messages_present_state(store: Store) {
    let world = World::new(store).await;
    let repeat = || send(&world.client, world.carl, world.general, "k", "Hi.");
    let first = repeat().await.expect(201);
    let path = format!("/message/{}", first["messageId"]);
    let edited = world
        .client
        .put(&path, json!({ "content": "Hello." }))
        .await
        .expect(200);
    assert_eq!(repeat().await.expect(200), edited);
    world.client.delete(&path).await.expect(204);
    let deleted = world.client.get(&path).await.expect(200);
    assert_eq!(repeat().await.expect(200), deleted);
}

#[apply(both_stores)]
async fn of_many_sent_at_once_under_one_name_one_is_stored(store: Store) {
    let world = World::new(store).await;
    let sending = (0..24).map(|_| send(&world.client, world.carl, world.general, "k", "Hi."));
    let replies = futures_util::future::join_all(sending).await;
    let stored = world.messages(world.general).await;
    assert_eq!(stored.len(), 1);
    let new = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(new, 1, "one is new, the others are repeats");
    for reply in replies {
        assert!(matches!(reply.status, 200 | 201), "{reply:?}");
        assert_eq!(reply.body, stored[0]);
    }
}

#[apply(both_stores)]
async fn a_name_is_remembered_when_the_server_starts_again(store: Store) {
    let World {
        server,
        client,
        carl,
        general,
        ..
    } = World::new(store).await;
    let name = "x".repeat(64);
    let first = send(&client, carl, general, &name, "Hi.").await.expect(201);
    let database = server.stop().await;
    let server = Server::start_on(database, &[]).await;
    let repeat = send(&server.client(), carl, general, &name, "Hi.").await;
    assert_eq!(repeat.expect(200), first);
    assert_eq!(server.client().say(carl, general, "Next.").await["seq"], 2);
}

#[apply(both_stores)]
async fn a_refused_message_leaves_its_name_free(store: Store) {
    let world = World::new(store).await;
    let body = json!({ "customerId": world.carl, "content": "Hi.", "clientMessageId": "k",
                       "replyTo": 999 });
    let refused = world
        .client
        .post(&format!("/chat/{}/message", world.general), body)
        .await;
    refused.expect_error(400, "invalid_field");
    send(&world.client, world.carl, world.general, "k", "Hi.")
        .await
        .expect(201);
}
