//! The deletion of a user with very many messages, which goes on after its answer.

use serde_json::json;
use testkit::{PASSWORD, Server, Store, apply, both_stores, change, patiently, rstest};

/// More messages than a deletion takes within its request.
const VERY_MANY: i64 = 60_001;

#[apply(both_stores)]
async fn a_user_of_very_many_messages_is_signed_out_at_once_and_deleted_later(store: Store) {
    let server = Server::start_required(store).await;
    let (carl, sigmund) = (server.person("carl").await, server.person("sigmund").await);
    let chat = sigmund.chat("general").await;
    sigmund.add(chat, &carl, "participant").await;
    let own = carl.chat("own").await;
    server
        .database
        .fill(chat, carl.id, VERY_MANY, "filler")
        .await;
    let mut listener = sigmund.enter(&server, chat).await;

    let path = format!("/user/{}", carl.id);
    carl.client.delete(&path).await.expect(202);
    carl.client
        .get(&path)
        .await
        .expect_error(401, "unauthorized");
    let login = json!({ "username": "carl", "password": PASSWORD });
    let refused = server.client().post("/login", login.clone()).await;
    refused.expect_error(401, "unauthorized");
    // The tombstones come in order, after the number of carl's membership and those of the messages.
    for n in 1..=500 {
        let told = listener.until("delete-message").await;
        assert_eq!(change(&told), Some(1 + VERY_MANY + n));
    }
    // Others are served meanwhile.
    listener.say(chat, "still here").await;
    sigmund.client.get(&path).await.expect(200);

    // The next server goes on: with the last few messages, because the rest would take minutes.
    let database = server.stop().await;
    let left = format!(
        "DELETE FROM message WHERE customer_id = {} AND message_id NOT IN (SELECT message_id FROM message \
         WHERE customer_id = {} ORDER BY message_id DESC LIMIT 300)",
        carl.id, carl.id
    );
    database.run(&left).await;
    database
        .run("UPDATE user_deletion SET stepped_at = '2026-01-01T00:00:00.000000+00:00'")
        .await;
    let flags = ["--auth=required", "--rate-limit=off"];
    let server = Server::start_on(database, &flags).await;
    let client = server.client().with_token(&sigmund.token);
    let gone = async { while client.get(&path).await.status != 404 {} };
    patiently("the end of the user", gone).await;
    let rest = format!(
        "SELECT count(*) FROM message WHERE customer_id = {}",
        carl.id
    );
    assert_eq!(server.database.number(rest).await, 0);
    let deletions = "SELECT count(*) FROM user_deletion";
    assert_eq!(server.database.number(deletions).await, 0);
    // The user's own chat goes with the user.
    let chats = format!("SELECT count(*) FROM chat WHERE chat_id = {own} AND deleted_at IS NULL");
    assert_eq!(server.database.number(chats).await, 0);
    server.stop().await;
}
