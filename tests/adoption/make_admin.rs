//! An admin for a chat, by the command.

use serde_json::json;
use testkit::{Database, Server, Store, apply, both_stores, rstest};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Postgres: scripts/with-postgres cargo test"]
async fn a_role_made_by_the_command_counts_on_running_servers() {
    let here = Server::start_required(Store::Postgres).await;
    let there = here.beside(&["--auth=required"]).await;
    let (carl, dora) = (here.person("carl").await, here.person("dora").await);
    let chat = carl.chat("general").await;
    carl.add(chat, &dora, "participant").await;
    let mut socket = dora.enter(&there, chat).await;
    let message = carl.say(chat, "one").await;
    let delete = json!({ "messageId": message });
    socket
        .refused("delete-message", delete.clone(), "forbidden")
        .await;
    let id = chat.to_string();
    let args = ["make-admin", &id, "dora"];
    here.database.command(&args).await.expect_success();
    let deleted = socket.ask("delete-message", delete).await;
    assert_eq!(deleted["messageId"], message);
    let renamed = json!({ "chatName": "hers" });
    let path = format!("/chat/{chat}");
    dora.client.put(&path, renamed).await.expect(200);
    here.stop().await;
    there.stop().await;
}

/// A chat without an admin, and three users: 1 is carl, 2 is called 1, 3 is dora.
async fn unrun(store: Store) -> Database {
    let server = Server::start(store).await;
    let client = server.client();
    for name in ["carl", "1", "dora"] {
        client.new_user(name).await;
    }
    let chat = client.new_chat("general").await;
    let path = format!("/chat/{chat}/user/3");
    client.put(&path, json!({})).await.expect(201);
    server.stop().await
}

#[apply(both_stores)]
async fn an_admin_is_made_by_name_and_by_id(store: Store) {
    let database = unrun(store).await;
    for (user, id, name) in [("carl", 1, "carl"), ("3", 3, "dora"), ("2", 2, "1")] {
        let made = database.command(&["make-admin", "1", user]).await;
        let said = format!("{name} is an admin of chat 1, general.");
        assert!(made.text().contains(&said), "{made:?}");
        made.expect_success();
        let admin = format!(
            "SELECT count(*) FROM customer_chat \
             WHERE chat_id = 1 AND customer_id = {id} AND role = 'admin'"
        );
        assert_eq!(database.number(admin).await, 1, "{user}");
    }
}

#[apply(both_stores)]
async fn what_is_not_clear_is_refused(store: Store) {
    let database = unrun(store).await;
    let before = database.export().await;
    for (chat, user, words) in [
        ("2", "carl", "there is no chat 2"),
        ("general", "carl", "there is no chat general"),
        ("0", "carl", "there is no chat 0"),
        ("1", "otto", "no user has the name or the id otto"),
        (
            "1",
            "1",
            "is the name of user 2 and the id of carl: write 2 or carl",
        ),
    ] {
        let refused = database.command(&["make-admin", chat, user]).await;
        refused.expect_failure(&[words]);
    }
    assert_eq!(database.export().await, before);
}
