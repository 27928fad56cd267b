//! The data that goes with a deleted user, and the data that stays.

use futures_util::future::{join, join_all};
use serde_json::json;
use testkit::{Server, Store, apply, assert_now, both_stores, field, rstest};

#[apply(both_stores)]
async fn a_deleted_user_is_gone_for_ever(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let path = format!("/user/{carl}");
    client.delete(&path).await.expect(204);
    client.get(&path).await.expect_error(404, "user_not_found");
    client
        .delete(&path)
        .await
        .expect_error(404, "user_not_found");
    let by_name = client.get("/user/username/carl").await;
    by_name.expect_error(404, "user_not_found");
    assert_eq!(client.list("/user").await.len(), 0);
    // The name is free again, the id is not.
    assert!(client.new_user("carl").await > carl);
}

#[apply(both_stores)]
async fn a_deleted_users_memberships_go(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, sigmund) = (
        client.new_user("carl").await,
        client.new_user("sigmund").await,
    );
    let chat = client.new_chat("general").await;
    for user in [carl, sigmund] {
        client
            .put(&format!("/chat/{chat}/user/{user}"), json!({}))
            .await
            .expect(201);
    }
    client.delete(&format!("/user/{carl}")).await.expect(204);
    let members = client.list(&format!("/user/chat/{chat}")).await;
    assert_eq!(field(&members, "username"), ["sigmund"]);
    let access = client
        .get(&format!("/chat/user/{carl}/chat/{chat}/access"))
        .await;
    assert_eq!(access.expect(200), json!({ "hasAccess": false }));
}

#[apply(both_stores)]
async fn a_deleted_users_messages_become_tombstones_with_numbers_of_their_own(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, sigmund) = (
        client.new_user("carl").await,
        client.new_user("sigmund").await,
    );
    let chat = client.new_chat("general").await;
    let mut sent = Vec::new();
    for author in [carl, sigmund, carl, carl, sigmund] {
        sent.push(client.say(author, chat, "Hi.").await);
    }
    client.delete(&format!("/user/{carl}")).await.expect(204);

    let path = format!("/chat/{chat}/message");
    let kept = client.list(&path).await;
    assert_eq!(field(&kept, "messageId"), field(&sent, "messageId"));
    assert_eq!(
        (&kept[1], &kept[4]),
        (&sent[1], &sent[4]),
        "the others' stay as they are"
    );
    let buried = client.list(&format!("{path}?since=5")).await;
    assert_eq!(field(&buried, "seq"), [6, 7, 8]);
    for (tombstone, place) in buried.iter().zip([0, 2, 3]) {
        let original = &sent[place];
        assert_eq!(tombstone["messageId"], original["messageId"]);
        assert_eq!(tombstone["sentAt"], original["sentAt"]);
        for gone in ["content", "customerId", "username"] {
            assert!(tombstone[gone].is_null(), "{gone} is left: {tombstone}");
        }
        assert_now(&tombstone["deletedAt"]);
    }
    assert_eq!(client.say(sigmund, chat, "Gone?").await["seq"], 9);
}

#[apply(both_stores)]
async fn deleting_a_user_of_very_many_messages_leaves_no_gap(store: Store) {
    const MANY: i64 = 1_100;
    let server = Server::start(store).await;
    let client = server.client();
    let (carl, sigmund) = (
        client.new_user("carl").await,
        client.new_user("sigmund").await,
    );
    let chat = client.new_chat("general").await;
    client.say_many(carl, chat, MANY as usize).await;
    client.delete(&format!("/user/{carl}")).await.expect(204);
    let buried = client.pages(&format!("/chat/{chat}/message?since=0")).await;
    let numbers: Vec<i64> = (MANY + 1..=2 * MANY).collect();
    assert_eq!(field(&buried.concat(), "seq"), numbers);
    assert_eq!(
        client.say(sigmund, chat, "Gone?").await["seq"],
        2 * MANY + 1
    );
}

#[apply(both_stores)]
async fn messages_sent_while_their_author_is_deleted_leave_no_gap(store: Store) {
    let server = Server::start(store).await;
    let client = server.client();
    let carl = client.new_user("carl").await;
    let sigmund = client.new_user("sigmund").await;
    let chat = client.new_chat("general").await;
    let path = format!("/chat/{chat}/message");
    let body = json!({ "customerId": carl, "content": "Hi." });
    client.say_many(carl, chat, 20).await;
    let sending = join_all((0..40).map(|_| client.post(&path, body.clone())));
    let user = format!("/user/{carl}");
    let (replies, deleted) = join(sending, client.delete(&user)).await;
    deleted.expect(204);
    let (sent, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|r| r.status == 201);
    for reply in refused {
        reply.expect_error(404, "user_not_found");
    }
    let buried = client.list(&format!("{path}?since=0")).await;
    let count = sent.len() + 20;
    let numbers: Vec<usize> = (count + 1..=2 * count).collect();
    assert_eq!(
        field(&buried, "seq"),
        numbers,
        "each was sent once and deleted once"
    );
    let next = client.say(sigmund, chat, "Gone?").await;
    assert_eq!(next["seq"], 2 * count + 1);
}
